"""Windows: every instant lies in one, one follows another, and each has its own account."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton.stores import windows
from baton.stores.base import BudgetRecord, Span

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/Sao_Paulo",  # midnight was skipped
    "America/Havana",  # midnight to one comes twice
    "Asia/Beirut",
    "Pacific/Apia",  # 2011-12-30 never was
    "Australia/Lord_Howe",  # half an hour
    "Asia/Kathmandu",
)
instants = st.integers(
    int(datetime.datetime(1995, 1, 1, tzinfo=datetime.UTC).timestamp()) * 10**6,
    int(datetime.datetime(2037, 1, 1, tzinfo=datetime.UTC).timestamp()) * 10**6,
)
spans: st.SearchStrategy[Span] = st.sampled_from(("day", "week", "month"))


def budget(span: Span = "day", zone: str = "UTC", **fields: object) -> BudgetRecord:
    return BudgetRecord(amount=1, span=span, zone=zone, **fields)  # type: ignore[arg-type]


def at_us(text: str) -> int:
    return round(datetime.datetime.fromisoformat(text).timestamp() * 1e6)


@given(st.sampled_from(ZONES), spans, instants)
def test_windows_tile_the_time(zone: str, span: Span, at: int) -> None:
    """An instant lies in its window; the next begins where this one ends, under another name."""
    asked = budget(span, zone)
    window = windows.of(asked, at)
    assert window.start_us is not None
    assert window.end_us is not None
    assert window.start_us <= at < window.end_us
    following = windows.of(asked, window.end_us)
    assert window.end_us == following.start_us
    assert window.label < following.label
    for inside in (window.start_us, window.end_us - 1):
        assert window == windows.of(asked, inside)
    days = (window.end_us - window.start_us) / 86_400e6
    least, most = {"day": (0.9, 1.1), "week": (5.9, 7.1), "month": (27.9, 31.1)}[span]
    assert least <= days <= most, days


@pytest.mark.parametrize(
    ("span", "zone", "at", "label", "start"),
    [
        ("day", "UTC", "2026-11-22T23:59:59Z", "2026-11-22", "2026-11-22T00:00:00Z"),
        ("day", "Europe/Berlin", "2026-11-22T23:00:00Z", "2026-11-23", "2026-11-22T23:00:00Z"),
        ("week", "UTC", "2026-11-22T12:00:00Z", "2026-W47", "2026-11-16T00:00:00Z"),
        ("week", "UTC", "2027-01-01T12:00:00Z", "2026-W53", "2026-12-28T00:00:00Z"),
        ("month", "Asia/Kathmandu", "2026-11-30T18:15:00Z", "2026-12", "2026-11-30T18:15:00Z"),
        ("day", "America/Sao_Paulo", "2018-11-04T03:00:00Z", "2018-11-04", "2018-11-04T03:00:00Z"),
    ],
)
def test_known_windows(span: Span, zone: str, at: str, label: str, start: str) -> None:
    """Days begin at local midnight, or where the clock jumps over it; weeks on Monday."""
    window = windows.of(budget(span, zone), at_us(at))
    assert (label, at_us(start)) == (window.label, window.start_us)


def test_accounts_have_names_of_their_own() -> None:
    """By subject, unit, span and window; and each leads back to its budget."""
    at = at_us("2026-11-22T12:00:00Z")
    asked = [
        budget("total"),
        budget("day"),
        budget("day", unit="tokens"),
        budget("month"),
    ]
    names = [windows.account("team:t", each, at) for each in asked]
    assert [
        "team:t/total",
        "team:t/day@2026-11-22",
        "tokens:team:t/day@2026-11-22",
        "team:t/month@2026-11",
    ] == names
    budgets = [windows.budget_id("team:t", each) for each in asked]
    assert budgets == [windows.budget_of(name) for name in names]
    assert windows.Window("") == windows.of(asked[0], at), "no end"


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../../etc/passwd", "Europe", "\0"])
def test_unknown_zones(name: str) -> None:
    """A name that is no time zone is refused, whatever file it may lead to."""
    with pytest.raises(ValueError, match="no time zone"):
        windows.zone(name)


@pytest.mark.parametrize("span", ["day", "week", "month"])
def test_the_last_day_of_an_account(span: Span) -> None:
    """It is the day before the next window's first, whatever the unit."""
    for unit in ("nano_usd", "tokens"):
        budget = BudgetRecord(amount=1, unit=unit, span=span)
        for day in range(0, 800, 3):
            at_us = day * 86_400_000_000
            window = windows.of(budget, at_us)
            last = windows.last_day(windows.account("team:t", budget, at_us))
            assert last is not None
            assert window.end_us is not None
            assert windows.of(budget, window.end_us - 1) == window
            assert windows.EPOCH + window.end_us * windows.MICROSECOND == datetime.datetime.combine(
                last + windows.DAY, datetime.time(), datetime.UTC
            )


@pytest.mark.parametrize("name", ["key:k", "team:t/total", "key:k/day", "key:k/day@x", "a@b", ""])
def test_accounts_without_an_end(name: str) -> None:
    """They are never over."""
    assert windows.last_day(name) is None


def test_what_accounts_count() -> None:
    """Money but for names that begin otherwise."""
    names = ("key:k", "tokens:key:k/day", "requests:free/key:k/m/day")
    assert ["charge", "tokens", "unreleased"] == [windows.measure(name) for name in names]
