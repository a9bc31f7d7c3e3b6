"""What a worker saw of its upstreams comes into the book: differences, times in states, changes."""

import asyncio
import pathlib
from collections.abc import Callable, Collection, Iterable

import pytest

from baton import recording
from baton.recording import LOOKED_S_MAX, Recorder
from baton.sites import Site
from baton.stores.base import StoreUnavailable
from baton.stores.history import UpstreamSlot
from baton.telemetry.metrics import Metrics
from baton.telemetry.upstreams import StateChange
from baton.upstreams.failures import failure
from tests.bookkeeping import new_store
from tests.fakes.scripted import Scripted
from tests.hearing import hearing

NOON_S = 1_800_000_000 // 86_400 * 86_400 + 43_200.0
MINUTE_S = 60


class Away:
    """A book that cannot be written, until it can."""

    def __init__(self) -> None:
        self.away, self.calls = True, 0
        self.slots: list[UpstreamSlot] = []
        self.changes: list[StateChange] = []

    def add(
        self, minutes: Iterable[UpstreamSlot], changes: Collection[StateChange], now_s: float
    ) -> None:
        self.calls += 1
        if self.away:
            raise StoreUnavailable("away")
        self.slots += minutes
        self.changes += changes


class Seen:
    """One worker with an upstream `gpu`, at a time of day that the test moves."""

    def __init__(self) -> None:
        self.now_s = NOON_S
        self.metrics, self.book = Metrics(), Away()
        self.book.away = False
        self.sites = {"gpu": Site("gpu", Scripted(), clock=lambda: self.now_s)}
        self.recorder = self.recording()

    @property
    def gpu(self) -> Site:
        return self.sites["gpu"]

    def recording(self) -> Recorder:
        return Recorder(
            self.book,
            self.sites.values,
            lambda: self.metrics.snapshot().series,
            "host/7",
            lambda: self.now_s,
        )

    def answer(self, status: int, upstream: str = "gpu", first_s: float = 0.02) -> None:
        series = self.metrics.series("m", upstream)
        series.answered(status, 1.0)
        series.streamed(first_s, 0.0, 0)

    def look(self, after_s: float = 5.0) -> list[UpstreamSlot]:
        """What is written after so many seconds."""
        self.now_s += after_s
        self.recorder.look()
        before = len(self.book.slots)
        asyncio.run(self.recorder.write())
        return self.book.slots[before:]


@pytest.fixture
def seen() -> Seen:
    return Seen()


def test_differences(seen: Seen) -> None:
    """What was counted since the last look, in the present minute; where nothing was, nothing is
    written; what came before the recorder is not told."""
    seen.answer(200)
    seen.recorder = seen.recording()
    assert ([], 0) == (seen.look(), seen.book.calls)
    for status in (200, 200, 503, 0, 404):
        seen.answer(status)
    seen.answer(200, "other")
    seen.gpu.handoffs += 2
    [slot] = seen.look()
    assert ("gpu", NOON_S, 5, 1, 2) == (
        slot.upstream,
        slot.start_s,
        slot.requests,
        slot.failed,
        slot.handoffs,
    )
    assert {4: 5} == slot.first
    seen.answer(200, first_s=400.0)
    [slot] = seen.look(50.0)
    assert (NOON_S + MINUTE_S, 1, 0, {17: 1}) == (
        slot.start_s,
        slot.requests,
        slot.handoffs,
        slot.first,
    )


def test_an_outage(seen: Seen) -> None:
    """Failures, the ejection with its reason and time, how long it lasted, and the way back."""
    for _ in range(5):
        seen.gpu.failed(failure("connect", "refused"))
    [slot] = seen.look(4.0)
    assert (5, 1, 4_000, 0) == (slot.failed_calls, slot.ejections, slot.ejected_ms, slot.warming_ms)
    [change] = seen.book.changes
    assert StateChange(
        at_us=round(NOON_S * 1e6),
        upstream="gpu",
        worker="host/7",
        state="ejected",
        reason="connect refused",
    ) == (change)
    [slot] = seen.look(27.0)
    assert (0, 27_000) == (slot.ejected_ms, slot.half_open_ms)
    seen.gpu.accepted()
    [slot] = seen.look()
    assert 5_000 == slot.warming_ms
    seen.look(30.0)
    states = [each.state for each in seen.book.changes]
    assert ["ejected", "half-open", "warming", "healthy"] == states


def test_moments_are_told_by_their_time(seen: Seen) -> None:
    """Suspect and paused are degraded; a process that stood still has seen nothing of that time,
    nor has one whose clock was put back."""
    seen.gpu.health.pause(seen.now_s + 100.0, 30.0)
    [slot] = seen.look(119.0)
    assert (round(LOOKED_S_MAX * 1000), 0) == (slot.degraded_ms, slot.ejected_ms)
    assert [] == seen.look(-10.0)
    assert [] == seen.book.changes


def test_another_form_of_an_upstream_counts_from_nothing(seen: Seen) -> None:
    """Removed and made again: its site counts anew, its requests go on being counted."""
    seen.gpu.handoffs = 9
    seen.answer(200)
    seen.look()
    seen.sites.pop("gpu")
    assert [] == seen.look()
    seen.sites["gpu"] = Site("gpu", Scripted(), clock=lambda: seen.now_s)
    seen.gpu.handoffs = 1
    [slot] = seen.look()
    assert (1, 0) == (slot.handoffs, slot.requests)


def test_a_book_that_is_away(seen: Seen) -> None:
    """Said once; all of it is written when the book is back, each minute in its place."""
    seen.book.away = True
    with hearing() as said:
        for _ in range(3):
            seen.answer(200)
            for _ in range(5):
                seen.gpu.failed(failure("connect", "refused"))
            assert [] == seen.look(MINUTE_S)
    assert 1 == len([each for each in said if "not written" in str(each["event"])])
    seen.book.away = False
    found = seen.look()
    assert [1, 1, 1] == [each.requests for each in found if each.requests]
    assert 15 == sum(each.failed_calls for each in found)
    assert "ejected" in [each.state for each in seen.book.changes]
    count = len(seen.book.changes)
    seen.look()
    assert count == len({(each.at_us, each.state) for each in seen.book.changes})


def test_waiting_is_bounded(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest sums are forgotten."""
    monkeypatch.setattr(recording, "SLOTS_MAX", 2)
    seen.book.away = True
    for _ in range(4):
        seen.answer(200)
        seen.look(MINUTE_S)
    seen.book.away = False
    assert [3, 4] == [int(each.start_s - NOON_S) // MINUTE_S for each in seen.look(0.0)]


def test_it_runs_and_ends_with_the_last_sums(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By itself, in a real book; what came after the last look is written at the end."""
    monkeypatch.setattr(recording, "LOOK_S", 0.01)
    seen, store = Seen(), new_store(tmp_path)

    def written() -> int:
        return sum(each.requests for each in store.history.slots(["gpu"], 60, 0, 2**40))

    async def live() -> None:
        recorder = Recorder(
            store.history,
            seen.sites.values,
            lambda: seen.metrics.snapshot().series,
            "host/7",
            lambda: seen.now_s,
        )
        recorder.start()
        seen.answer(200)
        async with asyncio.timeout(10):
            while not await asyncio.to_thread(written):
                """Each question is a thread's: the recorder works meanwhile."""
        seen.answer(200)
        await recorder.close()

    asyncio.run(live())
    assert 2 == written()
    store.close()


class Meanwhile(Away):
    """A book in whose first writing the recorder is told to end."""

    def __init__(self, told: Callable[[], None]) -> None:
        super().__init__()
        self.away, self._told = False, told

    def add(
        self, minutes: Iterable[UpstreamSlot], changes: Collection[StateChange], now_s: float
    ) -> None:
        if not self.slots:
            self._told()
        super().add(minutes, changes, now_s)


def test_what_came_during_the_last_writing_is_written(
    seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end is told while a look is being written: what came after that look is not lost."""
    monkeypatch.setattr(recording, "LOOK_S", 0.01)

    async def live() -> None:
        async def told() -> None:
            seen.answer(200)
            group.create_task(seen.recorder.close())
            await asyncio.sleep(0)
            begun.set()

        loop, begun = asyncio.get_running_loop(), asyncio.Event()
        seen.book = Meanwhile(lambda: asyncio.run_coroutine_threadsafe(told(), loop).result())
        seen.recorder = seen.recording()
        seen.recorder.start()
        seen.answer(200)
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            await begun.wait()

    asyncio.run(live())
    assert [1, 1] == [slot.requests for slot in seen.book.slots]
