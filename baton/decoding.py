"""The body of POST /v1/completions, from bytes to typed fields; problems are told by field.

Theory of operation. The plain request (a text, how long, how random, streamed or not) is decoded in
one typed pass that checks everything. A single prompt with any of the contract's fields takes one
pass too, and checks of what settings limit.
A batch of prompts takes a second one that leaves `prompt` unread, and decodes it by the type that
its first bytes promise. Whatever is left — fields of other servers, a mistake — takes the careful
path: unknown fields are skipped and their names collected. Only if that fails too, each field is
looked at alone, by the same types, to say which one is wrong and why. So the types below are the
only place where a field's shape and fixed range are written down.

Ranges that are settings (`RequestLimits`) are checked in protocol.py.
"""

import re
from collections.abc import Container, Iterable
from typing import Annotated

import msgspec
from msgspec import Meta

from baton import engine_fields, errors, long_text
from baton.errors import RequestError
from baton.explanations import (
    TOKEN_ID_MAX,
    UNREADABLE,
    explain_body,
    explain_field,
    explain_prompt,
)

IGNORED_NAMES_MAX = 32
IGNORED_NAME_CHARS_MAX = 64
"""What is beyond is cut: these names are only told back, never acted upon."""

Prompt = str | list[int]
"""As in semantics/events.py, which lies above."""

Token = Annotated[int, Meta(ge=0, le=TOKEN_ID_MAX)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Bias = Annotated[float, Meta(ge=-100, le=100)]
Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Natural = Annotated[int, Meta(ge=0)]


class StreamOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None
    """vLLM's: the usage so far on every chunk; only together with include_usage."""
    include_obfuscation: bool | None = None
    """Padding against traffic analysis. false is honoured (there is none), true is refused."""


class WireFields(msgspec.Struct, frozen=True, kw_only=True):
    """The contract's fields but for `prompt`, as they may be typed; null is as if left out."""

    model: str | None = None
    max_tokens: Natural | None = None
    n: Annotated[int, Meta(ge=1)] | None = None
    best_of: Natural | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: dict[Token, Bias] | None = None
    stop: str | list[str] | None = None
    suffix: str | None = None
    echo: bool | None = None
    logprobs: Natural | None = None
    seed: Seed | None = None
    user: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None


class UsageAlone(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Stream options that ask for the usage, or for nothing."""

    include_usage: bool = False


class PlainRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text, or its ids, and how long it shall become: by far the most. Anything else has other
    types."""

    model: Annotated[str, Meta(min_length=1)]
    prompt: str | Annotated[list[Token], Meta(min_length=1)]
    max_tokens: Annotated[int, Meta(ge=1)] = 16
    temperature: Annotated[float, Meta(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Meta(ge=0, le=1)] = 1.0
    stream: bool = False
    stop: Annotated[list[str], Meta(min_length=1)] | None = None
    n: Annotated[int, Meta(ge=1, le=1)] = 1
    stream_options: UsageAlone | None = None


class SingleRequest(WireFields, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request with one prompt and nothing unknown."""

    prompt: str | list[Token] | None = None


class Unknown(msgspec.Struct, frozen=True):
    """What came along outside the contract."""

    ignored: tuple[str, ...] = ()
    """Names of fields that nobody knows, sorted."""
    extra: dict[str, object] | None = None
    """Fields of one engine, typed."""


NOTHING_UNKNOWN = Unknown()


class _LenientOptions(StreamOptions, frozen=True, forbid_unknown_fields=False):
    pass


class _BatchRequest(WireFields, frozen=True, kw_only=True, forbid_unknown_fields=True):
    prompt: msgspec.Raw = msgspec.Raw()


class _CarefulRequest(WireFields, frozen=True, kw_only=True):
    stream_options: _LenientOptions | None = None
    prompt: msgspec.Raw = msgspec.Raw()


_UNPRINTABLE = re.compile(r"[^!-+\-->@-~]")  # what is no visible ASCII, commas and "?" besides

_PLAIN = msgspec.json.Decoder(PlainRequest)
_SINGLE = msgspec.json.Decoder(SingleRequest)
_BATCH = msgspec.json.Decoder(_BatchRequest)
_CAREFUL = msgspec.json.Decoder(_CarefulRequest)
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT = msgspec.json.Decoder(str)
_TEXTS = msgspec.json.Decoder(list[str])
_TOKENS = msgspec.json.Decoder(list[Token])
_TOKEN_LISTS = msgspec.json.Decoder(list[Annotated[list[Token], Meta(min_length=1)]])
_TYPES = {
    field.name: field.type
    for field in msgspec.structs.fields(_CarefulRequest)
    if field.name != "prompt"
}


def parse_plain(body: bytes) -> PlainRequest | None:
    """None where more is asked for, or something is wrong."""
    try:
        return _PLAIN.decode(body)
    except UNREADABLE:
        return None


def parse(
    body: bytes, prompts_max: int, *, model: str | None = None
) -> tuple[WireFields, list[Prompt], Unknown]:
    """The typed fields, the prompts, and what is outside the contract.

    `model`: what is meant where the body names none (a path may fix it).
    Raises RequestError (400) that names the field at fault.
    """
    try:
        single = _SINGLE.decode(body)
    except msgspec.ValidationError:
        return _parse_carefully(body, prompts_max, model)
    except UNREADABLE as error:
        raise explain_body(body, error) from None
    if single.model is None and model is None:
        raise errors.missing_model()
    prompt = single.prompt
    if prompt is None:
        raise errors.missing_parameter("prompt")
    if prompt == []:
        raise errors.empty_prompt("the array")
    return single, long_text.prompts(prompt, body), NOTHING_UNKNOWN


def _parse_carefully(
    body: bytes, prompts_max: int, model: str | None
) -> tuple[WireFields, list[Prompt], Unknown]:
    wire: _BatchRequest | _CarefulRequest
    unknown = NOTHING_UNKNOWN
    try:
        wire = _BATCH.decode(body)
    except UNREADABLE:
        wire, unknown = _skip_unknown(body)
    if wire.model is None and model is None:
        raise errors.missing_model()
    return wire, _prompts(bytes(wire.prompt), prompts_max), unknown


def _skip_unknown(body: bytes) -> tuple[_CarefulRequest, Unknown]:
    fields = _read_fields(body)
    try:
        wire = _CAREFUL.decode(body)
    except UNREADABLE as error:
        raise _explain(fields, error) from None
    return wire, Unknown(_ignored(fields), engine_fields.read(fields))


def _read_fields(body: bytes) -> dict[str, msgspec.Raw]:
    """Every field unread. Also what is skipped later must be JSON and UTF-8."""
    try:
        body.decode()
        return _FIELDS.decode(body)
    except msgspec.ValidationError:
        raise errors.invalid("The request body must be a JSON object.") from None
    except UNREADABLE as error:
        raise explain_body(body, error) from None


def _prompts(data: bytes, prompts_max: int) -> list[Prompt]:
    """Prompts of any of the four shapes, each decoded by the type that its first bytes promise."""
    array = data[:1] == b"["
    first = data[1:].lstrip(b" \t\r\n")[:1] if array else data[:1]
    try:
        match array, first:
            case False, b"":
                raise errors.missing_parameter("prompt")
            case False, _:
                return [_TEXT.decode(data)]
            case True, b'"':
                return _texts(data, prompts_max)
            case True, b"[":
                return _token_lists(data, prompts_max)
            case _:
                return [_tokens(data)]
    except UNREADABLE:
        raise explain_prompt(data) from None


def _tokens(data: bytes) -> list[int]:
    tokens = _TOKENS.decode(data)
    if not tokens:
        raise errors.empty_prompt("the array")
    return tokens


def _texts(data: bytes, prompts_max: int) -> list[Prompt]:
    prompts = _TEXTS.decode(data)
    if len(prompts) > prompts_max:
        raise errors.too_many("prompt", prompts_max, len(prompts))
    return list(prompts)


def _token_lists(data: bytes, prompts_max: int) -> list[Prompt]:
    # Digits, commas and brackets are all that a valid one holds: brackets count the prompts before
    # a list is made for each.
    lists = data.count(b"[") - 1
    if lists > prompts_max:
        raise errors.too_many("prompt", prompts_max, lists)
    return list(_TOKEN_LISTS.decode(data))


def _ignored(fields: dict[str, msgspec.Raw]) -> tuple[str, ...]:
    """Names that nobody knows and that carry a value, sorted; null is as if left out."""
    names = [
        name
        for name in _unknown(fields, _TYPES)
        if name != "prompt" and name not in engine_fields.TYPES
    ]
    options = fields.get("stream_options")
    if options is not None and bytes(options) != b"null":
        inner = _unknown(_FIELDS.decode(options), StreamOptions.__struct_fields__)
        names += [f"stream_options.{name}" for name in inner]
    return told_back(names)


def told_back(names: Iterable[str]) -> tuple[str, ...]:
    """Names of fields that nobody acts upon, sorted; bounded, and such as a header may hold."""
    return tuple(sorted(map(_printable, names))[:IGNORED_NAMES_MAX])


def _printable(name: str) -> str:
    """A field's name as a header may hold it: a caller chose it, line ends and all."""
    return _UNPRINTABLE.sub("?", name[:IGNORED_NAME_CHARS_MAX])


def _unknown(fields: dict[str, msgspec.Raw], known: Container[str]) -> list[str]:
    return [name for name in fields if name not in known and bytes(fields[name]) != b"null"]


def _explain(fields: dict[str, msgspec.Raw], error: Exception) -> RequestError:
    """Which field is wrong, and why."""
    for name, kind in _TYPES.items():
        raw = fields.get(name)
        if raw is None:
            continue
        try:
            msgspec.json.decode(raw, type=kind)
        except UNREADABLE:
            return explain_field(name, kind, raw)
    # A name given twice, the first time wrong: no field is at fault as it stands in the end.
    return errors.invalid(f"The request body is not acceptable: {error}.")
