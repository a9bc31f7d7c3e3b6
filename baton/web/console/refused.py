"""Refused requests: why, and what their callers were told. They are on no ledger.

As in the log of requests an ordinary key sees its own, a team admin those of its party's keys. Who
reads reports also sees those of callers that showed no key that is known.
"""

import msgspec
from starlette.responses import Response

from baton.stores.refusals import RefusalFilter, RefusalRecord
from baton.web.admin import HttpStatus, Seq, stored
from baton.web.console.call import Call
from baton.web.console.requests import PER_PAGE, keys_shown, names_shown
from baton.web.console.screen import Screen
from baton.web.operation import Access


class RefusedQuery(msgspec.Struct, frozen=True):
    key: str = ""
    status: HttpStatus | None = None
    code: str = ""
    id: str = ""
    before: Seq | None = None


async def list_refused(call: Call) -> Response:
    asked, inner = call.query(RefusedQuery), call.may(Access.REPORTS)
    if asked.id and "/" not in asked.id:
        return call.go(f"requests/{asked.id}")
    only = RefusalFilter(
        key_ids=await keys_shown(call, asked.key), status=asked.status, code=asked.code or None
    )
    found = await stored(call.services.refusals.page, only, PER_PAGE + 1, asked.before)
    shown: list[RefusalRecord] = found[:PER_PAGE]
    values = {
        "asked": asked,
        "records": shown,
        "next": shown[-1].id if len(found) > PER_PAGE else None,
        "names": await names_shown(call),
        "inner": inner,
        "dropped": call.services.numbers().refusals.get("dropped", 0) if inner else 0,
    }
    return call.page("refused.html", values)


SCREENS = (
    Screen(method="GET", path="/console/requests/refused", access=Access.KEY, run=list_refused),
)
"""Before those of a request by its id: none has this one."""
