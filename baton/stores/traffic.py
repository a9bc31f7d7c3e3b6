"""Traffic over time: what came, how it ended and how fast it was, summed per minute, ten minutes,
hour and day, so that a page about a million requests reads some hundred rows.

Every fold adds its batch to all four spans (`post`). Times stand as counts in fixed buckets, each a
sixth to a half wider than the one before, and percentiles are as exact as those; a mean gap between
tokens counts once for each gap. Short spans are dropped after a while (`KEPT_S`): who asks about
longer gets longer ones. What was folded before this table was came into it by its migration.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec
import sqlalchemy
from sqlalchemy import bindparam, delete, select, text

from baton.stores.database import Database
from baton.stores.sums import adding
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


def bucket(expression: str) -> str:
    """SQL for the number of the bucket that a whole number of microseconds falls into: some five
    comparisons."""

    def between(low: int, high: int) -> str:
        if low == high:
            return str(low)
        middle = (low + high) // 2
        return (
            f"CASE WHEN {expression} <= {BOUNDS_US[middle]} THEN {between(low, middle)}"
            f" ELSE {between(middle + 1, high)} END"
        )

    return between(0, len(BOUNDS_US))


_GAP_US = "((last_byte_us - first_byte_us) / (completion_tokens - 1))"
_STREAMED = "stream = 1 AND first_byte_us IS NOT NULL AND status < 400"
_GAPS = f"{_STREAMED} AND completion_tokens > 1 AND last_byte_us >= first_byte_us"


def sums(rows: str) -> sqlalchemy.TextClause:
    """The sums of some requests by minute and buckets; `rows` is what comes after FROM, with its
    conditions."""
    return text(
        "SELECT created_us / 60000000 AS minute,"
        f" CASE WHEN {_STREAMED} THEN {bucket('first_byte_us')} ELSE -1 END AS first_bucket,"
        f" CASE WHEN {_GAPS} THEN {bucket(_GAP_US)} ELSE -1 END AS gap_bucket,"
        " count(*) AS requests,"
        " sum(CASE WHEN status >= 400 OR state = 'interrupted' THEN 1 ELSE 0 END) AS failed,"
        " sum(handoffs) AS handoffs, coalesce(sum(prompt_tokens), 0) AS prompt_tokens,"
        " coalesce(sum(cached_tokens), 0) AS cached_tokens,"
        " coalesce(sum(completion_tokens), 0) AS completion_tokens,"
        " sum(charge) AS charge, sum(cost) AS cost,"
        f" sum(CASE WHEN {_GAPS} THEN completion_tokens - 1 ELSE 0 END) AS gaps"
        f" FROM {rows} GROUP BY 1, 2, 3"
    )


_ADD, _ADD_TIMES = adding(traffic), adding(latency)
_PRUNE = [
    delete(table).where(table.c.span_s == bindparam("span"), table.c.start_s < bindparam("before"))
    for table in (traffic, latency)
]


def post(connection: sqlalchemy.Connection, found: Sequence[sqlalchemy.RowMapping]) -> None:
    """Add a batch's sums (of `sums`) to every span; now and then drop what is not kept."""
    if not found:
        return
    counts: defaultdict[tuple[int, int], dict[str, int]] = defaultdict(
        lambda: dict.fromkeys(COUNTS, 0)
    )
    times: defaultdict[tuple[int, int, Kind, int], int] = defaultdict(int)
    for row in found:
        for span_s in SPANS_S:
            place = span_s, int(row["minute"]) * 60 // span_s * span_s
            slot = counts[place]
            for name in COUNTS:
                slot[name] += int(row[name])
            if row["first_bucket"] >= 0:
                times[*place, "first", row["first_bucket"]] += int(row["requests"])
            if row["gap_bucket"] >= 0:
                times[*place, "gap", row["gap_bucket"]] += int(row["gaps"])
    # In one order, so that no two writers wait for each other.
    connection.execute(
        _ADD, [{"span_s": p[0], "start_s": p[1], **counts[p]} for p in sorted(counts)]
    )
    if times:
        names = ("span_s", "start_s", "kind", "bucket", "times")
        connection.execute(
            _ADD_TIMES, [dict(zip(names, (*p, times[p]), strict=True)) for p in sorted(times)]
        )
    _prune(connection, max(int(row["minute"]) for row in found) * 60)


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
    """The same as `bucket`, of a number."""
    return bisect_left(BOUNDS_US, us)
