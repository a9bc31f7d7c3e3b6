"""The request log: what stands on the ledger of each request — never a prompt, never an answer.

An ordinary key sees its own requests, a team admin those of its party's keys.
"""

from typing import Literal

import msgspec
from starlette.responses import Response

from baton.stores.base import Missing, RequestRecord
from baton.stores.usage import LogFilter
from baton.web.admin import stored
from baton.web.console.call import Call
from baton.web.console.screen import Screen
from baton.web.console.waterfall import parts
from baton.web.operation import Access

PER_PAGE = 50


class LogQuery(msgspec.Struct, frozen=True):
    key: str = ""
    model: str = ""
    upstream: str = ""
    end: Literal["all", "answered", "failed"] = "all"
    id: str = ""
    before: int | None = None


async def list_requests(call: Call) -> Response:
    asked = call.query(LogQuery)
    if asked.id:
        return call.go(f"requests/{asked.id}") if "/" not in asked.id else call.go("requests")
    inner = call.may(Access.REPORTS)
    only = LogFilter(
        key_ids=await _keys(call, asked.key),
        model=asked.model or None,
        upstream=(asked.upstream or None) if inner else None,
        failed=None if asked.end == "all" else asked.end == "failed",
    )
    found = await stored(call.services.ledger.log, only, PER_PAGE, asked.before)
    values = {
        "asked": asked,
        "records": found.rows,
        "next": found.next,
        "names": await _names(call),
        "inner": inner,
        "slowest": max((one.last_byte_us or 0 for one in found.rows), default=0),
    }
    return call.page("requests.html", values)


async def show_request(call: Call) -> Response:
    record = await stored(_readable, call, call.part("id"), await _keys(call, ""))
    inner = call.may(Access.REPORTS)
    attempts = await stored(call.services.ledger.attempts, record.id) if inner else []
    values = {
        "record": record,
        "attempts": attempts,
        "parts_found": parts(record),
        "names": await _names(call),
        "inner": inner,
    }
    return call.page("request.html", values)


def _readable(call: Call, request_id: str, key_ids: tuple[str, ...] | None) -> RequestRecord:
    """Blocks. Somebody else's is not there."""
    record = call.services.ledger.request(request_id)
    if key_ids is not None and record.key_id not in key_ids:
        raise Missing(f"there is no request {request_id!r}")
    return record


async def _keys(call: Call, wanted: str) -> tuple[str, ...] | None:
    """The keys whose requests are shown; None: all."""
    if call.may(Access.REPORTS):
        return (wanted,) if wanted else None
    mine: tuple[str, ...] = (call.record.id,)
    if call.may(Access.TEAM):
        owners = await stored(call.services.parties.reach, call.record.owner or "")
        mine = tuple(one.id for one in await stored(call.services.keys.all, owners))
    return tuple(each for each in mine if wanted in ("", each))


async def _names(call: Call) -> dict[str, str]:
    if not call.may(Access.REPORTS) and not call.may(Access.TEAM):
        return {call.record.id: call.record.name}
    return {one.id: one.name for one in await stored(call.services.keys.all)}


SCREENS = (
    Screen(method="GET", path="/console/requests", access=Access.KEY, run=list_requests),
    Screen(method="GET", path="/console/requests/{id}", access=Access.KEY, run=show_request),
)
