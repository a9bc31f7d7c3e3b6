"""Schemas as rows."""

from typing import Any

import pytest

from baton.web.fields import Reader, Row
from baton.web.texts import Pair, Texts

COMPONENTS = {
    "Inner": {
        "title": "Inner",
        "type": "object",
        "properties": {
            "model": {"type": "string"},
            "again": {"$ref": "#/components/schemas/Inner"},
        },
        "required": ["model"],
    }
}
TABLE = {
    "type.array": Pair("{} 数组", "array of {}"),
    "type.map": Pair("对象", "map of {}"),
    "field.model": Pair("模型", "a model"),
    "field.Inner.model": Pair("内", "the inner model"),
    "field.again": Pair("又", "again"),
    "field.items": Pair("项", "items"),
}


@pytest.fixture
def reader() -> Reader:
    return Reader(COMPONENTS, Texts(TABLE, "en"))


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string"}, "string"),
        ({"type": "integer", "minimum": 0}, "integer (≥ 0)"),
        ({"type": "number", "minimum": 0, "maximum": 2}, "number (0 … 2)"),
        ({"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}, "integer"),
        ({"type": "array", "items": {"type": "string"}}, "array of string"),
        ({"type": "array"}, "array"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "string | null"),
        (
            {"type": "array", "items": {"anyOf": [{"type": "number"}, {"type": "null"}]}},
            "array of (number | null)",
        ),
        ({"enum": ["a", "b"]}, '"a" | "b"'),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "map of number"),
        ({"$ref": "#/components/schemas/Inner"}, "object"),
        ({}, "any"),
    ],
)
def test_a_type_is_one_line(reader: Reader, schema: dict[str, Any], expected: str) -> None:
    """As short as it can be said."""
    assert expected == reader.type(schema)


def test_nested_fields_follow_their_parent(reader: Reader) -> None:
    """Through references, lists and null; the more specific text wins; depth is bounded."""
    schema = {
        "type": "object",
        "properties": {
            "model": {"type": "string"},
            "items": {
                "anyOf": [
                    {"type": "array", "items": {"$ref": "#/components/schemas/Inner"}},
                    {"type": "null"},
                ]
            },
        },
    }
    rows = reader.rows(schema)
    expected = [
        Row("model", "model", 0, "string", False, "a model"),
        Row("items", "items", 0, "array of object | null", False, "items"),
        Row("items.model", "model", 1, "string", True, "the inner model"),
    ]
    assert expected == rows[:3]
    assert 5 == max(row.depth for row in rows)


def test_a_title_can_be_given(reader: Reader) -> None:
    """For schemas that do not name themselves."""
    schema = {"type": "object", "properties": {"model": {"type": "string"}}}
    assert ["the inner model"] == [row.text for row in reader.rows(schema, "Inner")]
