"""/admin/v1/requests: single requests as they stand on the ledger, with the attempts at each.

Never what was asked or answered: where that is kept, it has a route of its own (admin_contents.py).
"""

import msgspec

from baton.stores.base import AttemptRecord, RequestRecord
from baton.web.admin import Page, PageLimit, stored
from baton.web.operation import Access, Nothing, Operation, Visit


class RequestsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which requests, the newest first."""

    key: str | None = None
    after: str | None = None
    """The `request_id` of the last one of the page before."""
    limit: PageLimit = 100


class RequestFound(msgspec.Struct, frozen=True, kw_only=True):
    """One request, and what each of several attempts at it used and cost."""

    request: RequestRecord
    spent: list[AttemptRecord]
    """Empty where there was one attempt: the request tells all of it."""


async def list_requests(visit: Visit[Nothing, RequestsQuery]) -> Page[RequestRecord]:
    asked = visit.query
    found = await stored(
        visit.services.ledger.requests, asked.limit + 1, key_id=asked.key, after=asked.after or None
    )
    return Page(data=found[: asked.limit], has_more=len(found) > asked.limit)


async def get_request(visit: Visit[Nothing, Nothing]) -> RequestFound:
    request = await stored(visit.services.ledger.request, visit.part("request_id"))
    return RequestFound(
        request=request, spent=await stored(visit.services.ledger.attempts, request.id)
    )


OPERATIONS = (
    Operation(
        id="adminlistrequests",
        tag="admin",
        method="GET",
        path="/admin/v1/requests",
        access=Access.REPORTS,
        run=list_requests,
        query=RequestsQuery,
        answer=Page[RequestRecord],
        errors=(400, 404),
    ),
    Operation(
        id="admingetrequest",
        tag="admin",
        method="GET",
        path="/admin/v1/requests/{request_id}",
        access=Access.REPORTS,
        run=get_request,
        answer=RequestFound,
        errors=(404,),
    ),
)
