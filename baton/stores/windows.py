"""When a budget's windows begin and end, and which account counts each. Pure: time is passed in.

A window of a day, a week or a month begins at local midnight of its first day in the budget's time
zone, so it may last 23 or 25 hours more or less where clocks change. Every instant lies in exactly
one window, also where midnight is skipped or comes twice: windows are cut at instants, not at what
clocks show.

    of(budget, at_us) -> Window                    its label, start and end
    account("team:t", budget, at_us) -> "team:t/day@2026-11-22"

An account's name carries the unit and the window, so that a new window is a new balance: nothing
has to be reset, and a request is charged to the window that it was admitted in.
"""

import datetime
import zoneinfo
from typing import Literal

import msgspec

from baton.stores.base import BudgetRecord, Span

TOKENS = "tokens:"
"""Begins the names of accounts that count tokens."""
REQUESTS = "requests:"
"""Likewise of those that count requests."""
UNITS = (TOKENS, REQUESTS)
MICROSECOND = datetime.timedelta(microseconds=1)
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)


class Window(msgspec.Struct, frozen=True):
    """A span of time, the end exclusive; None: without an end."""

    label: str
    start_us: int | None = None
    end_us: int | None = None


def zone(name: str) -> datetime.tzinfo:
    """The time zone of that IANA name. ValueError for an unknown one."""
    if name == "UTC":
        return datetime.UTC  # also where the system has no time zones
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, OSError, ValueError):
        raise ValueError(f"there is no time zone {name!r}") from None


def of(budget: BudgetRecord, at_us: int) -> Window:
    """The window of the budget that this instant lies in."""
    if budget.span == "total":
        return Window("")
    where = zone(budget.zone)
    day = (EPOCH + at_us * MICROSECOND).astimezone(where).date()
    first = _first(budget.span, day)
    while at_us < _midnight_us(first, where):
        first = _first(budget.span, first - DAY)
    while at_us >= (end_us := _midnight_us(_after(budget.span, first), where)):
        first = _after(budget.span, first)
    return Window(_label(budget.span, first), _midnight_us(first, where), end_us)


def budget_id(subject: str, budget: BudgetRecord) -> str:
    """Its name in the book; `subject` is the account of a key, or kind and id of a party."""
    unit = TOKENS if budget.unit == "tokens" else ""
    return f"{unit}{subject}/{budget.span}"


def account(subject: str, budget: BudgetRecord, at_us: int) -> str:
    """The account that counts what is used in the window of that instant."""
    label, name = of(budget, at_us).label, budget_id(subject, budget)
    return f"{name}@{label}" if label else name


def budget_of(account_id: str) -> str:
    """The budget that an account counts for; the account's own name where it has no windows."""
    return account_id.partition("@")[0]


def measure(account_id: str) -> Literal["tokens", "unreleased", "charge"]:
    """Which sum over requests the account counts."""
    if account_id.startswith(TOKENS):
        return "tokens"
    return "unreleased" if account_id.startswith(REQUESTS) else "charge"


def last_day(account_id: str) -> datetime.date | None:
    """The last day of the window that an account counts, in its budget's time zone; None where it
    counts no window that ends."""
    place, _, label = account_id.partition("@")
    span = place.rpartition("/")[2]
    try:
        if span == "day":
            return datetime.date.fromisoformat(label)
        if span == "week":
            year, _, week = label.partition("-W")
            return datetime.date.fromisocalendar(int(year), int(week), 7)
        if span == "month":
            return _after("month", datetime.date.fromisoformat(f"{label}-01")) - DAY
    except ValueError:
        pass
    return None


def _first(span: Span, day: datetime.date) -> datetime.date:
    """The first day of the window that the day lies in."""
    if span == "day":
        return day
    return day - day.weekday() * DAY if span == "week" else day.replace(day=1)


def _after(span: Span, first: datetime.date) -> datetime.date:
    """The first day of the next window."""
    if span == "month":
        return (first + 31 * DAY).replace(day=1)
    return first + (DAY if span == "day" else 7 * DAY)


def _midnight_us(day: datetime.date, where: datetime.tzinfo) -> int:
    """The instant at which the day begins: the first of two, or where the clock jumps over it."""
    midnight = datetime.datetime(day.year, day.month, day.day, tzinfo=where)
    return (midnight - EPOCH) // MICROSECOND


def _label(span: Span, first: datetime.date) -> str:
    if span == "week":
        year, week, _ = first.isocalendar()
        return f"{year}-W{week:02}"
    return first.isoformat() if span == "day" else f"{first:%Y-%m}"
