"""What an upstream's error answer means: whose fault, and what the caller may be told of it.

Servers that speak OpenAI's completions use five shapes of error body (and FastAPI's own,
and Mistral's around that):

    {"error": {"message", "type", "param", "code"}}   OpenAI; code may be an int (vLLM)
    {"error": {"code", "message", "type"}}            llama-server, no param
    {"object": "error", "message", "type", "code"}    SGLang, flat; of FastAPI's complaints it has
                                                       a representation in the message
    {"error": "text"}                                  vLLM's 401
    {"error": "text", "error_type": "…"}               TGI
    {"detail": "text" | [{"loc", "msg"}]}              FastAPI
    {"message": {"detail": [{"loc", "msg"}]}, "type"}  Mistral's 422, also with the list itself as
                                                       its message

A caller hears of an upstream's words only where it can act on them: 400, 413 and 422. These are
cut to MESSAGE_LENGTH_MAX printable characters. The rest is the operator's business (a wrong key, an
unknown model) or passes (overload), and becomes an UpstreamError without a word of the upstream.
"""

import re

import msgspec

from baton.errors import RequestError
from baton.upstreams.base import Kind, UpstreamError
from baton.upstreams.failures import MESSAGES, failure
from baton.upstreams.framing import UNREADABLE

MESSAGE_LENGTH_MAX = 400
CUT = "…"
"""Where a longer message ends."""
NAME_LENGTH_MAX = 64
RETRY_AFTER_S_MAX = 3600.0
CALLERS_STATUSES = frozenset({400, 413, 422})
CALLERS_TYPE = "invalid_request_error"
OVERLOADED_STATUSES = frozenset({429, 503, 529})
OPERATORS_CODES = frozenset({"model_not_found", "invalid_api_key", "insufficient_quota"})

CONTEXT_WORDS = re.compile(
    r"context[ _](length|window|size)|maximum (model|input|sequence) length|max_model_len"
    r"|too many tokens"
    r"|prompt is too long|longer than the (model|maximum)|inputs?`? tokens? \+ ",
    re.IGNORECASE,
)
"""Most servers tell a context overflow by words alone; only OpenAI and llama-server have a code."""
CONTEXT_TOKENS = re.compile(
    r"(?:context (?:length|window|size)(?: is| of|:)?|n_ctx[\"':= ]+|max_model_len=)"
    r"\D{0,12}(\d{2,9})",
    re.IGNORECASE,
)
FIELD_WORDS = re.compile(
    r"\b(?:(?P<logit_bias>logit_bias)"
    r"|(?P<suffix>does not support insert\b)"
    r"|(?P<prompt>token[ _]ids? \d+ is out of vocab|prompt contains invalid tokens"
    r"|input_ids .*vocab))",
    re.IGNORECASE,
)
"""What only the server knows of its model, which most tell in words and without the field: ids that
it does not have, or that it takes no suffix (Ollama)."""
PYDANTIC_WORDS = re.compile(
    r"\d+ validation errors?:\s+\{'type': '\w*', 'loc': \('body', '(\w+)'[^)]*\),"
    r" 'msg': (['\"])(.{1,400}?)\2, 'input'"
)
OPENAI_WORDING = "This model's maximum context length is "
UNPRINTABLE = re.compile(r"[^\x20-\x7e\u00a0-\u2027\u202f-\ud7ff\uf900-\ufffd]+")
NAME = re.compile(r"[A-Za-z0-9_.\[\]-]+")


class Said(msgspec.Struct):
    """What was found in the body, whatever its shape; empty where it said nothing."""

    message: str = ""
    type: str = ""
    param: str = ""
    code: str = ""
    context_tokens: int | None = None


class _ErrorObject(msgspec.Struct):
    message: str | None = None
    type: str | None = None
    param: str | None = None
    code: int | str | None = None
    n_ctx: int | None = None


class _ErrorBody(_ErrorObject):
    error: _ErrorObject | str | None = None
    error_type: str | None = None
    detail: msgspec.Raw = msgspec.Raw(b"null")


class _Complaint(msgspec.Struct):
    msg: str = ""
    loc: list[int | str] = []


class _Complaints(msgspec.Struct):
    detail: list[_Complaint] = []


class _Wrapped(msgspec.Struct):
    message: _Complaints | list[_Complaint]


_WRAPPED = msgspec.json.Decoder(_Wrapped)
_BODY = msgspec.json.Decoder(_ErrorBody)
_DETAIL = msgspec.json.Decoder(list[_Complaint] | str | None)


def refusal(status: int, body: bytes, retry_after: str | None) -> Exception:
    """RequestError or UpstreamError for an answer that is not 200."""
    said = read(body)
    if _blames_the_caller(status, said):
        return _callers_fault(status, said)
    overloaded = status in OVERLOADED_STATUSES
    kind: Kind = "overloaded" if overloaded else "status"
    return UpstreamError(
        MESSAGES[kind],
        phase="first_byte",
        kind=kind,
        retryable=True,  # nothing was computed; another upstream may have the key, model or room
        status=status,
        retry_after_s=seconds(retry_after),
        detail=f"{status} {said.code or said.type}".strip(),
    )


def error_within(body: bytes) -> Exception:
    """What an error means that comes in place of an answer, or in the middle of one: a RequestError
    where it blames the request. llama-server opens the stream of several prompts before it has
    looked at each, and vLLM before it computes."""
    return refusal_within(body) or failure("stream", "status", "an error event")


def refusal_within(body: bytes) -> RequestError | None:
    """The refusal that such an error is; None where it does not blame the request."""
    said = read(body)
    status = 400 if said.type == CALLERS_TYPE else 0
    if said.code.isdigit():
        status = int(said.code)
    return _callers_fault(status, said) if _blames_the_caller(status, said) else None


def read(body: bytes) -> Said:
    """The error body in one shape; an unreadable one says nothing."""
    try:
        found = _BODY.decode(body)
        detail = _DETAIL.decode(found.detail)
    except UNREADABLE:
        return _wrapped(body)
    if isinstance(detail, list):
        return _complaint(detail)
    if isinstance(found.error, str) or detail:
        text = found.error if isinstance(found.error, str) else detail
        return Said(message=printable(text or ""), type=name(found.error_type or ""))
    inner = found if found.error is None else found.error
    if complaint := PYDANTIC_WORDS.match(inner.message or ""):
        message, code = printable(complaint[3]), str(inner.code or "")
        return Said(message=message, param=name(complaint[1]), code=name(code))
    return Said(
        message=printable(inner.message or ""),
        type=name(inner.type or ""),
        param=name((inner.param or "").removeprefix("body.")),  # as vLLM names what it validates
        code=name(str(inner.code)) if inner.code is not None else "",
        context_tokens=inner.n_ctx,
    )


def seconds(retry_after: str | None) -> float | None:
    """Retry-After in seconds, bounded; the date form and nonsense are None."""
    if retry_after is None or not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", retry_after):
        return None
    return min(float(retry_after), RETRY_AFTER_S_MAX)


def printable(text: str) -> str:
    """Foreign text as it may be shown: one line, no control or direction characters, not long."""
    text = UNPRINTABLE.sub(" ", text[: 2 * MESSAGE_LENGTH_MAX]).strip()
    return text if len(text) <= MESSAGE_LENGTH_MAX else text[: MESSAGE_LENGTH_MAX - 1] + CUT


def name(text: str) -> str:
    """A foreign identifier, or nothing where it is none."""
    return text if len(text) <= NAME_LENGTH_MAX and NAME.fullmatch(text) else ""


def _wrapped(body: bytes) -> Said:
    """FastAPI's complaints where a message would stand, or nothing."""
    try:
        message = _WRAPPED.decode(body).message
    except UNREADABLE:
        return Said()
    return _complaint(message if isinstance(message, list) else message.detail)


def _complaint(details: list[_Complaint]) -> Said:
    """The first of FastAPI's complaints; the last part of its place is the field."""
    if not details:
        return Said()
    first = details[0]
    field = str(first.loc[-1]) if first.loc else ""
    return Said(message=printable(first.msg), param="" if field == "body" else name(field))


def _blames_the_caller(status: int, said: Said) -> bool:
    return status in CALLERS_STATUSES and said.code not in OPERATORS_CODES


def _callers_fault(status: int, said: Said) -> RequestError:
    codes = {said.code, said.type}
    known = codes & {"context_length_exceeded", "exceed_context_size_error"}
    if known or CONTEXT_WORDS.search(said.message):
        return RequestError(
            400, _context_message(said), code="context_length_exceeded", param="prompt"
        )
    message = said.message or "The upstream refused the request without saying why."
    if status == 413:
        return RequestError(413, message, code="request_too_large")
    code = said.code if said.code and not said.code.isdigit() else None
    return RequestError(400, message, param=said.param or _field(message), code=code)


def _field(message: str) -> str | None:
    found = FIELD_WORDS.search(message)
    return found.lastgroup if found else None


def _context_message(said: Said) -> str:
    """With OpenAI's wording in front, which client libraries look for, where the size is known."""
    if said.message.startswith(OPENAI_WORDING):
        return said.message
    tokens = said.context_tokens
    if tokens is None and (found := CONTEXT_TOKENS.search(said.message)):
        tokens = int(found[1])
    if tokens is None:
        return said.message or "The prompt and max_tokens exceed the model's context."
    advice = "Please reduce your prompt; or completion length."
    return f"{OPENAI_WORDING}{tokens} tokens, which this request exceeds. {advice}"
