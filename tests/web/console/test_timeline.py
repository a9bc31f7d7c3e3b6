"""Slots of a window: every one is there, and totals are of all."""

from baton.ledger.currency import Currency
from baton.stores.traffic import BOUNDS_US, Slot, bucket_of
from baton.web.console.timeline import WINDOWS, drawn, filled, totals


def slot(start_s: int) -> Slot:
    counts = [0] * (len(BOUNDS_US) + 1)
    counts[bucket_of(40_000)] = 2
    return Slot(
        start_s=start_s,
        requests=4,
        failed=1,
        handoffs=2,
        prompt_tokens=10,
        completion_tokens=5,
        charge=2_000_000_000,
        cost=1_000_000_000,
        first=tuple(counts),
    )


def test_what_is_missing_is_nothing() -> None:
    window, now_s = WINDOWS["hour"], 3_600 * 24 + 61
    slots = filled([slot(3_600 * 24)], window, now_s)
    assert 60 == len(slots)
    assert [4, 0] == [slots[-2].requests, slots[-1].requests]
    assert 3_600 * 24 + 60 == slots[-1].start_s


def test_lines() -> None:
    told = drawn([slot(0), Slot(start_s=60)], 60, Currency("CNY", 7_200_000))
    assert ([3, 0], [1, 0]) == (told["requests"], told["failed"])
    assert [14.4, 0] == told["charge"]
    assert ([25.0, None], [50.0, None]) == (told["errors"], told["handoffs"])
    assert told["first50"][1] is None
    assert 30 < told["first50"][0] <= 50


def test_totals() -> None:
    found = totals([slot(0), slot(60)])
    assert (8, 2, 4, 30) == (
        found.requests,
        found.failed,
        found.handoffs,
        found.prompt_tokens + found.completion_tokens,
    )
    assert found.gap95 is None
    assert found.first95 is not None
