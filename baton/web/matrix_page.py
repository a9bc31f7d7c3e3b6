"""/docs/capabilities: each field on each dialect, as the planner answers; made of the code."""

from starlette.responses import Response

from baton.routing.matrix import PROBES, cell
from baton.upstreams import registry
from baton.web.operation import Access, AnyQuery, Nothing, Operation, Visit
from baton.web.pages import render


async def get_matrix(visit: Visit[Nothing, AnyQuery]) -> Response:
    """The same table as docs/reference/capabilities.md, with the words of each cell."""
    tables = registry.capabilities()
    rows = [(probe.label, [cell(native, probe) for native in tables.values()]) for probe in PROBES]
    page = {"dialects": list(tables), "rows": rows}
    return render(visit, "matrix.html", root="../", page=page)


OPERATIONS = (
    Operation(
        id="getmatrix",
        listed=False,
        tag="documents",
        method="GET",
        path="/docs/capabilities",
        access=Access.OPEN,
        run=get_matrix,
        query=AnyQuery,
        media="text/html",
    ),
)
