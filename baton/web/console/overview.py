"""The overview: what is going on now, and what went on over time. Only sums are read (see
stores/traffic.py), so that it is as fast with a million requests as with ten.
"""

import asyncio
import datetime
from typing import Any

import msgspec
from starlette.responses import Response

from baton.stores.base import UsageRecord
from baton.web.admin import stored
from baton.web.admin_history import Window
from baton.web.admin_reports import day_of, start_us
from baton.web.console import figures
from baton.web.console.call import Call
from baton.web.console.screen import Screen
from baton.web.console.timeline import WINDOWS, Totals, WindowName, drawn, filled, totals
from baton.web.models import found_models
from baton.web.operation import Access
from baton.web.services import UsageQuery

MODELS_MAX = 8
"""Of the models of today, by requests."""


class OverviewQuery(msgspec.Struct, frozen=True):
    window: WindowName = "day"


async def show_overview(call: Call) -> Response:
    asked = call.query(OverviewQuery)
    told, models = await asyncio.gather(_told(call, asked.window), _models_today(call))
    numbers = call.services.numbers()
    found = found_models(call.services.catalogue(), call.services.embedded)
    values = {
        "window": asked.window,
        "windows": list(WINDOWS),
        "told": told,
        "live": numbers.in_flight,
        "workers": numbers.processes,
        "models": models,
        "address": call.services.settings.address,
        "model": next(iter(found), None),
    }
    return call.page("overview.html", values)


async def get_data(call: Call) -> Response:
    """What the charts draw, for the page's script."""
    return call.answer(await _told(call, call.query(OverviewQuery).window))


async def _told(call: Call, name: WindowName) -> dict[str, Any]:
    """Read and reckoned in a thread: the loop relays meanwhile."""
    return await stored(_reckoned, call, WINDOWS[name])


def _reckoned(call: Call, window: Window) -> dict[str, Any]:
    now_s = call.services.clock_us() // 1_000_000
    since_s = window.start_s(now_s)
    until_s = since_s + window.slots * window.span_s
    found = call.services.traffic.slots(window.span_s, since_s, until_s)
    slots = filled(found, window, now_s)
    return {
        "series": drawn(slots, window.span_s, call.room.currency),
        "tiles": tiles(totals(slots), window.span_s * window.slots, call),
    }


def tiles(found: Totals, window_s: int, call: Call) -> dict[str, str]:
    """The texts of the tiles, by name."""
    tokens = found.prompt_tokens + found.completion_tokens
    return {
        "requests": figures.short(found.requests),
        "rate": call.texts["tile.rate"].format(figures.short(found.requests / window_s * 60)),
        "failed": figures.percent(found.failed, found.requests),
        "failures": figures.short(found.failed),
        "tokens": figures.short(tokens),
        "prompt": figures.short(found.prompt_tokens),
        "completion": figures.short(found.completion_tokens),
        "cached": figures.percent(found.cached_tokens, found.prompt_tokens),
        "charge": figures.money(found.charge, call.room.currency),
        "margin": figures.money(found.charge - found.cost, call.room.currency),
        "first50": figures.duration(found.first50),
        "first95": figures.duration(found.first95),
        "gap50": figures.duration(found.gap50),
        "gap95": figures.duration(found.gap95),
        "handoffs": figures.count(found.handoffs),
        "handoff_rate": figures.percent(found.handoffs, found.requests),
    }


async def _models_today(call: Call) -> list[UsageRecord]:
    today = day_of(call.services.clock_us())
    query = UsageQuery(
        group_by=("model",),
        from_us=start_us(today),
        until_us=start_us(today + datetime.timedelta(days=1)),
    )
    found = await stored(call.services.usage, query)
    return sorted(found, key=lambda each: -each.requests)[:MODELS_MAX]


SCREENS = (
    Screen(method="GET", path="/console/overview", access=Access.REPORTS, run=show_overview),
    Screen(method="GET", path="/console/overview/data", access=Access.REPORTS, run=get_data),
)
