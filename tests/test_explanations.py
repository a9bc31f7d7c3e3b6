"""The words and codes of refused fields."""

from typing import Annotated

import msgspec
import pytest
from msgspec import Meta, Raw

from baton.explanations import explain_body, explain_field, explain_prompt, unreadable

Count = Annotated[int, Meta(ge=1, le=5)]
Share = Annotated[float, Meta(ge=0, le=1)]
Biases = dict[Annotated[int, Meta(ge=0)], Share]


class Options(msgspec.Struct):
    flag: bool | None = None


@pytest.mark.parametrize(
    ("kind", "raw", "message"),
    [
        (Count | None, b"0", "integer below minimum value. Expected a value >= 1, but got 0"),
        (Count | None, b"6", "integer above maximum value. Expected a value <= 5, but got 6"),
        (Count | None, b"9" * 60, "but got " + "9" * 40 + "… instead"),
        (Count | None, b"true", "expected an integer, but got a boolean"),
        (Count | None, b"2.0", "expected an integer, but got a decimal number"),
        (Share | None, b"-0.5", "decimal below minimum value. Expected a value >= 0, but got -0.5"),
        (Share | None, b"2", "decimal above maximum value. Expected a value <= 1, but got 2"),
        (Share | None, b"false", "expected a number, but got a boolean"),
        (Share | None, b'"x"', "expected a number, but got a string"),
        (Share | None, b"1e999", "Invalid 'field': Number out of range."),
        (str | None, b'"\xff"', "Invalid 'field': it is not valid UTF-8."),
        (str | None, b"[]", "expected a string, but got an array"),
        (bool, b"{}", "expected a boolean, but got an object"),
        (str | list[str] | None, b"1", "expected a string or an array of strings, but got an int"),
        (
            str | list[str] | None,
            b"[1]",
            "expected an array of strings, but got an array of integers",
        ),
        (str | list[str] | None, b'[1,"a"]', "expected an array of strings, but got a mixed array"),
        (Biases | None, b'{"1":2}', "decimal above maximum value"),
        (Biases | None, b'{"1":0.5,"x":2}', "keys are token ids, integers from 0 to 2147483647"),
        (Biases | None, b'{"01":0}', "but got '01'"),
        (Biases | None, b'{"99999999999":0}', "but got '99999999999'"),
        (Biases | None, b'{"2147483648":0}', "but got '2147483648'"),
        (Biases | None, b'{"1":null}', "expected numbers as values, but got null"),
        (Biases | None, b'{"1":1}', "Invalid 'field'."),
        (Biases | None, b"[]", "expected an object, but got an array"),
        (Options | None, b'{"flag":1}', "'field.flag': expected a boolean, but got an integer"),
        (Options | None, b'{"flag":null,"x":1}', "Invalid 'field'."),
        (Options | None, b"1", "expected an object, but got an integer"),
    ],
)
def test_fields(kind: object, raw: bytes, message: str) -> None:
    """The message says what was expected and what came; the param is the field."""
    error = explain_field("field", kind, Raw(raw))
    assert message in error.message
    assert (error.status, error.param) == (400, "field")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"null", "Missing required parameter: 'prompt'"),
        (b"[]", "the array is empty"),
        (b"[[1],[]]", "an inner array is empty"),
        (b"[-1]", "token ids are integers from 0 to 2147483647"),
        (b"[[1],[-1]]", "token ids are integers from 0 to 2147483647"),
        (b'[["a"]]', "but got an array of an array of strings"),
        (b'["a",1]', "but got a mixed array"),
        (b"7", "but got an integer"),
        (b'["\xff"]', "it is not valid UTF-8"),
    ],
)
def test_prompts(data: bytes, message: str) -> None:
    """What is wrong with a prompt of none of the four shapes."""
    error = explain_prompt(data)
    assert message in error.message
    assert error.param == "prompt"


def test_bodies() -> None:
    """Depth, encoding and syntax are told apart; nothing at all is told as such."""
    assert unreadable(RecursionError("deep")) == "it is nested too deeply"
    assert "empty" in explain_body(b" ", ValueError("x")).message
    assert "not valid JSON: bad" in explain_body(b"{", msgspec.DecodeError("bad.")).message


@pytest.mark.parametrize("coding", ["utf-8-sig", "utf-16"])
def test_a_mark_of_byte_order_is_named(coding: str) -> None:
    """PowerShell puts one before a file's text, where no editor shows it: UTF-8 without it."""
    error = explain_body('{"model": "m"}'.encode(coding), msgspec.DecodeError("byte 0"))
    assert "byte order mark" in error.message
    assert "UTF-8" in error.message
