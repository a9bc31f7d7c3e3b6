"""Overrides: what they do to a body, and what they may not touch."""

from typing import Any

import msgspec
import pytest

from baton.semantics.overrides import DEPTH_MAX, Forbidden, Overrides, apply, check


@pytest.mark.parametrize(
    ("force", "default", "body", "expected"),
    [
        ({"top_k": 1}, {}, {"top_k": 5, "a": 2}, {"top_k": 1, "a": 2}),
        ({}, {"top_k": 1}, {"top_k": 5}, {"top_k": 5}),
        ({}, {"top_k": 1}, {}, {"top_k": 1}),
        ({"o": {"ctx": 9}}, {}, {"o": {"seed": 1}}, {"o": {"seed": 1, "ctx": 9}}),
        ({"options": {"num_ctx": 9}}, {}, {}, {"options": {"num_ctx": 9}}),
        ({"a": 1}, {"a": 2}, {}, {"a": 1}),
        ({"a": {"b": 1}}, {}, {"a": 5}, {"a": {"b": 1}}),
        ({"a": 5}, {}, {"a": {"b": 1}}, {"a": 5}),
        ({}, {"a": 5}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    ],
)  # fmt: skip
def test_what_they_do(
    force: dict[str, Any], default: dict[str, Any], body: dict[str, Any], expected: dict[str, Any]
) -> None:
    """Forced fields win, defaults yield, objects are merged."""
    before = msgspec.json.encode(body)
    assert apply(Overrides(force=force, default=default), body) == expected
    assert msgspec.json.encode(body) == before


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"force": {"stream": False}}, "'stream' cannot be overridden"),
        ({"default": {"options": {"num_predict": 5}}}, "'num_predict' cannot be overridden"),
        ({"remove": ("model",)}, "'model' cannot be overridden"),
        ({"force": {"a": {"b": None}}}, "'b' is null"),
        ({"force": {"a\r\nb": 1}}, "is no name"),
        ({"force": {"a": "x" * 9000}}, "more than 8192 bytes"),
    ],
)
def test_what_they_may_not_touch(given: dict[str, Any], wrong: str) -> None:
    """Nothing that answers are read, counted or charged by, at any depth."""
    with pytest.raises(ValueError, match=wrong):
        check(Overrides(**given))


def test_remove() -> None:
    """A field is taken away whoever put it there; one that is not there is none."""
    overrides = Overrides(force={"a": 1}, remove=("a", "user", "x"))
    assert apply(overrides, {"user": "u", "b": 2}) == {"b": 2}


def test_depth_has_a_limit() -> None:
    """As deep as allowed, and one deeper."""
    fields: dict[str, Any] = {"a": 1}
    for _ in range(DEPTH_MAX - 1):
        fields = {"a": fields}
    check(Overrides(force=fields))
    with pytest.raises(ValueError, match="deeper"):
        check(Overrides(force={"a": fields}))


def test_what_is_forbidden_is_of_the_contract() -> None:
    """Another word is refused where it comes in."""
    assert "seed" in Forbidden.__args__  # type: ignore[attr-defined]
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"forbid": ["top_k"]}, Overrides)
