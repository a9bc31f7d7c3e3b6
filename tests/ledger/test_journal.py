"""Group commits: what `durable` promises, and what a failed commit leaves behind."""

import asyncio
import contextlib
import pathlib
import resource
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from baton.ledger.batch import QueuedEnd, QueuedHold
from baton.ledger.entries import CheckpointRow, EndRow, HoldRow, SettleRow
from baton.ledger.journal import LOST, ROWS_WORTH, WAITING_MIN, Journal
from baton.ledger.journal_log import JournalLog
from baton.stores.base import StoreUnavailable
from tests.ledger import logged

DEADLINE_S = 10.0


class Gated(JournalLog):
    """A journal file that counts its commits and lets them wait."""

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__(path)
        self.gate = threading.Event()
        self.gate.set()
        self.commits: list[int] = []
        self.broken = False

    def append(
        self,
        holds: Sequence[tuple[int, QueuedHold]],
        checkpoints: Sequence[CheckpointRow],
        settles: Sequence[tuple[int, QueuedEnd]],
    ) -> None:
        assert self.gate.wait(DEADLINE_S)
        if self.broken:
            raise StoreUnavailable("no space left")
        super().append(holds, checkpoints, settles)
        self.commits.append(len(holds) + len(settles))


def hold(name: str = "r") -> HoldRow:
    return HoldRow(name, 1, "key_1", "key:key_1", "", "m", None, False, 30, 1)


def end(ticket: int, charge: int = 18, **fields: Any) -> SettleRow:
    return SettleRow(ticket, hold(), EndRow(state="settled", charge=charge), **fields)


@contextlib.asynccontextmanager
async def journal_at(file: JournalLog, **options: Any) -> AsyncIterator[Journal]:
    first, _ = file.open_epoch(1)
    journal = Journal(file, first, **options)
    try:
        yield journal
    finally:
        await journal.close()


async def until(condition: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.005)


def test_durable_means_committed(tmp_path: pathlib.Path) -> None:
    """Once `durable` returns, whoever reads the files sees the row."""

    async def run() -> None:
        path = tmp_path / "0"
        async with journal_at(JournalLog(path)) as journal:
            ticket = journal.hold(hold())
            await journal.durable(ticket)
            assert [(ticket, hold())] == logged.holds(path)
            await journal.durable(ticket)  # again, at once

    asyncio.run(run())


def test_rows_that_queue_share_a_commit(tmp_path: pathlib.Path) -> None:
    """What queues while a commit runs is one commit, and its waiters wake in ticket order."""

    async def run() -> None:
        file = Gated(tmp_path / "0")
        async with journal_at(file) as journal:
            file.gate.clear()
            first = journal.hold(hold())
            await until(lambda: journal._writing)
            tickets = [journal.hold(hold()) for _ in range(100)]
            woken: list[int] = []

            async def wait(ticket: int) -> None:
                await journal.durable(ticket)
                woken.append(ticket)

            async with asyncio.TaskGroup() as tasks:
                for ticket in [*reversed(tickets), first]:
                    tasks.create_task(wait(ticket))
                await asyncio.sleep(0)
                file.gate.set()
            assert [1, 100] == file.commits
            assert [first, *tickets] == woken

    asyncio.run(run())


def test_enough_rows_do_not_wait_for_the_pace(tmp_path: pathlib.Path) -> None:
    """Few rows wait until the pace allows a commit; once there are enough of them they leave."""

    async def run() -> None:
        file = Gated(tmp_path / "0")
        async with journal_at(file) as journal, asyncio.TaskGroup() as tasks:
            journal._pace_until = asyncio.get_running_loop().time() + 6 * DEADLINE_S
            few = [journal.settle(end(-n)) for n in range(1, ROWS_WORTH)]
            waiting = tasks.create_task(journal.durable(few[0]))
            for _ in range(5):
                await asyncio.sleep(0)
            assert not waiting.done()
            assert not journal._writing
            journal.settle(end(-ROWS_WORTH))
            async with asyncio.timeout(DEADLINE_S):
                await waiting

    asyncio.run(run())


@pytest.mark.parametrize("waiting", [WAITING_MIN - 1, WAITING_MIN])
def test_few_that_wait_are_no_load(tmp_path: pathlib.Path, waiting: int) -> None:
    """What comes after them leaves at once, and after many at the pace."""

    async def run() -> None:
        file = Gated(tmp_path / "0")
        told: list[StoreUnavailable | None] = []
        async with journal_at(file) as journal:
            for number in range(waiting):
                journal.tell(journal.settle(end(-1 - number)), told.append)
            await until(lambda: len(told) == waiting)
            assert bool(journal._pace_until) == (waiting == WAITING_MIN)

    asyncio.run(run())


def test_failed_commit_fails_its_waiters_only(tmp_path: pathlib.Path) -> None:
    """A hold in a failed commit is not durable, now or later; the next rows are."""

    async def run() -> None:
        file = Gated(tmp_path / "0")
        async with journal_at(file) as journal:
            before = journal.hold(hold())
            await journal.durable(before)
            file.broken = True
            lost = journal.hold(hold("lost"))
            with pytest.raises(StoreUnavailable):
                await journal.durable(lost)
            assert journal.failing
            file.broken = False
            after = journal.hold(hold("after"))
            await journal.durable(after)
            failing: bool = journal.failing
            assert False is failing
            with pytest.raises(StoreUnavailable):
                await journal.durable(lost)
            await journal.durable(before)
            assert ["r", "after"] == logged.names(tmp_path / "0")
            assert lost == journal.settle(end(lost)), "the end of a lost hold is not written"

    asyncio.run(run())


def test_end_that_failed_is_written_later(tmp_path: pathlib.Path) -> None:
    """A charge for text that the caller has is kept and written when the disk is back."""

    async def run() -> None:
        file = Gated(tmp_path / "0")
        async with journal_at(file) as journal:
            held = journal.hold(hold())
            await journal.durable(held)
            file.broken = True
            ticket = journal.settle(end(held))
            with pytest.raises(StoreUnavailable):
                await journal.durable(ticket)
            file.broken = False
            await until(lambda: logged.ends(tmp_path / "0"))
            assert [(held, "settled", 18)] == logged.ended(tmp_path / "0")
            with pytest.raises(StoreUnavailable):
                await journal.durable(ticket)

    asyncio.run(run())


def test_undelivered_end_that_failed_is_waived(tmp_path: pathlib.Path) -> None:
    """A caller that was answered 503 is not charged; its lease is told, its cost is kept."""
    waived: list[SettleRow] = []

    async def run() -> None:
        file = Gated(tmp_path / "0")
        async with journal_at(file, on_waived=waived.append) as journal:
            held = journal.hold(hold())
            await journal.durable(held)
            file.broken = True
            row = SettleRow(held, hold(), EndRow(state="settled", charge=18, cost=7), False)
            with pytest.raises(StoreUnavailable):
                await journal.durable(journal.settle(row))
            assert [row] == waived
            file.broken = False
            await until(lambda: logged.ends(tmp_path / "0"))
            [written] = [ended.end for ended in logged.ends(tmp_path / "0")]
            assert ("released", 0, 7, 503) == (
                *(written.state, written.charge),
                *(written.cost, written.status),
            )

    asyncio.run(run())


def test_hold_and_end_lost_together_leave_nothing(tmp_path: pathlib.Path) -> None:
    """If neither the hold nor its end was written, nothing is, and the charge is given up."""
    waived: list[SettleRow] = []

    async def run() -> None:
        file = Gated(tmp_path / "0")
        async with journal_at(file, on_waived=waived.append) as journal:
            file.gate.clear()
            file.broken = True
            held = journal.hold(hold())
            ticket = journal.settle(end(held))
            file.gate.set()
            with pytest.raises(StoreUnavailable):
                await journal.durable(ticket)
            file.broken = False
            await journal.durable(journal.hold(hold("after")))
        assert 1 == len(waived)
        assert [] == logged.ends(tmp_path / "0")

    asyncio.run(run())


def test_cancelled_wait_leaves_the_row_alone(tmp_path: pathlib.Path) -> None:
    """A caller that stops waiting neither undoes its row nor disturbs the others'."""

    async def run() -> None:
        file = Gated(tmp_path / "0")
        async with journal_at(file) as journal:
            file.gate.clear()
            ticket = journal.hold(hold())
            waiting = asyncio.get_running_loop().create_task(journal.durable(ticket))
            other = asyncio.get_running_loop().create_task(journal.durable(ticket))
            await asyncio.sleep(0)
            waiting.cancel()
            file.gate.set()
            await other
            assert waiting.cancelled()
            assert ["r"] == logged.names(tmp_path / "0")

    asyncio.run(run())


def test_unstorable_row_fails_alone(tmp_path: pathlib.Path) -> None:
    """A value that no column takes costs its own request, not its neighbours'."""

    async def run() -> None:
        file = Gated(tmp_path / "0")
        async with journal_at(file) as journal:
            file.gate.clear()
            journal.hold(hold("first"))
            good = journal.hold(hold("good"))
            bad = journal.hold(HoldRow("bad", 2**70, "k", "a", "", "m", None, False, 1, 1))
            last = journal.hold(hold("last"))
            file.gate.set()
            await journal.durable(good)
            await journal.durable(last)
            with pytest.raises(StoreUnavailable):
                await journal.durable(bad)
            assert not journal.failing
            assert ["first", "good", "last"] == logged.names(tmp_path / "0")

    asyncio.run(run())


def test_unstorable_end_of_an_unwritten_hold(tmp_path: pathlib.Path) -> None:
    """Neither is on the ledger, neither is durable; their neighbours are."""

    async def run() -> None:
        async with journal_at(Gated(tmp_path / "0")) as journal:
            held = journal.hold(hold("bad"))
            row = SettleRow(held, hold("bad"), EndRow(state="settled", charge=2**63))
            bad = journal.settle(row)
            good = journal.settle(end(journal.hold(hold("good"))))
            await journal.durable(good)
            for ticket in (held, bad):
                with pytest.raises(StoreUnavailable):
                    await journal.durable(ticket)
            assert not journal.failing
        assert [good - 1] == [ended.hold_seq for ended in logged.ends(tmp_path / "0")]
        assert [] == logged.holds(tmp_path / "0")

    asyncio.run(run())


def test_a_commit_has_a_limit(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What queues beyond it is the next one; all are told, in order, and at the end as well."""
    monkeypatch.setattr("baton.ledger.journal.ROWS_PER_COMMIT_MAX", 4)

    async def run() -> None:
        file = Gated(tmp_path / "0")
        async with journal_at(file) as journal:
            told: list[tuple[int, StoreUnavailable | None]] = []

            def settle() -> None:
                ticket = journal.settle(end(journal.hold(hold())))
                journal.tell(ticket, lambda error: told.append((ticket, error)))

            for _ in range(10):
                settle()
            await until(lambda: len(told) == 10)
            assert [4, 4, 2] == file.commits
            file.gate.clear()
            for _ in range(10):
                settle()
            file.gate.set()
        assert [4, 4, 2] == file.commits[3:]
        assert [(2 * n, None) for n in range(1, 21)] == told

    asyncio.run(run())


def test_closed_journal_refuses(tmp_path: pathlib.Path) -> None:
    """After the end there are no rows, and a lost ticket is never durable."""

    async def run() -> None:
        file = JournalLog(tmp_path / "0")
        async with journal_at(file) as journal:
            with pytest.raises(StoreUnavailable):
                await journal.durable(LOST)
            ticket = journal.hold(hold())
        await journal.durable(ticket)
        with pytest.raises(StoreUnavailable):
            journal.hold(hold())

    asyncio.run(run())


def test_folded_rows_are_pruned(tmp_path: pathlib.Path) -> None:
    """Segments of ended and folded requests go; what is open stays."""

    async def run() -> None:
        file = JournalLog(tmp_path / "0")
        async with journal_at(file) as journal:
            open_hold = journal.hold(hold("open"))
            while len(file.log.begun) < 2:
                ticket = journal.settle(end(journal.hold(hold())))
                await journal.durable(ticket)
            journal.folded(journal.written())
            await until(lambda: len(file.log.begun) == 1)
            await journal.durable(journal.settle(end(open_hold, 7)))
            assert (open_hold, "settled", 7) in logged.ended(tmp_path / "0")
        assert not (tmp_path / "0" / "1.log").exists()

    asyncio.run(run())


def test_full_disk(tmp_path: pathlib.Path) -> None:
    """A real write error: waiters fail, the thread lives, and rows are durable again afterwards."""
    asyncio.run(fill_disk(tmp_path / "0"))


async def fill_disk(path: pathlib.Path) -> None:
    file = JournalLog(path)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        async with journal_at(file) as journal:
            held = journal.hold(hold("before"))
            await journal.durable(held)
            written = file.log.durable[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (written, limits[1]))
            lost = journal.hold(hold("lost"))
            owed = journal.settle(end(held))
            for ticket in (lost, owed):
                with pytest.raises(StoreUnavailable):
                    await journal.durable(ticket)
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            await journal.durable(journal.hold(hold("after")))
            await until(lambda: logged.ends(path))
            assert ["before", "after"] == logged.names(path)
            assert [(held, "settled", 18)] == logged.ended(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
