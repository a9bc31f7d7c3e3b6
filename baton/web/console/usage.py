"""What was used: sums by any grouping, drilled down by following a row, and the same as CSV.

An ordinary key sees its own, a team admin its party's, both without what upstreams cost.
"""

import datetime
from typing import Any, get_args

import msgspec
from starlette.responses import Response

from baton.errors import forbidden
from baton.ledger.report import UsageLine
from baton.web.admin import stored
from baton.web.admin_reports import UsageAsked, day_of, report_usage, usage_lines
from baton.web.console.call import Call
from baton.web.console.screen import Screen
from baton.web.operation import Access
from baton.web.services import UsageGroup

DAYS = (1, 7, 30, 90)
ROWS_MAX = 200
FILTERS = ("key", "model", "upstream", "party", "end_user")
DEEPER: dict[str, str] = {
    "organisation": "key",
    "team": "key",
    "user": "key",
    "key": "model",
    "model": "upstream",
    "upstream": "model",
    "end_user": "day",
}
"""What a followed row is grouped by next."""
PLACES = ("model", "upstream")
INNER = ("upstream", "organisation", "team", "user")
"""Groupings that only those who read all reports have."""


class Asked(msgspec.Struct, frozen=True):
    by: UsageGroup | None = None
    days: int = 30
    key: str | None = None
    model: str | None = None
    upstream: str | None = None
    party: str | None = None
    end_user: str | None = None


async def show_usage(call: Call) -> Response:
    asked, all_reports = call.query(Asked), call.may(Access.REPORTS)
    groups = _apart(_groups(call), asked)
    first: UsageGroup = next(each for each in ("key", "model", "day") if each in groups)
    by = asked.by or first
    lines = await _lines(call, asked, by)
    days = await _lines(call, asked, "day")
    shown = sorted(lines, key=lambda one: (-one.charge_nano, -one.requests))[:ROWS_MAX]
    values = {
        "asked": asked,
        "by": by,
        "groups": groups,
        "choices": DAYS,
        "lines": sorted(shown, key=lambda one: one.day, reverse=True) if by == "day" else shown,
        "left_out": len(lines) - len(shown),
        "name_of": lambda one: getattr(one, "key_id" if by == "key" else by),
        "names": await _names(call, by),
        "deeper": DEEPER.get(by, ""),
        "field": "party" if by in ("organisation", "team", "user") else by,
        "filters": {name: value for name in FILTERS if (value := getattr(asked, name))},
        "narrowed": lambda name, value, then: call.again({name: value, "by": then}),
        "without": lambda name: call.again({name: ""}),
        "inner": all_reports,
        "largest": max((one.charge_nano for one in shown), default=0),
        "total": _total(days),
        "days": msgspec.json.encode([[one.day, one.requests, one.charge] for one in days]).decode(),
        "since": _since(call, asked).isoformat(),
    }
    return call.page("usage.html", values)


async def get_csv(call: Call) -> Response:
    asked = call.query(Asked)
    if not call.may(Access.REPORTS):
        raise forbidden("This needs an admin key or a billing reader's.")
    query = _report(call, asked, asked.by or "key", "csv")
    answer = await report_usage(call.visit(query=query))
    assert isinstance(answer, Response)
    return answer


async def _lines(call: Call, asked: Asked, by: UsageGroup) -> list[UsageLine]:
    if by not in _groups(call):
        raise forbidden("This grouping needs an admin key or a billing reader's.")
    return await usage_lines(call.visit(query=_report(call, asked, by, "json")))


def _report(call: Call, asked: Asked, by: UsageGroup, form: Any) -> UsageAsked:
    """The question as the visitor may ask it."""
    key, upstream, party = asked.key, asked.upstream, asked.party
    if not call.may(Access.REPORTS):
        upstream = None
        if call.may(Access.TEAM):
            party = call.record.owner
        else:
            key, party = call.record.id, None
    return UsageAsked(
        group_by=(by,),
        since=_since(call, asked),
        key=key,
        model=asked.model,
        upstream=upstream,
        party=party,
        end_user=asked.end_user,
        format=form,
    )


def _since(call: Call, asked: Asked) -> datetime.date:
    days = min(max(asked.days, 1), 3_660)
    return day_of(call.services.clock_us()) - datetime.timedelta(days=days - 1)


def _groups(call: Call) -> tuple[UsageGroup, ...]:
    every: tuple[UsageGroup, ...] = get_args(UsageGroup)
    if call.may(Access.REPORTS):
        return every
    hidden = INNER if call.may(Access.TEAM) else (*INNER, "key")
    return tuple(group for group in every if group not in hidden)


def _apart(groups: tuple[UsageGroup, ...], asked: Asked) -> tuple[UsageGroup, ...]:
    """Those that there are sums by beside these filters: none knows users and models together."""
    if asked.end_user:
        return tuple(each for each in groups if each not in PLACES)
    return tuple(
        each for each in groups if each != "end_user" or not (asked.model or asked.upstream)
    )


async def _names(call: Call, by: UsageGroup) -> dict[str, str]:
    """What people call the keys or parties that rows are about."""
    if by == "key":
        owners = None
        if not call.may(Access.REPORTS):
            owners = await stored(call.services.parties.reach, call.record.owner or "")
        return {one.id: one.name for one in await stored(call.services.keys.all, owners)}
    if by in ("organisation", "team", "user"):
        return {one.id: one.name for one in await stored(call.services.parties.all)}
    return {}


def _total(lines: list[UsageLine]) -> dict[str, int]:
    names = ("requests", "failed", "prompt_tokens", "completion_tokens", "charge_nano", "cost_nano")
    return {name: sum(getattr(one, name) for one in lines) for name in names}


SCREENS = (
    Screen(method="GET", path="/console/usage", access=Access.KEY, run=show_usage),
    Screen(method="GET", path="/console/usage.csv", access=Access.REPORTS, run=get_csv),
)
