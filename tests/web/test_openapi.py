"""relay.json is the interface: every route is in it, everything in it is routed, every type
resolves.
"""

import re
from typing import Any

from starlette.routing import Match

from baton.decoding import SingleRequest
from baton.web.openapi import document, error_statuses
from baton.web.operation import Access
from baton.web.routes import OPERATIONS, routes
from baton.web.texts import load

DOCUMENT = document(OPERATIONS, "https://relay.test", "9.9", load()["en"])
SCHEMAS = DOCUMENT["components"]["schemas"]
ROUTES = routes(OPERATIONS)


def documented() -> set[tuple[str, str]]:
    """(method, path) of the document."""
    return {(method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in item}


def routed() -> set[tuple[str, str]]:
    """(method, path) of the routes that are served, in OpenAPI's writing."""
    return {
        (method, re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path))
        for route in ROUTES
        for method in route.app.methods  # type: ignore[attr-defined]
    }


def walk(document: Any) -> list[dict[str, Any]]:
    """Every object in a document."""
    if isinstance(document, dict):
        return [document, *(one for value in document.values() for one in walk(value))]
    return [one for value in document for one in walk(value)] if isinstance(document, list) else []


def test_every_route_is_documented_and_every_document_routed() -> None:
    """Both ways, method by method, also under /m/{model}."""
    assert routed() == documented()


def test_a_documented_path_leads_to_its_own_route() -> None:
    """No earlier pattern swallows a path (such as /admin/v1/keys/import)."""
    for _, path in documented():
        scope = {"type": "http", "method": "GET", "path": re.sub(r"\{\w+\}", "x", path)}
        first = next(route for route in ROUTES if route.matches(scope)[0] is not Match.NONE)
        assert path == re.sub(r"\{(\w+):\w+\}", r"{\1}", first.path)


def test_every_reference_resolves() -> None:
    """No type is named that is not there, and none is there that nobody names."""
    named = {one["$ref"].rpartition("/")[2] for one in walk(DOCUMENT) if "$ref" in one}
    assert named <= SCHEMAS.keys()
    queries = {each.query.__name__ for each in OPERATIONS} | {"Nothing"}
    assert SCHEMAS.keys() - named <= queries


def test_operations_are_named_once_and_say_what_they_are() -> None:
    """Unique operationIds; title, tag, answers; security as the access demands."""
    items = [item for path in DOCUMENT["paths"].values() for item in path.values()]
    ids = [item["operationId"] for item in items]
    assert len(ids) == len(set(ids))
    by_id = {item["operationId"]: item for item in items}
    for one in OPERATIONS:
        item = by_id[one.id]
        assert item["summary"]
        assert item["description"]
        assert ([] if one.access is Access.OPEN else [{"BearerAuth": []}]) == item["security"]
        expected = {str(status) for status in (one.status, *error_statuses(one))}
        assert expected == set(item["responses"])
        in_path = {p["name"] for p in item["parameters"] if p["in"] == "path"}
        assert set(one.parameters) == in_path


def test_the_statuses_of_a_completion() -> None:
    """All that it can end with: also from an address that the key does not allow, and too late."""
    told = {int(status) for status in DOCUMENT["paths"]["/v1/completions"]["post"]["responses"]}
    assert told >= {200, 400, 401, 403, 404, 408, 409, 413, 415, 421, 422, 429, 500, 502, 503, 504}
    assert "403" in DOCUMENT["paths"]["/v1/models"]["get"]["responses"]


def test_the_completion_body_is_the_code_s_own_type() -> None:
    """Every field that `decode` reads is documented, and no other; prompts in all four forms."""
    schema = SCHEMAS["WireFields"]
    assert set(SingleRequest.__struct_fields__) == set(schema["properties"])
    assert ["model", "prompt"] == schema["required"]
    assert 4 == len(schema["properties"]["prompt"]["oneOf"])


def test_the_server_is_ours() -> None:
    """Tools that read the file call the address that callers use."""
    assert [{"url": "https://relay.test"}] == DOCUMENT["servers"]
    assert ("3.1.0", "9.9") == (DOCUMENT["openapi"], DOCUMENT["info"]["version"])
