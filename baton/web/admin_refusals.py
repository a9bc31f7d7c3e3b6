"""/admin/v1/refusals: refused requests, which are on no ledger. Not each is kept."""

import msgspec

from baton.stores.refusals import RefusalFilter, RefusalRecord
from baton.web.admin import HttpStatus, Page, PageLimit, stored
from baton.web.operation import Access, Nothing, Operation, Visit


class RefusalsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which refused requests, the newest first."""

    key: str | None = None
    status: HttpStatus | None = None
    code: str | None = None
    after: str | None = None
    """The `request_id` of the last one of the page before."""
    limit: PageLimit = 100


async def list_refusals(visit: Visit[Nothing, RefusalsQuery]) -> Page[RefusalRecord]:
    asked, log = visit.query, visit.services.refusals
    keys = None if asked.key is None else (asked.key,)
    only = RefusalFilter(key_ids=keys, status=asked.status, code=asked.code)
    before = (await stored(log.get, asked.after)).id if asked.after else None
    found = await stored(log.page, only, asked.limit + 1, before)
    return Page(data=found[: asked.limit], has_more=len(found) > asked.limit)


async def get_refusal(visit: Visit[Nothing, Nothing]) -> RefusalRecord:
    return await stored(visit.services.refusals.get, visit.part("request_id"))


OPERATIONS = (
    Operation(
        id="adminlistrefusals",
        tag="admin",
        method="GET",
        path="/admin/v1/refusals",
        access=Access.REPORTS,
        run=list_refusals,
        query=RefusalsQuery,
        answer=Page[RefusalRecord],
        errors=(400, 404),
    ),
    Operation(
        id="admingetrefusal",
        tag="admin",
        method="GET",
        path="/admin/v1/refusals/{request_id}",
        access=Access.REPORTS,
        run=get_refusal,
        answer=RefusalRecord,
        errors=(404,),
    ),
)
