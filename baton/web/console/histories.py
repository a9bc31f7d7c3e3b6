"""How upstreams fared over time: strips for the page of all, and a page for each."""

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.responses import Response

from baton.routing.routes import EMBEDDED
from baton.web import admin_history
from baton.web.admin import Seq, stored
from baton.web.admin_history import STATES, WINDOWS, HistoryQuery, WindowName
from baton.web.console import health
from baton.web.console.call import Call
from baton.web.console.screen import Screen
from baton.web.operation import Access

PER_PAGE = 20
"""Changes of state."""
STRIPS_MAX = 50
"""On the page of all upstreams: each of them has a page of its own."""
FAILURES = ("failed_calls", "lost_streams", "handoffs")
TIMES = ("first_token_p50_ms", "first_token_p95_ms")


class WindowAsked(msgspec.Struct, frozen=True):
    window: WindowName = "day"


class HistoryAsked(msgspec.Struct, frozen=True):
    window: WindowName = "day"
    before: Seq | None = None


async def strips(call: Call, names: Sequence[str]) -> dict[str, Any]:
    """What a page needs to draw the strips of these upstreams, and of the embedded model."""
    asked = call.query(WindowAsked)
    embedded = [EMBEDDED] if call.services.embedded is not None else []
    shown = [*names, *embedded][:STRIPS_MAX]
    slots = await stored(admin_history.told, call.services, shown, asked.window)
    span_s = WINDOWS[asked.window].span_s
    return {
        "window": asked.window,
        "windows": list(WINDOWS),
        "legend": STATES,
        "strips": [health.strip(name, slots[name], span_s) for name in shown],
    }


async def show_history(call: Call) -> Response:
    asked = call.query(HistoryAsked)
    query = HistoryQuery(window=asked.window, before=asked.before, limit=PER_PAGE)
    found = await admin_history.get_history(call.visit(query=query))
    values = {
        "found": found,
        "asked": asked,
        "windows": list(WINDOWS),
        "legend": STATES,
        "strip": health.strip(found.upstream, found.slots, found.span_s),
        "requests": health.bars(found.slots, ("requests",)),
        "failures": health.bars(found.slots, FAILURES),
        "times": health.lines(found.slots, TIMES),
        "embedded_name": EMBEDDED,
    }
    return call.page("upstream_history.html", values)


SCREENS = (
    Screen(
        method="GET",
        path="/console/upstreams/{name}/history",
        access=Access.ADMIN,
        run=show_history,
    ),
)
