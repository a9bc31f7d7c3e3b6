"""The request log: what stands on the ledger of each request.

An ordinary key sees its own requests, a team admin those of its party's keys. What was asked and
answered is on the page of a request alone, where its key keeps it, once somebody who administers
that key asks for it: by a form, as each reading is an entry of the audit log.
"""

from typing import Literal

import msgspec
from starlette.responses import Response

from baton.stores.base import Missing, RequestRecord
from baton.stores.refusals import RefusalRecord
from baton.stores.usage import LogFilter
from baton.web import admin_contents
from baton.web.admin import Seq, stored
from baton.web.console.call import Call
from baton.web.console.contents import KeptContent, kept, shown
from baton.web.console.screen import Screen
from baton.web.console.waterfall import parts
from baton.web.operation import Access

PER_PAGE = 50
CONTENT = "/console/requests/{id}/content"


class LogQuery(msgspec.Struct, frozen=True):
    key: str = ""
    model: str = ""
    upstream: str = ""
    end: Literal["all", "answered", "failed"] = "all"
    id: str = ""
    before: Seq | None = None


async def list_requests(call: Call) -> Response:
    asked = call.query(LogQuery)
    if asked.id:
        return call.go(f"requests/{asked.id}") if "/" not in asked.id else call.go("requests")
    inner = call.may(Access.REPORTS)
    only = LogFilter(
        key_ids=await keys_shown(call, asked.key),
        model=asked.model or None,
        upstream=(asked.upstream or None) if inner else None,
        failed=None if asked.end == "all" else asked.end == "failed",
    )
    found = await stored(call.services.ledger.log, only, PER_PAGE, asked.before)
    values = {
        "asked": asked,
        "records": found.rows,
        "next": found.next,
        "names": await names_shown(call),
        "inner": inner,
        "slowest": max((one.last_byte_us or 0 for one in found.rows), default=0),
    }
    return call.page("requests.html", values)


async def show_request(call: Call) -> Response:
    record = await stored(_readable, call, call.part("id"), await keys_shown(call, ""))
    if isinstance(record, RefusalRecord):
        return call.page("refusal.html", {"record": record, "names": await names_shown(call)})
    key = await stored(call.services.keys.get, record.key_id)
    return await _page(call, record, await kept(call, record, key))


async def show_content(call: Call) -> Response:
    record, key = await admin_contents.administered(call.visit(), call.part("id"))
    found = await kept(call, record, key)
    if found.until_us is not None:
        _, content = await admin_contents.read(call.visit(), record, key)
        found = msgspec.structs.replace(found, shown=shown(content))
    return await _page(call, record, found)


async def leave_content(call: Call) -> Response:
    """Where a content was shown, opened anew: each reading is asked for by itself."""
    return call.go(f"requests/{call.part('id')}")


async def _page(call: Call, record: RequestRecord, found: KeptContent) -> Response:
    inner = call.may(Access.REPORTS)
    attempts = await stored(call.services.ledger.attempts, record.id) if inner else []
    values = {
        "record": record,
        "attempts": attempts,
        "parts_found": parts(record),
        "names": await names_shown(call),
        "inner": inner,
        "kept": found,
        "path": f"/admin/v1/requests/{record.request_id}/content",
    }
    return call.page("request.html", values)


def _readable(
    call: Call, request_id: str, key_ids: tuple[str, ...] | None
) -> RequestRecord | RefusalRecord:
    """Blocks. Of one that is not on the ledger, that it was refused. Somebody else's is not
    there."""
    record: RequestRecord | RefusalRecord
    try:
        record = call.services.ledger.request(request_id)
    except Missing:
        record = call.services.refusals.get(request_id)
    if key_ids is not None and record.key_id not in key_ids:
        raise Missing(f"there is no request {request_id!r}")
    return record


async def keys_shown(call: Call, wanted: str) -> tuple[str, ...] | None:
    """The keys whose requests are shown; None: all."""
    if call.may(Access.REPORTS):
        return (wanted,) if wanted else None
    mine: tuple[str, ...] = (call.record.id,)
    if call.may(Access.TEAM):
        owners = await stored(call.services.parties.reach, call.record.owner or "")
        mine = tuple(one.id for one in await stored(call.services.keys.all, owners))
    return tuple(each for each in mine if wanted in ("", each))


async def names_shown(call: Call) -> dict[str, str]:
    if not call.may(Access.REPORTS) and not call.may(Access.TEAM):
        return {call.record.id: call.record.name}
    return {one.id: one.name for one in await stored(call.services.keys.all)}


SCREENS = (
    Screen(method="GET", path="/console/requests", access=Access.KEY, run=list_requests),
    Screen(method="GET", path="/console/requests/{id}", access=Access.KEY, run=show_request),
    Screen(method="POST", path=CONTENT, access=Access.TEAM, run=show_content),
    Screen(method="GET", path=CONTENT, access=Access.TEAM, run=leave_content),
)
