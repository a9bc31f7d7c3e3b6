"""How upstreams fared over time: sums by minute, ten minutes and hour, and each change of state.

Workers write here every few seconds what they saw since (`recording.py`), many things at a time;
nothing is written for an upstream of which nothing is to be told. What is kept is bounded: slots
by their age (`KEPT_S`), changes by their age and their number for each upstream. Whoever writes
drops, now and then, what is not kept any more.
"""

import time
from collections import defaultdict
from collections.abc import Collection, Iterable

import msgspec
import sqlalchemy
from sqlalchemy import bindparam, delete, select

from baton.stores.database import Database
from baton.stores.history_tables import upstream_change, upstream_first, upstream_slot
from baton.stores.sums import adding
from baton.telemetry.upstreams import StateChange

SPANS_S = (60, 600, 3_600)
KEPT_S = {60: 2 * 3_600, 600: 2 * 86_400, 3_600: 8 * 86_400}
"""How long slots of a span are kept: an hour, a day, a week, and some more."""
CHANGES_KEPT_S = 8 * 86_400
CHANGES_MAX = 1_000
"""The newest ones, of each upstream."""
PRUNED_EVERY_S = 600.0
COUNTS = tuple(column.name for column in upstream_slot.columns if not column.primary_key)

_ADD, _ADD_FIRST = adding(upstream_slot), adding(upstream_first)
_PRUNE = [
    delete(table).where(table.c.span_s == bindparam("span"), table.c.start_s < bindparam("before"))
    for table in (upstream_slot, upstream_first)
]


class UpstreamSlot(msgspec.Struct, kw_only=True):
    """What was seen of an upstream within a slot of time, by all workers."""

    upstream: str
    start_s: int
    """Since 1970."""
    requests: int = 0
    """Requests whose answer ended there."""
    failed: int = 0
    """Of these, with a status of 500 or above."""
    failed_calls: int = 0
    lost_streams: int = 0
    handoffs: int = 0
    """Calls that went on elsewhere."""
    ejections: int = 0
    degraded_ms: int = 0
    """Suspect or paused, summed over workers, as each of the next ones."""
    ejected_ms: int = 0
    half_open_ms: int = 0
    warming_ms: int = 0
    first: dict[int, int] = {}
    """Streams by the time to their first token: counts by bucket of `telemetry.metrics.SECONDS`."""

    @property
    def told(self) -> bool:
        """Whether there is anything in it."""
        return bool(self.first) or any(getattr(self, name) for name in COUNTS)


class ChangeRecord(StateChange, frozen=True, kw_only=True):
    """A change of state as it stands in the book."""

    id: int


class History:
    """Writes and reads what was seen."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pruned_s = 0.0

    def add(
        self, minutes: Iterable[UpstreamSlot], changes: Collection[StateChange], now_s: float
    ) -> None:
        """Add sums of minutes to every span, and changes; in one transaction."""
        slots, times = _summed(minutes)
        with self._database.writing(alone=False) as connection:
            if slots:
                connection.execute(_ADD, slots)
            if times:
                connection.execute(_ADD_FIRST, times)
            if changes:
                rows = [msgspec.structs.asdict(each) for each in changes]
                connection.execute(upstream_change.insert(), rows)
                for name in {each.upstream for each in changes}:
                    _keep_newest(connection, name)
            if time.monotonic() - self._pruned_s >= PRUNED_EVERY_S or not self._pruned_s:
                self._pruned_s = time.monotonic()
                _prune(connection, now_s)

    def slots(
        self, upstreams: Collection[str], span_s: int, since_s: int, until_s: int
    ) -> list[UpstreamSlot]:
        """The slots of a span that begin within [since, until), by upstream and time; those in
        which nothing was seen are left out."""
        with self._database.reading() as connection:
            rows = connection.execute(_within(upstream_slot, upstreams, span_s, since_s, until_s))
            found = rows.mappings().all()
            times = connection.execute(_within(upstream_first, upstreams, span_s, since_s, until_s))
            first: defaultdict[tuple[str, int], dict[int, int]] = defaultdict(dict)
            for one in times:
                first[one.upstream, one.start_s][one.bucket] = one.times
        return [
            UpstreamSlot(
                upstream=row["upstream"],
                start_s=row["start_s"],
                first=first[row["upstream"], row["start_s"]],
                **{name: row[name] for name in COUNTS},
            )
            for row in found
        ]

    def changes(self, upstream: str, at_most: int, before: int | None = None) -> list[ChangeRecord]:
        """The newest changes of an upstream's state first; those before the one of that number."""
        query = select(upstream_change).where(upstream_change.c.upstream == upstream)
        if before is not None:
            query = query.where(upstream_change.c.id < before)
        query = query.order_by(upstream_change.c.id.desc()).limit(at_most)
        with self._database.reading() as connection:
            return [ChangeRecord(**row) for row in connection.execute(query).mappings()]


def _summed(minutes: Iterable[UpstreamSlot]) -> tuple[list[dict[str, object]], ...]:
    """Rows for every span: of sums, and of times to the first token. In one order, so that no two
    writers wait for each other."""
    counts: defaultdict[tuple[int, str, int], dict[str, int]] = defaultdict(
        lambda: dict.fromkeys(COUNTS, 0)
    )
    times: defaultdict[tuple[int, str, int, int], int] = defaultdict(int)
    for each in minutes:
        for span_s in SPANS_S:
            place = span_s, each.upstream, each.start_s // span_s * span_s
            for name in COUNTS:
                counts[place][name] += getattr(each, name)
            for bucket, number in each.first.items():
                times[*place, bucket] += number
    names = ("span_s", "upstream", "start_s", "bucket")
    slots = [dict(zip(names, place, strict=False)) | counts[place] for place in sorted(counts)]
    return slots, [dict(zip(names, p, strict=True)) | {"times": times[p]} for p in sorted(times)]


def _within(
    table: sqlalchemy.Table, upstreams: Collection[str], span_s: int, since_s: int, until_s: int
) -> sqlalchemy.Select[tuple[object, ...]]:
    mine = (table.c.span_s == span_s) & table.c.upstream.in_(upstreams)
    span = (table.c.start_s >= since_s) & (table.c.start_s < until_s)
    return select(table).where(mine & span).order_by(table.c.upstream, table.c.start_s)


def _keep_newest(connection: sqlalchemy.Connection, upstream: str) -> None:
    mine = upstream_change.c.upstream == upstream
    last = select(upstream_change.c.id).where(mine).order_by(upstream_change.c.id.desc())
    edge = connection.scalar(last.offset(CHANGES_MAX).limit(1))
    if edge is not None:
        connection.execute(delete(upstream_change).where(mine, upstream_change.c.id <= edge))


def _prune(connection: sqlalchemy.Connection, now_s: float) -> None:
    for span_s, kept_s in KEPT_S.items():
        for statement in _PRUNE:
            connection.execute(statement, {"span": span_s, "before": int(now_s) - kept_s})
    old = upstream_change.c.at_us < int((now_s - CHANGES_KEPT_S) * 1e6)
    connection.execute(delete(upstream_change).where(old))
