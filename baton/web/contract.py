"""The contract of POST /v1/completions: the published OpenAPI file, with this server's address.

Its structure is given, field by field; other programs read it, so nothing is added here that Baton
can do beyond it (that stands in /openapi/relay.json). A test compares it with a copy of the
published file.
"""

from typing import Any

from baton.web.texts import Texts

TAG = "补全(Completions)"
OPERATION_ID = "createcompletion"
FILE_NAME = "post-v1-completions-createcompletion-383826474.json"
FOLDERS = ("补全(Completions)", "补全（Completions）")
"""The folder as published, and with full-width parentheses as some tools write it."""
PATHS = tuple(f"/openapi/generated/ai-model/{folder}/{FILE_NAME}" for folder in FOLDERS)

Schema = dict[str, Any]


def text() -> Schema:
    return {"type": "string"}


def whole() -> Schema:
    return {"type": "integer"}


def number() -> Schema:
    return {"type": "number"}


def flag() -> Schema:
    return {"type": "boolean"}


def one_or_many() -> Schema:
    """A string or an array of strings."""
    return {"oneOf": [text(), {"type": "array", "items": text()}]}


def record(properties: dict[str, Schema], required: tuple[str, ...] = ()) -> Schema:
    """An object whose fields are shown in the order in which they are given here."""
    schema: Schema = {"type": "object"}
    if required:
        schema["required"] = list(required)
    return {**schema, "properties": properties, "x-apifox-orders": list(properties)}


def request_schema() -> Schema:
    return record(
        {
            "model": text(),
            "prompt": one_or_many(),
            "max_tokens": whole(),
            "temperature": number(),
            "top_p": number(),
            "n": whole(),
            "stream": flag(),
            "stop": one_or_many(),
            "suffix": text(),
            "echo": flag(),
        },
        required=("model", "prompt"),
    )


def response_schema(texts: Texts) -> Schema:
    choice = record({"text": text(), "index": whole(), "finish_reason": text()})
    return record(
        {
            "id": text(),
            "object": {**text(), "examples": ["text_completion"]},
            "created": whole(),
            "model": text(),
            "choices": {"type": "array", "items": choice},
            "usage": usage_schema(texts),
        }
    )


def usage_schema(texts: Texts) -> Schema:
    def told(name: str) -> Schema:
        return {**whole(), "description": texts[f"contract.{name}"]}

    prompt_details = ("cached_tokens", "text_tokens", "audio_tokens", "image_tokens")
    completion_details = ("text_tokens", "audio_tokens", "reasoning_tokens")
    return record(
        {
            "prompt_tokens": told("prompt_tokens"),
            "completion_tokens": told("completion_tokens"),
            "total_tokens": told("total_tokens"),
            "prompt_tokens_details": record({name: whole() for name in prompt_details}),
            "completion_tokens_details": record({name: whole() for name in completion_details}),
        }
    )


def contract(address: str, texts: Texts) -> Schema:
    """The whole file. `texts` are the Chinese ones: the contract is published in Chinese."""
    summary = {"summary": texts["contract.title"], "description": texts["contract.description"]}
    operation = {
        "tags": [TAG],
        **summary,
        "operationId": OPERATION_ID,
        "parameters": [],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": request_schema()}},
        },
        "security": [{"BearerAuth": []}],
        "responses": {
            "200": {
                "description": texts["contract.created"],
                "content": {"application/json": {"schema": response_schema(texts)}},
            }
        },
    }
    bearer = {"type": "http", "scheme": "bearer", "description": texts["contract.bearer"]}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": texts["contract.title"],
            "version": "1.0.0",
            "description": texts["contract.description"],
        },
        "tags": [{"name": TAG}],
        "components": {"securitySchemes": {"BearerAuth": bearer}},
        "paths": {"/v1/completions": {"post": operation}},
        "servers": [{"url": address, "description": texts["contract.server"]}],
    }
