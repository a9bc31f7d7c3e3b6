"""JSON Schemas as people read them: one row per field, nested ones indented, types in a line."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from baton.web.texts import Texts

Schema = Mapping[str, Any]
DEPTH_MAX = 5
REFERENCE = "#/components/schemas/"


@dataclass(frozen=True, slots=True)
class Row:
    """One field. `path` is its full name, `depth` how far it is indented."""

    path: str
    name: str
    depth: int
    type: str
    required: bool
    text: str


class Reader:
    """Turns schemas into rows, in one language."""

    def __init__(self, components: Mapping[str, Schema], texts: Texts) -> None:
        self._components, self._texts = components, texts

    def rows(self, schema: Schema, title: str = "") -> list[Row]:
        """The fields of an object, or of the objects in a list, depth first.

        `title`: the type whose texts hold, where the schema does not name itself.
        """
        return list(self._rows({"title": title, **schema}, "", 0))

    def type(self, schema: Schema) -> str:
        """The type in a line: `string | array of string`, `integer ≥ 1`."""
        schema = self._resolved(schema)
        for word in ("oneOf", "anyOf"):
            if word in schema:
                return " | ".join(dict.fromkeys(self.type(one) for one in schema[word]))
        if "enum" in schema:
            return " | ".join(f'"{value}"' for value in schema["enum"])
        if schema.get("type") == "array":
            if "items" not in schema:
                return "array"
            inner = self.type(schema["items"])
            return self._texts["type.array"].format(f"({inner})" if " | " in inner else inner)
        if isinstance(schema.get("additionalProperties"), Mapping):
            return self._texts["type.map"].format(self.type(schema["additionalProperties"]))
        return f"{schema.get('type', 'any')}{_range(schema)}"

    def _rows(self, schema: Schema, above: str, depth: int) -> Iterator[Row]:
        found = self._object(schema)
        if found is None or depth > DEPTH_MAX:
            return
        for name, inner in found.get("properties", {}).items():
            path = f"{above}.{name}" if above else name
            required = name in found.get("required", ())
            text = self._text(str(found.get("title", "")), path)
            yield Row(path, name, depth, self.type(inner), required, text)
            yield from self._rows(inner, path, depth + 1)

    def _text(self, title: str, path: str) -> str:
        """What a field means: within its type if that is said, else wherever it has this name."""
        name = path.rpartition(".")[2]
        specific = f"field.{title}.{name}"
        return self._texts[specific if specific in self._texts else f"field.{name}"]

    def _object(self, schema: Schema) -> Schema | None:
        """The object whose fields are to be shown: the schema's own, its list's, or its one
        branch's.
        """
        schema = self._resolved(schema)
        if "properties" in schema:
            return schema
        if "items" in schema:
            return self._object(schema["items"])
        branches = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
        return next((found for one in branches if (found := self._object(one))), None)

    def _resolved(self, schema: Schema) -> Schema:
        if "$ref" in schema:
            return self._components[str(schema["$ref"]).removeprefix(REFERENCE)]
        return schema


def _range(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None and abs(high) < 10**9:
        return f" ({low} … {high})"
    if low is not None and abs(low) < 10**9:
        return f" (≥ {low})"
    return ""
