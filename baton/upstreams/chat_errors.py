"""Errors of chat dialects with wordings of their own, brought into the shape `refusals` judges.

Their 400s have no code that tells the caller's fault from the operator's, nor a field's name but in
the text, so a dialect states the few wordings that matter: each as narrow as it can be. What none
of them fits is judged by its status, as for every other server.
"""

import re
from collections.abc import Mapping

import msgspec

from baton.upstreams.refusals import read, refusal

OPERATORS_STATUS = 401
"""Stands for every 400 that the caller cannot help: a key, a setting, an unpaid bill."""
WORD = re.compile(r"[A-Za-z_]+")
_NOTHING = re.compile(r"(?!)")


class Wording(msgspec.Struct, frozen=True, kw_only=True):
    """How one server words what matters."""

    fields: Mapping[str, str]
    """Its name of a field → the caller's."""
    context: re.Pattern[str] = _NOTHING
    """The prompt, or prompt and answer, are too long."""
    context_tokens: re.Pattern[str] = _NOTHING
    """Where it then tells the size of the context."""
    operators: re.Pattern[str] = _NOTHING
    """A 400 that is the operator's."""


def refusal_of(status: int, body: bytes, retry_after: str | None, wording: Wording) -> Exception:
    """RequestError or UpstreamError for an answer that is not 200."""
    if status != 400:
        return refusal(status, body, retry_after)
    message = read(body).message
    if wording.operators.search(message):
        return refusal(OPERATORS_STATUS, b"", retry_after)
    said: dict[str, object] = {"message": message}
    if wording.context.search(message):
        size = wording.context_tokens.search(message)
        said |= {"code": "context_length_exceeded", "n_ctx": int(size[1]) if size else None}
    elif param := _field(message, wording.fields):
        said["param"] = param
    return refusal(400, msgspec.json.encode({"error": said}), retry_after)


def _field(message: str, fields: Mapping[str, str]) -> str | None:
    """The first word of the message that is a field's name."""
    return next((fields[word] for word in WORD.findall(message) if word in fields), None)
