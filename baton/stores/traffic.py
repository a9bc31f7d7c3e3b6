"""Traffic over time: what came, how it ended and how fast it was, summed per minute, ten minutes,
hour and day, so that a page about a million requests reads some hundred rows.

Every fold adds its batch to all four spans (`post`). Times stand as counts in fixed buckets, each a
sixth to a half wider than the one before, and percentiles are as exact as those; a mean gap between
tokens counts once for each gap. Short spans are dropped after a while (`KEPT_S`): who asks about
longer gets longer ones. What was folded before this table was came into it by its migration.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import msgspec
import sqlalchemy
from sqlalchemy import bindparam, delete, select

from baton.stores.carried import Row, of
from baton.stores.database import Database
from baton.stores.sums import Sum, add, totals
from baton.stores.tables import latency, traffic

SPANS_S = (60, 600, 3_600, 86_400)
KEPT_S = {60: 86_400, 600: 8 * 86_400, 3_600: 100 * 86_400}
"""How long slots of a span are kept; days for good."""
PRUNED_EVERY_S = 600
BOUNDS_US = (
    100, 200, 300, 500, 700, 1_000, 1_500, 2_000, 3_000, 5_000, 7_000, 10_000, 15_000, 20_000,
    30_000, 50_000, 70_000, 100_000, 150_000, 200_000, 300_000, 500_000, 700_000, 1_000_000,
    1_500_000, 2_000_000, 3_000_000, 5_000_000, 7_000_000, 10_000_000, 20_000_000, 60_000_000,
)  # fmt: skip
"""Upper bounds of the buckets; the last one is beyond all."""
Kind = Literal["first", "gap"]
_timed = of("first_byte_us", "last_byte_us", "completion_tokens")
COUNTS = tuple(column.name for column in traffic.columns if not column.primary_key)


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over the requests that were created within one span."""

    start_s: int
    requests: int = 0
    failed: int = 0
    handoffs: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    charge: int = 0
    cost: int = 0
    first: tuple[int, ...] = (0,) * (len(BOUNDS_US) + 1)
    """Streams by the time to their first token: counts by bucket."""
    gap: tuple[int, ...] = (0,) * (len(BOUNDS_US) + 1)
    """Gaps between tokens, likewise."""


_PRUNE = [
    delete(table).where(table.c.span_s == bindparam("span"), table.c.start_s < bindparam("before"))
    for table in (traffic, latency)
]


def post(connection: sqlalchemy.Connection, groups: Sequence[tuple[Sum, list[Row]]]) -> None:
    """Add a batch (of `summed`) to every span; now and then drop what is not kept."""
    names = ("minute", *COUNTS)
    found = totals([each for each, _ in groups], names[:1], COUNTS)
    minutes = [dict(zip(names, row, strict=True)) for row in found]
    add(connection, traffic, _in_spans(minutes))
    add(connection, latency, _in_spans(_times(groups)))
    _prune(connection, max(each["minute"] for each in minutes) * 60)


def _in_spans(sums: Iterable[Sum]) -> Iterator[Sum]:
    for each in sums:
        for span_s in SPANS_S:
            yield each | {"span_s": span_s, "start_s": each["minute"] * 60 // span_s * span_s}


def _times(groups: Iterable[tuple[Sum, list[Row]]]) -> list[Sum]:
    """How often a stream's first token, or the next one, took as long as a bucket says."""
    times: defaultdict[tuple[int, Kind, int], int] = defaultdict(int)
    for each, rows in groups:
        if not each["stream"] or each["status"] >= 400:
            continue
        for first_us, last_us, tokens in map(_timed, rows):
            if first_us is None:
                continue
            times[each["minute"], "first", bucket_of(first_us)] += 1
            gaps = (tokens or 0) - 1
            if gaps > 0 and last_us is not None and last_us >= first_us:
                times[each["minute"], "gap", bucket_of((last_us - first_us) // gaps)] += gaps
    names = ("minute", "kind", "bucket", "times")
    return [dict(zip(names, (*place, n), strict=True)) for place, n in times.items()]


def _prune(connection: sqlalchemy.Connection, now_s: int) -> None:
    if now_s % PRUNED_EVERY_S:
        return
    for span_s, kept_s in KEPT_S.items():
        for statement in _PRUNE:
            connection.execute(statement, {"span": span_s, "before": now_s - kept_s})


class Traffic:
    """Reads what was summed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def slots(self, span_s: int, since_s: int, until_s: int) -> list[Slot]:
        """The slots of a span that begin within [since, until), oldest first; those of no request
        are left out."""
        with self._database.reading() as connection:
            rows = connection.execute(_within(traffic, span_s, since_s, until_s)).mappings().all()
            times = connection.execute(_within(latency, span_s, since_s, until_s)).all()
        histograms: defaultdict[tuple[int, str], list[int]] = defaultdict(
            lambda: [0] * (len(BOUNDS_US) + 1)
        )
        for one in times:
            histograms[one.start_s, one.kind][one.bucket] = one.times
        return [
            Slot(
                start_s=row["start_s"],
                **{name: row[name] for name in COUNTS},
                first=tuple(histograms[row["start_s"], "first"]),
                gap=tuple(histograms[row["start_s"], "gap"]),
            )
            for row in rows
        ]


def _within(
    table: sqlalchemy.Table, span_s: int, since_s: int, until_s: int
) -> sqlalchemy.Select[Any]:
    mine = (table.c.span_s == span_s) & (table.c.start_s >= since_s) & (table.c.start_s < until_s)
    return select(table).where(mine).order_by(table.c.start_s)


def merged(histograms: Iterable[Sequence[int]]) -> list[int]:
    """The counts of several together."""
    total = [0] * (len(BOUNDS_US) + 1)
    for each in histograms:
        for index, times in enumerate(each):
            total[index] += times
    return total


def quantile_us(counts: Sequence[int], share: float) -> float | None:
    """Microseconds within which so much of all fell, evenly within a bucket; None of nothing."""
    left, lower = share * sum(counts), 0
    for upper, times in zip((*BOUNDS_US, BOUNDS_US[-1]), counts, strict=True):
        if times and left <= times:
            return lower + (upper - lower) * left / times
        left -= times
        lower = upper
    return None


def bucket_of(us: int) -> int:
    """The number of the bucket that a time falls into."""
    return bisect_left(BOUNDS_US, us)
