"""/openapi/relay.json: the whole interface, made from the operations and the types that they
declare.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from baton.decoding import WireFields
from baton.errors import ErrorBody
from baton.protocol import Completion
from baton.web.operation import Access, AnyOperation
from baton.web.texts import Texts

Schema = dict[str, Any]
REFERENCE = "#/components/schemas/{name}"
PROMPT: Schema = {
    "oneOf": [
        {"type": "string"},
        {"type": "array", "items": {"type": "string"}},
        {"type": "array", "items": {"type": "integer"}},
        {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
    ]
}
"""OpenAI's four forms. `decoding` reads the prompt by its first bytes, not by a type that says
this.
"""
FIXED_MODEL = {"name": "fixed_model", "in": "path", "required": True, "schema": {"type": "string"}}


def document(
    operations: Sequence[AnyOperation], address: str, version: str, texts: Texts
) -> Schema:
    """OpenAPI 3.1. Every operation is in it, also each prefixed path."""
    schemas = Schemas(operations)
    paths: dict[str, Schema] = {}
    for one in operations:
        item = operation_item(one, schemas, texts)
        paths.setdefault(one.public_path, {})[one.method.lower()] = item
        if one.prefixed:
            under = {**item, "operationId": f"{one.id}ofmodel"}
            under["parameters"] = [FIXED_MODEL, *item["parameters"]]
            paths.setdefault(f"/m/{{fixed_model}}{one.public_path}", {})[one.method.lower()] = under
    bearer = {"type": "http", "scheme": "bearer", "description": texts["contract.bearer"]}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Baton",
            "version": version,
            "description": texts["site.description"],
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": address}],
        "tags": [
            {"name": tag, "description": texts[f"tag.{tag}"]}
            for tag in dict.fromkeys(one.tag for one in operations)
        ],
        "paths": paths,
        "components": {"securitySchemes": {"BearerAuth": bearer}, "schemas": schemas.components},
    }


class Schemas:
    """The JSON Schemas of all types that go in or out."""

    def __init__(self, operations: Iterable[AnyOperation]) -> None:
        types: list[Any] = [ErrorBody, Completion, WireFields]
        for one in operations:
            types += [kind for kind in (one.body, one.query, one.answer) if kind is not None]
        self._types = list(dict.fromkeys(types))
        found, self.components = msgspec.json.schema_components(self._types, ref_template=REFERENCE)
        self._found = dict(zip(self._types, found, strict=True))
        complete_request(self.components["WireFields"])

    def of(self, kind: Any) -> Schema:
        """A reference to the schema of this type."""
        found: Schema = self._found[kind]
        return found

    def parameters(self, query: Any) -> list[Schema]:
        """A query type's fields as parameters."""
        name = self.of(query)["$ref"].rpartition("/")[2]
        schema = self.components[name]
        return [
            {
                "name": field,
                "in": "query",
                "required": field in schema["required"],
                "schema": inner,
                **({"explode": False} if inner.get("type") == "array" else {}),
            }
            for field, inner in schema["properties"].items()
        ]


def complete_request(schema: Schema) -> None:
    """The fields that `decoding` reads apart: what is required, and the prompt in all its forms."""
    schema["title"] = "CompletionRequest"
    schema["description"] = "The body of POST /v1/completions; null is as if left out."
    properties = schema["properties"]
    properties["model"] = {"type": "string"}
    schema["properties"] = {"model": properties.pop("model"), "prompt": PROMPT, **properties}
    schema["required"] = ["model", "prompt"]


def operation_item(one: AnyOperation, schemas: Schemas, texts: Texts) -> Schema:
    item: Schema = {
        "tags": [one.tag],
        "operationId": one.id,
        "summary": texts[f"{one.id}.title"],
        "description": texts[f"{one.id}.description"],
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in one.parameters
        ],
        "responses": responses(one, schemas, texts),
    }
    item["parameters"] += schemas.parameters(one.query)
    if one.has_body:
        content = {"application/json": {"schema": schemas.of(one.body)}}
        item["requestBody"] = {"required": True, "content": content}
    item["security"] = [] if one.access is Access.OPEN else [{"BearerAuth": []}]
    return item


def responses(one: AnyOperation, schemas: Schemas, texts: Texts) -> Schema:
    """By status. A readiness probe's 503 has the shape of its 200: it is an answer, not an
    error.
    """
    schema = {"type": "string"} if one.answer is None else schemas.of(one.answer)
    content: Schema = {one.media: {"schema": schema}}
    if one.answer is Completion:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    found = {str(one.status): {"description": texts[f"status.{one.status}"], "content": content}}
    for status in error_statuses(one):
        shape = schema if one.access is Access.OPEN else schemas.of(ErrorBody)
        found[str(status)] = {
            "description": texts[f"status.{status}"],
            "content": {"application/json": {"schema": shape}},
        }
    return found


def error_statuses(one: AnyOperation) -> list[int]:
    """The statuses other than success: the operation's own, and those of its access and its
    body.
    """
    statuses = set(one.errors)
    # 403: from an address that the key does not allow, too; 421: by a name that is not Baton's.
    if one.access is not Access.OPEN:
        statuses |= {401, 403, 421, 503}
    if one.has_body:
        statuses |= {400, 413}
    return sorted(statuses)
