"""What happened over time, as the overview draws it: one value a slot, sums, percentiles. Pure."""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from baton.ledger.currency import MICRO, NANO, Currency
from baton.stores.traffic import Slot, merged, quantile_us
from baton.web.admin_history import DAY, HOUR, WEEK, Window

WindowName = Literal["hour", "day", "week", "quarter"]


WINDOWS: dict[WindowName, Window] = {
    "hour": HOUR,
    "day": DAY,
    "week": WEEK,
    "quarter": Window(86_400, 90),
}


def filled(slots: Sequence[Slot], window: Window, now_s: int) -> list[Slot]:
    """Every slot of the window, also those in which nothing was asked."""
    found, start_s = {slot.start_s: slot for slot in slots}, window.start_s(now_s)
    starts = range(start_s, start_s + window.slots * window.span_s, window.span_s)
    return [found.get(at_s) or Slot(start_s=at_s) for at_s in starts]


def drawn(slots: Sequence[Slot], span_s: int, currency: Currency) -> dict[str, Any]:
    """For the charts: a list a line; times in milliseconds, rates in percent, amounts in the
    display currency."""
    scale = currency.micro_per_usd / MICRO / NANO
    return {
        "start_s": slots[0].start_s if slots else 0,
        "span_s": span_s,
        "requests": [slot.requests - slot.failed for slot in slots],
        "failed": [slot.failed for slot in slots],
        "prompt": [slot.prompt_tokens for slot in slots],
        "completion": [slot.completion_tokens for slot in slots],
        "charge": [round(slot.charge * scale, 9) for slot in slots],
        "cost": [round(slot.cost * scale, 9) for slot in slots],
        "first50": [_ms(slot.first, 0.5) for slot in slots],
        "first95": [_ms(slot.first, 0.95) for slot in slots],
        "gap50": [_ms(slot.gap, 0.5) for slot in slots],
        "gap95": [_ms(slot.gap, 0.95) for slot in slots],
        "errors": [_percent(slot.failed, slot.requests) for slot in slots],
        "handoffs": [_percent(slot.handoffs, slot.requests) for slot in slots],
    }


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Of the whole window. Times in microseconds."""

    requests: int
    failed: int
    handoffs: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    charge: int
    cost: int
    first50: float | None
    first95: float | None
    gap50: float | None
    gap95: float | None


SUMMED = (
    "requests", "failed", "handoffs", "prompt_tokens", "cached_tokens", "completion_tokens",
    "charge", "cost",
)  # fmt: skip


def totals(slots: Sequence[Slot]) -> Totals:
    first, gap = merged(s.first for s in slots), merged(s.gap for s in slots)
    return Totals(
        **{name: sum(getattr(slot, name) for slot in slots) for name in SUMMED},
        first50=quantile_us(first, 0.5),
        first95=quantile_us(first, 0.95),
        gap50=quantile_us(gap, 0.5),
        gap95=quantile_us(gap, 0.95),
    )


def _ms(counts: Sequence[int], share: float) -> float | None:
    us = quantile_us(counts, share)
    return None if us is None else round(us / 1_000, 3)


def _percent(part: int, whole: int) -> float | None:
    return round(100 * part / whole, 3) if whole else None
