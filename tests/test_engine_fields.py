"""Fields of one engine, by type and range."""

import json

import msgspec
import pytest

from baton.engine_fields import NESTED_MAX, OBJECT_BYTES_MAX, TYPES, known, read
from baton.errors import RequestError

GOOD: dict[str, object] = {
    "top_k": -1,
    "min_p": 0.5,
    "repetition_penalty": 1,
    "ignore_eos": True,
    "stop_token_ids": [1, 2],
    "guided_json": {"type": "object"},
    "json_schema": "{}",
    "guided_choice": ["a", "b"],
}
BAD: list[tuple[str, object]] = [
    ("top_k", -2),
    ("top_k", "5"),
    ("top_k", 2.5),
    ("min_p", 1.5),
    ("repetition_penalty", 0),
    ("ignore_eos", 1),
    ("stop_token_ids", [-1]),
    ("stop_token_ids", list(range(65))),
    ("guided_json", 5),
    ("guided_choice", ["x" * 257]),
    ("grammar", "x" * OBJECT_BYTES_MAX),
]


def raw(fields: dict[str, object]) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(json.dumps(value).encode()) for name, value in fields.items()}


def test_values_are_read_by_their_types() -> None:
    """Nothing else is taken along; null is as if left out."""
    assert GOOD == read(raw({**GOOD, "zebra": 1, "typical_p": None}))
    assert read(raw({"zebra": 1, "top_k": None})) is None


@pytest.mark.parametrize(("name", "value"), BAD)
def test_what_is_none_is_refused_by_name(name: str, value: object) -> None:
    """Of another type, out of its range, or too large."""
    with pytest.raises(RequestError) as refused:
        read(raw({name: value}))
    assert (400, name) == (refused.value.status, refused.value.param)
    assert f"'{name}'" in refused.value.message


@pytest.mark.parametrize(
    ("name", "value", "code", "words"),
    [
        ("top_k", 40.0, "invalid_type", "expected an integer, but got a decimal number instead."),
        ("min_p", "0.1", "invalid_type", "expected a number, but got a string instead."),
        ("ignore_eos", 1, "invalid_type", "expected a boolean, but got an integer instead."),
        ("guided_json", 5, "invalid_type", "expected an object or a string, but got an integer"),
        ("stop_token_ids", 2, "invalid_type", "expected an array of integers, but got an integer"),
        ("stop_token_ids", ["a"], "invalid_type", "integers, but got an array of strings"),
        ("guided_choice", [1], "invalid_type", "of strings, but got an array of integers"),
        ("top_k", -2, "integer_below_min_value", "Expected a value >= -1, but got -2 instead."),
        ("min_p", 2, "decimal_above_max_value", "Expected a value <= 1, but got 2 instead."),
        ("repetition_penalty", 0, "decimal_below_min_value", "Expected a value > 0, but got 0"),
        ("stop_token_ids", [1, -1], "integer_below_min_value", "Expected a value >= 0"),
        ("stop_token_ids", [0] * 65, "array_above_max_length", "at most 64, but got 65 instead."),
        ("guided_choice", ["é" * 257], "string_above_max_length", "at most 256 characters."),
    ],
)
def test_what_is_wrong_is_told_as_of_any_field(
    name: str, value: object, code: str, words: str
) -> None:
    """With the codes of the guide's table, which programs look for, and in the same words."""
    with pytest.raises(RequestError) as refused:
        read(raw({name: value}))
    assert code == refused.value.code
    assert words in refused.value.message


def test_what_is_nested_too_deeply_is_refused() -> None:
    """As anywhere in a request."""
    deep = b'{"a":' * 20_000 + b"1" + b"}" * 20_000
    with pytest.raises(RequestError):
        read({"guided_json": msgspec.Raw(deep[: OBJECT_BYTES_MAX - 1])})
    for levels in (NESTED_MAX, 5_000):
        with pytest.raises(RequestError, match="nested too deeply"):
            read({"guided_json": msgspec.Raw(b'{"a":' * levels + b"1" + b"}" * levels)})
    levels = NESTED_MAX - 1
    assert read({"guided_json": msgspec.Raw(b'{"a":' * levels + b"1" + b"}" * levels)})
    with pytest.raises(RequestError, match="nested too deeply"):
        read({"guided_json": msgspec.Raw(b'{"a":' + b"[" * levels + b"1" + b"]" * levels + b"}")})


def test_a_dialects_list_is_of_the_table() -> None:
    """A name that has no type would never be forwarded."""
    assert TYPES.keys() > known(("top_k",))
    with pytest.raises(AssertionError):
        known(("zebra",))
