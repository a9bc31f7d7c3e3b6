"""The interface as files: /openapi/relay.json, and the contract where it was published."""

from starlette.responses import Response

from baton.web import contract
from baton.web.operation import Access, AnyQuery, Nothing, Operation, Visit
from baton.web.site import Site, pretty


def site_of(visit: Visit[Nothing, AnyQuery]) -> Site:
    found = visit.request.app.state.site
    assert isinstance(found, Site)
    return found


async def get_relay(visit: Visit[Nothing, AnyQuery]) -> Response:
    return Response(pretty(site_of(visit).relay), media_type="application/json")


async def get_contract(visit: Visit[Nothing, AnyQuery]) -> Response:
    return Response(pretty(site_of(visit).contract), media_type="application/json")


OPERATIONS = (
    Operation(
        id="getrelaydocument",
        tag="documents",
        method="GET",
        path="/openapi/relay.json",
        access=Access.OPEN,
        run=get_relay,
        query=AnyQuery,
    ),
    Operation(
        id="getcontract",
        tag="documents",
        method="GET",
        path=contract.PATHS[0],
        access=Access.OPEN,
        run=get_contract,
        query=AnyQuery,
    ),
    Operation(
        id="getcontractfullwidth",
        listed=False,
        tag="documents",
        method="GET",
        path=contract.PATHS[1],
        access=Access.OPEN,
        run=get_contract,
        query=AnyQuery,
    ),
)
