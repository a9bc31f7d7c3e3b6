"""For probes and scrapers: is the process alive, can it answer, what has it counted.

Probes are answered before anything here is loaded (front.py); here they have their documentation.
"""

import msgspec
from starlette.responses import Response

from baton.engine.wire import Description
from baton.telemetry.exposition import CONTENT_TYPE, Silent, render
from baton.upstreams.base import UpstreamError
from baton.web.front import Alive
from baton.web.operation import (
    METRICS_PATH,
    Access,
    AnyOperation,
    AnyQuery,
    Nothing,
    Operation,
    Visit,
)
from baton.web.services import Embedded, Readiness


async def metrics(visit: Visit[Nothing, AnyQuery]) -> Response:
    services = visit.services
    engine = await _described(services.embedded)
    body = render(services.numbers(), engine, services.version)
    return Response(body, headers={"content-type": CONTENT_TYPE})


async def _described(embedded: Embedded | None) -> Description | Silent | None:
    if embedded is None:
        return None
    try:
        return await embedded.describe()
    except UpstreamError:
        return Silent()


def _probe(name: str, answer: type[msgspec.Struct], errors: tuple[int, ...] = ()) -> AnyOperation:
    """What front.py answers at the path of that name."""
    return Operation(
        id=name,
        tag="health",
        method="GET",
        path=f"/{name}",
        access=Access.OPEN,
        run=None,
        query=AnyQuery,
        answer=answer,
        errors=errors,
    )


OPERATIONS: tuple[AnyOperation, ...] = (
    _probe("healthz", Alive),
    _probe("readyz", Readiness, (503,)),
    _probe("health", Readiness, (503,)),
    Operation(
        id="metrics",
        tag="health",
        method="GET",
        path=METRICS_PATH,
        access=Access.OPEN,
        run=metrics,
        query=AnyQuery,
        media="text/plain",
    ),
)
