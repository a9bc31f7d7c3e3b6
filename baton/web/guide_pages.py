"""/docs/guide/…: the pages of the guide, and the index that the search in the browser reads."""

import asyncio

from starlette.responses import Response

from baton.errors import unknown_path
from baton.web.documents import site_of
from baton.web.operation import Access, AnyQuery, Nothing, Operation, Visit
from baton.web.pages import render, texts_of


async def get_guide(visit: Visit[Nothing, AnyQuery]) -> Response:
    """Rendered in a thread when it is first asked for: that takes longer than a loop may stall."""
    site = site_of(visit)
    language = texts_of(visit, site).language
    page = await asyncio.to_thread(site.guide.page, language, visit.part("name"))
    if page is None:
        raise unknown_path("GET", visit.request.scope["path"])
    return render(visit, "guide.html", root="../../", page={"guide": page})


async def get_index(visit: Visit[Nothing, AnyQuery]) -> Response:
    site = site_of(visit)
    index = await asyncio.to_thread(site.guide.index, texts_of(visit, site).language)
    headers = {"cache-control": "no-cache", "vary": "accept-language"}
    return Response(index, 200, headers, media_type="application/json")


OPERATIONS = (
    Operation(
        id="getguide",
        listed=False,
        tag="documents",
        method="GET",
        path="/docs/guide/{name}",
        access=Access.OPEN,
        run=get_guide,
        query=AnyQuery,
        media="text/html",
    ),
    Operation(
        id="getsearchindex",
        listed=False,
        tag="documents",
        method="GET",
        path="/docs/search.json",
        access=Access.OPEN,
        run=get_index,
        query=AnyQuery,
    ),
)
