"""For probes and scrapers: is the process alive, can it answer, what has it counted."""

import msgspec
from starlette.responses import Response

from baton.engine.wire import Description
from baton.telemetry.exposition import CONTENT_TYPE, render
from baton.upstreams.base import UpstreamError
from baton.web.operation import Access, AnyQuery, Nothing, Operation, Visit
from baton.web.services import Embedded, Readiness


class Alive(msgspec.Struct, frozen=True, kw_only=True):
    status: str = "ok"
    version: str


async def healthz(visit: Visit[Nothing, AnyQuery]) -> Alive:
    """200 as long as the event loop turns: a probe that fails here calls for a restart."""
    return Alive(version=visit.services.version)


async def readyz(visit: Visit[Nothing, AnyQuery]) -> Response:
    """503 keeps load balancers away without a restart: what is missing may come back."""
    found = await visit.services.readiness()
    status = 200 if found.ready else 503
    return Response(msgspec.json.encode(found), status, media_type="application/json")


async def metrics(visit: Visit[Nothing, AnyQuery]) -> Response:
    services = visit.services
    engine = await _described(services.embedded)
    body = render(services.numbers(), engine, services.version)
    return Response(body, headers={"content-type": CONTENT_TYPE})


async def _described(embedded: Embedded | None) -> Description | None:
    if embedded is None:
        return None
    try:
        return await embedded.describe()
    except UpstreamError:
        return None


OPERATIONS = (
    Operation(
        id="healthz",
        tag="health",
        method="GET",
        path="/healthz",
        access=Access.OPEN,
        run=healthz,
        query=AnyQuery,
        answer=Alive,
    ),
    Operation(
        id="readyz",
        tag="health",
        method="GET",
        path="/readyz",
        access=Access.OPEN,
        run=readyz,
        query=AnyQuery,
        answer=Readiness,
        errors=(503,),
    ),
    Operation(
        id="metrics",
        tag="health",
        method="GET",
        path="/metrics",
        access=Access.OPEN,
        run=metrics,
        query=AnyQuery,
        media="text/plain",
    ),
)
