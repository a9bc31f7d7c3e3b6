"""Refused requests go into the book by themselves: later where it is away, and old ones go."""

import asyncio
import pathlib
from collections.abc import Sequence

import pytest

from baton import refusals
from baton.errors import bad_key
from baton.refusals import DAY_US, PRUNED_EVERY_S, ROWS_PER_WRITE_MAX, RefusalWriter
from baton.stores.base import StoreUnavailable, Unstorable
from baton.stores.refusals import RefusalFilter
from baton.telemetry.metrics import Metrics
from baton.telemetry.refused import ROWS_MAX, SINGLY_MAX, Asked, Refusal, Refusals
from tests.bookkeeping import new_store
from tests.hearing import hearing

NOON_S = 1_800_000_000.0
DAYS, ROWS = 7, 1_000
POLL_S = 0.01


class Away:
    """A log that cannot be written, until it can."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.batches: list[int] = []
        self.pruned: list[tuple[int, int]] = []

    def add(self, rows: Sequence[Refusal]) -> None:
        if self.error is not None:
            raise self.error
        self.batches.append(len(rows))

    def prune(self, before_us: int, rows_max: int) -> int:
        if self.error is not None:
            raise self.error
        self.pruned.append((before_us, rows_max))
        return 0


class Writing:
    """A worker's writer, at a time of day that the test moves."""

    def __init__(self) -> None:
        self.now_s = NOON_S
        self.metrics, self.log = Metrics(), Away()
        self.refusals = Refusals(self.metrics, clock=self.clock)
        self.writer = RefusalWriter(self.log, self.refusals, DAYS, ROWS, self.clock)

    def clock(self) -> float:
        return self.now_s

    def refuse(self, times: int = 1, key_id: str = "") -> None:
        for _ in range(times):
            self.refusals.note(key_id, bad_key(), lambda: Asked("r", "POST /x", "m"))

    def write(self) -> None:
        asyncio.run(self.writer.write())


@pytest.fixture
def writing() -> Writing:
    return Writing()


def test_batches(writing: Writing) -> None:
    """All that is due, so many rows at a time; nothing where nothing is."""
    writing.write()
    assert [] == writing.log.batches
    for minute in range(2):
        writing.now_s = NOON_S + 60 * minute
        for key in range(ROWS_MAX):
            writing.refuse(key_id=f"key_{key}")
    writing.write()
    assert [ROWS_PER_WRITE_MAX, 2 * ROWS_MAX - ROWS_PER_WRITE_MAX] == writing.log.batches
    writing.write()
    assert 2 == len(writing.log.batches)


def test_a_book_that_is_away(writing: Writing) -> None:
    """Said once; what waits is written when it is back."""
    writing.log.error = StoreUnavailable("away")
    writing.refuse(3)
    with hearing() as said:
        for _ in range(3):
            writing.write()
            asyncio.run(writing.writer.prune())
    assert ["refused requests are not written"] == [each["event"] for each in said]
    writing.log.error = None
    writing.refuse()
    writing.write()
    assert [4] == writing.log.batches


def test_what_no_database_takes_holds_up_nothing(writing: Writing) -> None:
    """It is said, counted and given up."""
    writing.log.error = Unstorable("never")
    writing.refuse(3)
    with hearing() as said:
        writing.write()
    assert ["refused requests are not kept"] == [each["event"] for each in said]
    assert 3 == writing.metrics.snapshot().refusals["dropped"]
    writing.log.error = None
    writing.write()
    assert [] == writing.log.batches


def test_pruned_now_and_then(writing: Writing) -> None:
    """At first, and every ten minutes, also where nothing is refused; when it failed, soon again,
    and whatever the clock does."""

    def prune(after_s: float) -> int:
        writing.now_s += after_s
        asyncio.run(writing.writer.prune())
        return len(writing.log.pruned)

    assert [1, 1, 2] == [prune(0.0), prune(PRUNED_EVERY_S - 1), prune(1.0)]
    assert (round(NOON_S * 1e6) - DAYS * DAY_US, ROWS) == writing.log.pruned[0]
    writing.log.error = StoreUnavailable("away")
    assert 2 == prune(PRUNED_EVERY_S)
    writing.log.error = None
    assert [3, 4] == [prune(0.0), prune(-3600.0)]


def test_it_runs_and_ends_with_the_last_rows(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By itself, in a real book; what sums up others is written at the end, too."""
    monkeypatch.setattr(refusals, "WRITE_S", POLL_S)
    store, noted = new_store(tmp_path), Refusals(Metrics())
    numbers = iter(range(100))

    def times() -> int:
        return sum(each.times for each in store.refusals.page(RefusalFilter(), 100))

    async def run() -> None:
        writer = RefusalWriter(store.refusals, noted, DAYS, ROWS)
        writer.start()
        for _ in range(SINGLY_MAX + 5):
            noted.note("", bad_key(), lambda: Asked(f"r{next(numbers)}", "POST /x", "m"))
        async with asyncio.timeout(10):
            while await asyncio.to_thread(times) < SINGLY_MAX:
                """Each question is a thread's: the writer works meanwhile."""
        await writer.close()

    asyncio.run(run())
    assert SINGLY_MAX + 5 == times()


def test_one_that_never_began_ends() -> None:
    """As where a worker failed to start."""
    asyncio.run(Writing().writer.close())
