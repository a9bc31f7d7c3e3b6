"""A request's time, in parts that follow each other: where it waited, and where it was answered.
Pure; from the timings of its row on the ledger (microseconds after it came).
"""

import msgspec

from baton.stores.base import RequestRecord


class Part(msgspec.Struct, frozen=True):
    """One bar. Places and widths are shares of the whole, in percent."""

    name: str
    """hold | queue | first | chunks"""
    from_us: int
    until_us: int
    left: float
    width: float

    @property
    def lasts_us(self) -> int:
        return self.until_us - self.from_us


MARKS = (
    ("hold", "hold_us"),
    ("queue", "queue_us"),
    ("first", "first_byte_us"),
    ("chunks", "last_byte_us"),
)
"""Each part ends with its mark; one that did not happen has no part."""
WIDTH_MIN = 0.4
"""Percent: so that the shortest part is seen."""


def parts(record: RequestRecord) -> list[Part]:
    """In order of time; none where nothing was timed. Clocks may step back: no part is negative."""
    found, at_us = [], 0
    for name, mark in MARKS:
        until_us: int | None = getattr(record, mark)
        if until_us is None:
            continue
        until_us = max(at_us, until_us)
        found.append((name, at_us, until_us))
        at_us = until_us
    whole = max(1, at_us)
    return [
        Part(
            name,
            start,
            end,
            round(100 * start / whole, 3),
            round(max(WIDTH_MIN, 100 * (end - start) / whole), 3),
        )
        for name, start, end in found
    ]
