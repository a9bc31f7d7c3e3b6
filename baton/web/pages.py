"""The pages under /docs: an index, one page for each operation, and the files that they use.
(The guide's pages are in `guide_pages.py`, made by `render` here as all of them.)

Each page is complete without scripts; the one ES module adds copying and the form that tries a
call. All links are relative, so that the pages also work behind a proxy that serves Baton under a
prefix.
"""

import dataclasses
from typing import Any
from urllib.parse import quote

import msgspec
from starlette.responses import RedirectResponse, Response

from baton.decoding import WireFields
from baton.errors import ErrorBody, unknown_path
from baton.protocol import Completion
from baton.web.contract import PATHS
from baton.web.documents import site_of
from baton.web.examples import body_of, examples
from baton.web.fields import Reader, Row
from baton.web.models import found_models
from baton.web.openapi import error_statuses
from baton.web.operation import Access, AnyOperation, AnyQuery, Nothing, Operation, Visit
from baton.web.services import Services
from baton.web.site import Site, pretty
from baton.web.texts import LANGUAGES, Texts, chosen

CACHED_FOR_GOOD = "public, max-age=31536000, immutable"
JSON_CONTENT = "application/json"
TITLES = {"request": WireFields.__name__, "response": Completion.__name__}
"""The types of ours that say what the contract's fields mean: its schemas have no names."""


async def get_root(visit: Visit[Nothing, AnyQuery]) -> Response:
    """Whoever opens the bare address finds the way: operators to the console."""
    return RedirectResponse("console" if site_of(visit).apart else "docs")


async def get_index(visit: Visit[Nothing, AnyQuery]) -> Response:
    return render(visit, "index.html", root="", page={})


async def get_page(visit: Visit[Nothing, AnyQuery]) -> Response:
    site = site_of(visit)
    one = site.operation(visit.part("tag"), visit.part("operation"))
    if one is None:
        raise unknown_path("GET", visit.request.scope["path"])
    return render(visit, "operation.html", root="../../", page=page_of(visit, site, one))


async def get_static(visit: Visit[Nothing, AnyQuery]) -> Response:
    found = site_of(visit).static.get(visit.part("file"))
    if found is None:
        raise unknown_path("GET", visit.request.scope["path"])
    fresh = visit.request.query_params.get("v") == found.version
    headers = {"cache-control": CACHED_FOR_GOOD if fresh else "no-cache"}
    return Response(found.content, 200, headers, media_type=found.media)


def render(
    visit: Visit[Nothing, AnyQuery], template: str, *, root: str, page: dict[str, Any]
) -> Response:
    site = site_of(visit)
    texts = texts_of(visit, site)
    asked = visit.request.query_params.get("lang")
    html = site.templates.get_template(template).render(
        page=page,
        root=root,
        texts=texts,
        languages=LANGUAGES,
        lang=f"?lang={texts.language}" if asked == texts.language else "",
        version=visit.services.version,
        address=visit.services.settings.address,
        sections=sections(site),
        guide=site.guide.titles(texts.language),
        static={
            name: f"{root}docs/static/{name}?v={one.version}" for name, one in site.static.items()
        },
    )
    headers = {
        "content-language": texts.language,
        "vary": "accept-language",
        "cache-control": "no-cache",
    }
    return Response(html, 200, headers, media_type="text/html")


def texts_of(visit: Visit[Nothing, AnyQuery], site: Site) -> Texts:
    request = visit.request
    accepted = request.headers.get("accept-language", "")
    return site.texts[chosen(request.query_params.get("lang"), accepted)]


def sections(site: Site) -> dict[str, list[AnyOperation]]:
    """Listed operations by tag, in the order of the table."""
    found: dict[str, list[AnyOperation]] = {}
    for one in (each for each in site.operations if each.listed):
        found.setdefault(one.tag, []).append(one)
    return found


def page_of(visit: Visit[Nothing, AnyQuery], site: Site, one: AnyOperation) -> dict[str, Any]:
    """What the template of an operation shows."""
    services, texts = visit.services, texts_of(visit, site)
    model = a_model(visit)
    body = body_of(one, model)
    item = site.relay["paths"][one.public_path][one.method.lower()]
    reader = Reader(site.relay["components"]["schemas"], texts)
    return {
        "one": one,
        "item": item,
        "needs_key": one.access is not Access.OPEN,
        "statuses": [one.status, *error_statuses(one)],
        "address": _address(services, one),
        "examples": examples(one, _address(services, one), model),
        "body": None if body is None else msgspec.json.format(msgspec.json.encode(body)).decode(),
        "given": ("page.parameters", "page.request", "page.request.more"),
        "tables": tables(site, one, reader),
        "document": pretty(document_of(site, one, item)).decode(),
        "contract_path": contract_link(),
        "error_rows": reader.rows(site.relay["components"]["schemas"][ErrorBody.__name__]),
    }


def _address(services: Services, one: AnyOperation) -> str:
    """Where it is called."""
    settings = services.settings
    return settings.admin_address if one.for_operators else settings.address


def a_model(visit: Visit[Nothing, AnyQuery]) -> str:
    """A model that is served here, for the examples: the embedded one where there is one."""
    services = visit.services
    found = found_models(services.catalogue(), services.embedded).values()
    return next((each.name for each in sorted(found, key=lambda each: not each.embedded)), "model")


def contract_link() -> str:
    """From the site's root, percent-encoded: parentheses would end links in some readers."""
    return quote(PATHS[0].removeprefix("/"))


def document_of(site: Site, one: AnyOperation, item: dict[str, Any]) -> dict[str, Any]:
    """The JSON that a page shows: the contract on the first, the operation's own part on the
    others.
    """
    if one.id == "createcompletion":
        return site.contract
    return {one.public_path: {one.method.lower(): item}}


def tables(site: Site, one: AnyOperation, reader: Reader) -> list[tuple[str, list[Row]]]:
    """Headings (keys of texts) and rows: what goes in, what comes out."""
    schemas = site.relay["components"]["schemas"]
    found: list[tuple[str, list[Row]]] = []
    parameters = [p for p in site.relay["paths"][one.public_path][one.method.lower()]["parameters"]]
    given = {
        "properties": {p["name"]: p["schema"] for p in parameters},
        "required": [p["name"] for p in parameters if p["required"]],
    }
    found.append(("page.parameters", reader.rows(given)))
    if one.id == "createcompletion":
        operation = site.contract["paths"]["/v1/completions"]["post"]
        asked = operation["requestBody"]["content"][JSON_CONTENT]["schema"]
        told = operation["responses"]["200"]["content"][JSON_CONTENT]["schema"]
        found += split(reader, asked, schemas[TITLES["request"]], "request")
        found += split(reader, told, schemas[TITLES["response"]], "response")
        return [(heading, rows) for heading, rows in found if rows]
    operation = site.relay["paths"][one.public_path][one.method.lower()]
    if one.has_body:
        schema = operation["requestBody"]["content"][JSON_CONTENT]["schema"]
        found.append(("page.request", reader.rows(schema)))
    schema = next(iter(operation["responses"][str(one.status)]["content"].values()))["schema"]
    found.append(("page.response", reader.rows(schema)))
    return [(heading, rows) for heading, rows in found if rows]


def split(
    reader: Reader, published: dict[str, Any], ours: dict[str, Any], side: str
) -> list[tuple[str, list[Row]]]:
    """The contract's fields, then those that Baton has beyond it."""
    first = reader.rows(published, TITLES[side])
    known = {row.path for row in first}
    more = [
        dataclasses.replace(
            row, name=row.path, depth=0
        )  # their parents may stand in the first table
        for row in reader.rows(ours)
        if row.path not in known
    ]
    return [(f"page.{side}", first), (f"page.{side}.more", more)]


OPERATIONS = (
    Operation(
        id="getroot",
        listed=False,
        tag="documents",
        method="GET",
        path="/",
        access=Access.OPEN,
        run=get_root,
        query=AnyQuery,
        media="text/html",
        status=307,
    ),
    Operation(
        id="getdocs",
        listed=False,
        tag="documents",
        method="GET",
        path="/docs",
        access=Access.OPEN,
        run=get_index,
        query=AnyQuery,
        media="text/html",
    ),
    Operation(
        id="getstatic",
        listed=False,
        tag="documents",
        method="GET",
        path="/docs/static/{file}",
        access=Access.OPEN,
        run=get_static,
        query=AnyQuery,
        media="application/octet-stream",
    ),
    Operation(
        id="getpage",
        listed=False,
        tag="documents",
        method="GET",
        path="/docs/{tag}/{operation}",
        access=Access.OPEN,
        run=get_page,
        query=AnyQuery,
        media="text/html",
    ),
)
