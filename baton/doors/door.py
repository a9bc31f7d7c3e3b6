"""What a door is: one request in another server's shape, and its answer in that shape.

A door is opened with the body that came. It gives the body that POST /v1/completions would have had
(so that nothing is decided twice: limits, errors, fills, money), remembers what its answer needs to
know, and writes that answer. Field names in errors are given back in the caller's own words.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

import msgspec

from baton.decoding import told_back
from baton.errors import RequestError, invalid, missing_parameter, wrong_type
from baton.explanations import UNREADABLE, explain_body
from baton.protocol import Choice, CompletionUsage
from baton.semantics.assemble import Encoder

Raw = msgspec.Raw
NULL = b"null"
TOKENS_DEFAULT = 256
"""Where a request names no limit: these servers would go on until the context is full."""

_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_ENCODER = msgspec.json.Encoder()
Value = TypeVar("Value")


class Facts(msgspec.Struct, frozen=True):
    """What every answer tells of itself."""

    id: str
    created: int
    model: str
    spent_s: Callable[[], tuple[float, float]]
    """Until the first text, and from it to the last, as measured when the answer ends."""


class Door(Protocol):
    """One request that came in a shape of its own."""

    body: bytes
    """The same request for POST /v1/completions."""
    ignored: tuple[str, ...]
    """Fields that this door does not act upon, sorted."""

    def theirs(self, param: str | None) -> str | None:
        """A field of /v1/completions by the name that the caller knows it by."""
        ...

    def whole(self, facts: Facts, choices: Sequence[Choice], usage: CompletionUsage) -> bytes:
        """The body of a whole answer."""
        ...

    def encoder(self, facts: Facts) -> Encoder:
        """The events of a stream."""
        ...


class Given:
    """The fields of a body, taken one by one; what nobody takes is ignored, and told."""

    def __init__(self, body: bytes) -> None:
        """RequestError 400 where it is no JSON object."""
        try:
            self._fields = _FIELDS.decode(body)
        except msgspec.ValidationError:
            raise invalid("The request body must be a JSON object.") from None
        except UNREADABLE as error:
            raise explain_body(body, error) from None

    def take(self, name: str, kind: type[Value], noun: str) -> Value | None:
        """One field's value; None where it is absent or null. RequestError for another type."""
        raw = self._fields.pop(name, None)
        if raw is None or bytes(raw) == NULL:
            return None
        try:
            return msgspec.json.decode(raw, type=kind)
        except UNREADABLE:
            raise wrong_type(name, noun, "another type") from None

    def text(self, name: str) -> str:
        """A text that must be there."""
        found = self.take(name, str, "a string")
        if found is None:
            raise missing_parameter(name)
        return found

    def passed(self, names: Mapping[str, str]) -> dict[str, Raw]:
        """Fields that /v1/completions checks itself, by their names there."""
        taken = {ours: self._fields.pop(theirs, None) for theirs, ours in names.items()}
        return {ours: raw for ours, raw in taken.items() if raw is not None}

    @property
    def ignored(self) -> tuple[str, ...]:
        """The names of what is left and carries a value."""
        return told_back(name for name, raw in self._fields.items() if bytes(raw) != NULL)


def completion_body(fields: Mapping[str, object], *, stream: bool) -> bytes:
    """A body for /v1/completions; a missing model means the key's default one."""
    body: dict[str, object] = {"model": "", **fields, "stream": stream}
    if stream:
        body["stream_options"] = {"include_usage": True}
    return _ENCODER.encode(body)


def renamed(error: RequestError, door: Door) -> RequestError:
    """The same refusal, about the field as the caller wrote it."""
    error.param = door.theirs(error.param)
    return error
