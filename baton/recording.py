"""How upstreams fare over time: what this worker sees goes into the book, every few seconds.

Theory of operation. Requests write nothing here. Every `LOOK_S` the recorder compares what the
sites and the numbers have counted with what they had before, and looks in which state each site is;
the differences are sums of the present minute (`stores.history.UpstreamSlot`). A site notes its own
changes of state, when it is told of a failure or a return, and the recorder has it look for those
that only time brings (an ejection that is over). What came together is written in one transaction,
in a thread. While the book cannot be written it stays here, within limits, and is written later.

Momentary states (suspect, paused) come and go many times a second: they are told by how long they
lasted, not one by one.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Protocol

import msgspec

from baton.sites import Site
from baton.stores.base import StoreError
from baton.stores.history import UpstreamSlot
from baton.telemetry import diary
from baton.telemetry.metrics import Histogram, Series
from baton.telemetry.rounds import Rounds
from baton.telemetry.upstreams import StateChange

LOOK_S = 5.0
"""How late a page may know, and how exactly times in a state are told."""
LOOKED_S_MAX = 60.0
"""A process that was stopped for longer has seen nothing of that time."""
MINUTE_S = 60
SLOTS_MAX = 10_000
"""Sums and changes that wait while the book is away; then the oldest are forgotten."""
CHANGES_MAX = 1_000
TIMED = {
    "ejected": "ejected_ms",
    "half-open": "half_open_ms",
    "warming": "warming_ms",
    "suspect": "degraded_ms",
    "paused": "degraded_ms",
}
"""States in which time is counted, and where."""
COUNTED = ("failed_calls", "lost_streams", "handoffs")


class Book(Protocol):
    """Where it goes: `stores.history.History`."""

    def add(
        self, minutes: Iterable[UpstreamSlot], changes: Collection[StateChange], now_s: float
    ) -> None: ...


class Counts(msgspec.Struct):
    """All that was ever counted of an upstream in this process."""

    requests: int = 0
    failed: int = 0
    failed_calls: int = 0
    lost_streams: int = 0
    handoffs: int = 0
    ejections: int = 0
    first: Histogram = msgspec.field(default_factory=Histogram)

    def since(self, before: "Counts") -> "Counts":
        """What came after; where it is less than before, the counting began anew."""
        more = {
            name: grown(getattr(self, name), getattr(before, name))
            for name in self.__struct_fields__
            if name != "first"
        }
        pairs = zip(self.first.counts, before.first.counts, strict=True)
        return Counts(**more, first=Histogram([grown(now, then) for now, then in pairs]))


def grown(now: int, before: int) -> int:
    return now - before if now >= before else now


class Recorder:
    """One worker's. `start` in the loop, `close` when it ends."""

    def __init__(
        self,
        book: Book,
        sites: Callable[[], Iterable[Site]],
        series: Callable[[], Iterable[Series]],
        worker: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`worker` is the name of this process in the book, `clock` gives seconds since 1970."""
        self._book, self._sites, self._series = book, sites, series
        self._worker, self._clock = worker, clock
        self._before = self._counted()
        self._looked_s = clock()
        self._slots: dict[tuple[str, int], UpstreamSlot] = {}
        self._changes: deque[StateChange] = deque(maxlen=CHANGES_MAX)
        self._away = False
        self._rounds = Rounds("recording upstreams", LOOK_S, self._round)

    def start(self) -> None:
        """From now on."""
        self._rounds.start()

    async def close(self) -> None:
        """The last things are written."""
        await self._rounds.close()

    async def _round(self, _last: bool) -> None:
        self.look()
        await self.write()

    def look(self) -> None:
        """Add what was counted, and how long each was in its state, since the last look."""
        now_s = self._clock()
        elapsed_ms = round(1000 * min(max(0.0, now_s - self._looked_s), LOOKED_S_MAX))
        self._looked_s = now_s
        counted = self._counted()
        for site in self._sites():
            self._note(site, now_s)
            before = self._before.get(site.name, Counts())
            slot = self._slot(site.name, int(now_s) // MINUTE_S * MINUTE_S)
            _add(slot, counted[site.name].since(before))
            if (timed := TIMED.get(site.state)) is not None:
                setattr(slot, timed, getattr(slot, timed) + elapsed_ms)
        self._before = {**self._before, **counted}

    async def write(self) -> None:
        """Into the book, whatever there is; where it cannot be written, later."""
        slots = [each for each in self._slots.values() if each.told]
        changes = list(self._changes)
        self._slots = {}
        if not slots and not changes:
            return
        try:
            await asyncio.to_thread(self._book.add, slots, changes, self._clock())
        except StoreError as error:
            if not self._away:
                reason = str(error)
                diary.warning("history of upstreams not written", reason=reason)
            self._away = True
            kept = slots[-SLOTS_MAX:]
            self._slots = {(each.upstream, each.start_s): each for each in kept}
            return
        self._away = False
        self._changes.clear()

    def _note(self, site: Site, now_s: float) -> None:
        """Take over the changes that the site has noted, by the time of day."""
        for change in site.noted():
            self._changes.append(
                StateChange(
                    at_us=round((now_s - change.ago_s) * 1e6),
                    upstream=site.name,
                    worker=self._worker,
                    state=change.state,
                    reason=change.reason,
                )
            )

    def _slot(self, upstream: str, start_s: int) -> UpstreamSlot:
        place = upstream, start_s
        if place not in self._slots:
            self._slots[place] = UpstreamSlot(upstream=upstream, start_s=start_s)
        return self._slots[place]

    def _counted(self) -> dict[str, Counts]:
        """Of each upstream that is in use, or was."""
        found: dict[str, Counts] = {}
        for site in self._sites():
            counts = found[site.name] = Counts(ejections=site.health.ejections)
            for name in COUNTED:
                setattr(counts, name, getattr(site, name))
        for series in self._series():
            of = found.setdefault(series.upstream, Counts())
            of.requests += sum(series.statuses)
            of.failed += series.statuses[5]
            of.first.add(series.first_token)
        return found


def _add(slot: UpstreamSlot, more: Counts) -> None:
    for name in more.__struct_fields__:
        if name != "first":
            setattr(slot, name, getattr(slot, name) + getattr(more, name))
    for bucket, times in enumerate(more.first.counts):
        if times:
            slot.first = {**slot.first, bucket: slot.first.get(bucket, 0) + times}
