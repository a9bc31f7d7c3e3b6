"""Fields of one engine (top_k, min_p, guided decoding …): their types and ranges, in one table.

They are outside OpenAI's contract. An upstream's configuration lists which it takes; a field that
no upstream of the model takes is told back as ignored. What is in this table is decoded by its type
and within its range, whoever sends it; what is not in it is never forwarded.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Annotated

import msgspec
from msgspec import Meta

from baton import errors
from baton.explanations import NESTED_TOO_DEEPLY, UNREADABLE, explain_field, unreadable

OBJECT_BYTES_MAX = 64 * 1024
"""Of a schema or grammar as it stands in the request: compiling one costs its engine far more."""
NESTED_MAX = 200
"""Levels of a schema: engines compile it recursively. The decoder stops where Python does, at 1,000
in 3.11, at hundreds of thousands in 3.14 (measured)."""
TEXT_CHARS_MAX = 64 * 1024

Share = Annotated[float, Meta(ge=0, le=1)]
Factor = Annotated[float, Meta(gt=0, le=10)]
Count = Annotated[int, Meta(ge=0, le=1_000_000)]
Text = Annotated[str, Meta(max_length=TEXT_CHARS_MAX)]
TokenId = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Words = Annotated[list[Annotated[str, Meta(max_length=256)]], Meta(max_length=256)]
Object = dict[str, object]

TYPES: Mapping[str, object] = MappingProxyType(
    {
        "top_k": Annotated[int, Meta(ge=-1, le=1_000_000)],
        "min_p": Share,
        "typical_p": Share,
        "repetition_penalty": Factor,
        "min_tokens": Count,
        "ignore_eos": bool,
        "skip_special_tokens": bool,
        "spaces_between_special_tokens": bool,
        "add_special_tokens": bool,
        "stop_token_ids": Annotated[list[TokenId], Meta(max_length=64)],
        "bad_words": Words,
        "allowed_token_ids": Annotated[list[TokenId], Meta(max_length=4096)],
        "priority": Annotated[int, Meta(ge=-1_000_000, le=1_000_000)],
        "dry_multiplier": Annotated[float, Meta(ge=0, le=10)],
        "dry_base": Factor,
        "dry_allowed_length": Count,
        "xtc_probability": Share,
        "xtc_threshold": Share,
        "grammar": Text,
        "ebnf": Text,
        "regex": Text,
        "json_schema": Object | Text,
        "guided_json": Object | Text,
        "guided_regex": Text,
        "guided_choice": Words,
        "guided_grammar": Text,
        "structured_outputs": Object,
        "response_format": Object,
        "cache_prompt": bool,
    }
)
_DECODERS = {name: msgspec.json.Decoder(kind) for name, kind in TYPES.items()}


def read(fields: Mapping[str, msgspec.Raw]) -> dict[str, object] | None:
    """The typed values of those that are in the table; None where none is. null is as if left out.

    Raises RequestError (400) that names the one at fault.
    """
    found = {}
    for name in TYPES.keys() & fields.keys():
        raw = bytes(fields[name])
        if raw != b"null":
            found[name] = _value(name, raw)
    return found or None


def known(names: Iterable[str]) -> frozenset[str]:
    """A dialect's own list. Asserts that each is in the table."""
    found = frozenset(names)
    assert found <= TYPES.keys(), found - TYPES.keys()
    return found


def _value(name: str, raw: bytes) -> object:
    if len(raw) > OBJECT_BYTES_MAX:
        raise errors.too_long(name, OBJECT_BYTES_MAX)
    try:
        value = _DECODERS[name].decode(raw)
    except msgspec.ValidationError:
        raise explain_field(name, TYPES[name], raw) from None
    except UNREADABLE as error:
        raise errors.invalid(f"Invalid '{name}': {unreadable(error)}.", name) from None
    if isinstance(value, dict) and _nested_too_deeply(value):
        raise errors.invalid(f"Invalid '{name}': {NESTED_TOO_DEEPLY}.", name)
    return value


def _nested_too_deeply(value: object) -> bool:
    """Whether there is anything below NESTED_MAX levels. Goes level by level, never into itself."""
    level = [value]
    for _ in range(NESTED_MAX):
        level = [child for each in level for child in _children(each)]
    return bool(level)


def _children(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
