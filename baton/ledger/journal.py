"""The journal of a process: rows from the event loop, durable in group commits.

Theory of operation. The event loop queues rows without waiting (`hold`, `checkpoint`, `settle`) and
gets a ticket for each hold and settle. One thread writes a batch in one transaction and tells the
loop once per commit, which then wakes the waiters in ticket order and hands over what queued
meanwhile: the previous fsync gathers the next batch, and under load `PACE_S` does, until
`ROWS_WORTH` rows are there. A batch leaves at the end of the loop's turn when an end is queued or
somebody waits; a hold alone may wait `HOLD_WAIT_S`, as its caller has no byte yet. So the threads
meet once per commit, not once per row: with a meeting per row a request cost 100 µs more (they take
the interpreter from each other), and the hold of a short answer is not written at all when its end
is in the same batch (`batch.py`), since an end stands alone. Tickets are the rows' seq in the file,
so a later ticket that is durable says the same of every earlier one that did not fail.

When a commit fails (disk full, I/O error), nothing of its batch is on the ledger and every
`durable` of its tickets raises StoreUnavailable, now and later. Nothing is retried behind the
caller's back, but an end that is owed:
- a hold that failed is gone. Its request is answered 503; ending it writes nothing;
- an end (settle) that failed is kept in memory and written again, with a new seq, as soon as the
  file takes rows: a charge for text that the caller has is not lost. If the caller has no byte of
  it (`delivered` False), it is answered 503, and what is kept is a release without a charge. If the
  process dies first, recovery closes the hold at its last checkpoint. Its `durable` has failed, so
  the response must not be completed in any case;
- a checkpoint that failed is forgotten: the next one says more.
Kept rows are bounded by the requests in flight, as admission waits for its hold while `failing`.

A row that cannot be stored at all (a bug: a value of no column type, say) fails alone, not its
batch.
"""

import asyncio
import functools
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from baton.ledger.batch import Batch, QueuedEnd, QueuedHold, Told
from baton.ledger.entries import CheckpointRow, SettleRow
from baton.ledger.failed import Failed
from baton.stores.base import StoreUnavailable
from baton.telemetry import diary

ROWS_PER_COMMIT_MAX = 512
HOLD_WAIT_S = 0.005
"""How long a hold that nobody waits for may stay unwritten."""
PACE_S = 0.002
"""Under load commits leave this far apart: of 4,000 ends a second, eight then share one commit and
one meeting of the threads."""
WAITING_MIN = 3
"""So many that one commit wakes are a load. Two may be one request's hold and another's end: paced,
they would meet in the next commit again, and each stream wait for two paces."""
ROWS_WORTH = 12
"""So many rows are worth a commit of their own: they do not wait for the pace. More than a few
callers at once can have would make them wait each time (docs/decisions/0022)."""
LOST = -1
"""A ticket that is never durable."""
RETRY_S = 0.5
"""How often kept ends are tried again while the file takes no rows."""


class JournalStore(Protocol):
    """Where a journal's rows are durable: a file, or tables of the book."""

    def open_epoch(self, now_us: int, folded_seq: int = 0) -> tuple[int, int]: ...
    def append(
        self,
        holds: Sequence[tuple[int, QueuedHold]],
        checkpoints: Sequence[CheckpointRow],
        settles: Sequence[tuple[int, QueuedEnd]],
    ) -> None: ...
    def prune(self, folded_seq: int) -> bool: ...
    def close(self) -> None: ...


Item = Batch | int | None
"""What one transaction writes; prune up to that seq; the end."""


class Journal:
    """One writer thread over one file. All methods are the event loop's, but `written` and
    `folded`."""

    def __init__(
        self,
        file: JournalStore,
        first_seq: int,
        on_waived: Callable[[SettleRow], None] = lambda row: None,
    ) -> None:
        """`on_waived` is told of an end whose charge is given up (see above), on the loop."""
        self._file, self._on_waived = file, on_waived
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._batch = Batch(first_seq)
        """What is queued."""
        self._writing: list[Batch] = []
        """What is with the thread: one, until `close`."""
        self._leaving: asyncio.Handle | None = None
        """When the queued rows leave for the thread, where that is settled."""
        self._leaving_soon = self._paced = False
        """Whether somebody waits for the rows to leave, and whether the pace keeps them."""
        self._pace_until = 0.0
        self._first = first_seq
        self._resolved = first_seq - 1
        self._failures = Failed()
        self._written = first_seq - 1
        self._kept: list[SettleRow] = []
        self._retry: asyncio.TimerHandle | None = None
        self.closing = False
        """Whether it takes no more rows."""
        self.failing = False
        """Whether the last commit failed."""
        self._thread = threading.Thread(target=self._write, name="journal", daemon=True)
        self._thread.start()

    def hold(self, row: QueuedHold) -> int:
        """Queue a hold; returns its ticket. Raises StoreUnavailable after `close`."""
        if self.closing:
            raise StoreUnavailable("the journal is closed")
        ticket = self._batch.hold(row)
        if self._paced and self._batch.rows >= ROWS_WORTH:
            self._leave_soon()
        elif self._leaving is None and not self._writing:
            self._leave_later()
        return ticket

    def skip(self) -> int:
        """The ticket of a hold that is never written: its end, which is queued next, stands for
        it."""
        return self._batch.skip()

    def checkpoint(self, row: CheckpointRow) -> None:
        """Queue how far an answer is. Best effort, never waited for."""
        if not self.closing:
            self._batch.checkpoints.append(row)
            self._leave_later()

    def settle(self, row: QueuedEnd) -> int:
        """Queue the end of a hold; returns its ticket. Once for each hold, or the first one counts.

        The end of a hold that is known to have failed is not written: its ticket fails too."""
        if self._failures.any and self._failures.has(row.hold_seq):
            self._on_waived(row.row)
            return row.hold_seq
        if self.closing:
            raise StoreUnavailable("the journal is closed")
        ticket = self._batch.end(row)
        if (self._paced and self._batch.rows >= ROWS_WORTH) or (
            not self._leaving_soon and not self._writing
        ):
            self._leave_soon()
        return ticket

    async def durable(self, ticket: int) -> None:
        """Return once that row is committed. Raises StoreUnavailable when it was not, and will not
        be under this ticket. Cancelling the wait leaves the row alone."""
        if ticket > self._resolved:
            waiter: asyncio.Future[None] = self._loop.create_future()
            self.tell(ticket, functools.partial(_resolved, waiter))
            await waiter
        elif ticket < self._first or self._failures.has(ticket):
            raise StoreUnavailable("the journal could not be written")

    def tell(self, ticket: int, told: Told) -> None:
        """Have `told` called once the row that `settle` has just queued is committed, with None; or
        with why it will not be."""
        batch = self._batch
        if ticket >= batch.first:
            batch.waiting.append((ticket, told))
            if not self._leaving_soon and not self._writing:
                self._leave_soon()
        elif ticket > self._resolved:
            batch = next(each for each in self._writing if ticket <= each.last)
            batch.waiting.append((ticket, told))
        else:  # the end of a hold that is known to have failed
            told(StoreUnavailable("the journal could not be written"))

    def written(self) -> int:
        """From any thread: the last seq that is on disk."""
        return self._written

    def folded(self, seq: int) -> None:
        """From any thread: rows that ended up to `seq` are in the book and may go."""
        self._queue.put(seq)

    async def close(self) -> None:
        """Write what is queued, try kept ends once more, end the thread."""
        if self.closing:
            return
        self._write_kept()
        self.closing = True
        while self._batch.rows or self._batch.checkpoints:
            self._hand_over()
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        await asyncio.sleep(0)  # let the last commit's report arrive
        for batch in self._writing:
            self._answer(batch, batch.failed("it is closed"))
        if self._kept:
            diary.error(
                "ends were not written: their holds will be interrupted", rows=len(self._kept)
            )

    def _leave_later(self) -> None:
        if not self._writing and self._leaving is None:
            self._leaving = self._loop.call_later(HOLD_WAIT_S, self._leave)

    def _leave_soon(self) -> None:
        """At the end of this turn of the loop, or when the pace allows. Not while writing."""
        if self._leaving is not None:
            self._leaving.cancel()
        self._leaving_soon, few = True, self._batch.rows < ROWS_WORTH
        self._paced = few and bool(self._pace_until) and self._pace_until > self._loop.time()
        if self._paced:
            self._leaving = self._loop.call_at(self._pace_until, self._leave)
        else:
            self._leaving = self._loop.call_soon(self._leave)

    def _leave(self) -> None:
        self._leaving, self._leaving_soon, self._paced = None, False, False
        batch = self._batch
        if not self._writing and (batch.rows or batch.checkpoints):
            self._hand_over()

    def _hand_over(self) -> None:
        batch = self._batch
        many = batch.rows > ROWS_PER_COMMIT_MAX
        self._batch = batch.split(ROWS_PER_COMMIT_MAX) if many else Batch(batch.last + 1)
        self._writing.append(batch)
        load = len(batch.waiting) >= WAITING_MIN
        self._pace_until = self._loop.time() + PACE_S if load else 0.0
        self._queue.put(batch)

    # On the loop, once per commit

    def _resolve(self, batch: Batch, failed: dict[int, str]) -> None:
        """`failed`: tickets that are not on disk, and why."""
        self._writing.remove(batch)
        queued = self._batch
        if queued.rows or queued.checkpoints:
            self._leave_soon()
        if not batch.rows:
            return
        self._resolved, self.failing = batch.last, False
        if failed:
            self._fail(batch, failed)
        self._answer(batch, failed)
        if self._kept and not self.failing:
            self._write_kept()
        elif self._kept and self._retry is None and not self.closing:
            self._retry = self._loop.call_later(RETRY_S, self._write_kept)

    def _fail(self, batch: Batch, failed: dict[int, str]) -> None:
        self.failing = any(reason != _NOT_STORABLE for reason in failed.values())
        for ticket in sorted(failed):
            self._failures.add(ticket)
        for ticket, end in batch.ends.items():
            if failed.get(ticket, _NOT_STORABLE) != _NOT_STORABLE:
                self._keep(end.row)

    def _keep(self, row: SettleRow) -> None:
        """Decide what becomes of an end that did not reach the disk."""
        if self._failures.has(row.hold_seq):  # nor did its hold: nothing was ever answered
            self._on_waived(row)
        elif row.delivered:
            self._kept.append(row)
        else:
            self._on_waived(row)
            self._kept.append(_waived(row))

    def _write_kept(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self.closing:
            return
        kept, self._kept = self._kept, []
        for row in kept:
            self._batch.end(row)
        if kept:
            self._leave_later()

    def _answer(self, batch: Batch, failed: dict[int, str]) -> None:
        for ticket, told in batch.take_waiting():
            reason = failed.get(ticket)
            try:
                told(None if reason is None else _unwritten(reason))
            except Exception:  # noqa: BLE001 — one caller's bug must not keep the others waiting
                diary.exception("who waited for the journal failed", ticket=ticket)

    # In the writer thread

    def _write(self) -> None:
        running = True
        while running:
            item = self._queue.get()
            if item is None:
                running = False
            elif isinstance(item, int):
                self._prune(item)
            else:
                self._report(item, self._commit(item))

    def _commit(self, batch: Batch) -> dict[int, str]:
        """Write one batch; returns the tickets that failed, and why."""
        holds, ends = list(batch.holds.items()), list(batch.ends.items())
        try:
            self._file.append(holds, batch.checkpoints, ends)
        except StoreUnavailable as error:
            return batch.failed(str(error))
        except Exception as error:  # noqa: BLE001 — a bug, which must not keep all others waiting
            diary.exception("a journal row cannot be stored", reason=repr(error))
            return self._one_by_one(batch)
        self._written = batch.last
        return {}

    def _one_by_one(self, batch: Batch) -> dict[int, str]:
        failed = {}
        for ticket in sorted([*batch.holds, *batch.ends]):
            hold, end = batch.holds.get(ticket), batch.ends.get(ticket)
            try:
                self._file.append(
                    [] if hold is None else [(ticket, hold)],
                    [],
                    [] if end is None else [(ticket, end)],
                )
                self._written = ticket
                continue
            except StoreUnavailable as error:
                failed[ticket] = str(error)
            except Exception:  # noqa: BLE001 — told above
                failed[ticket] = _NOT_STORABLE
            if end is not None and batch.stood_for(end):
                failed[end.hold_seq] = failed[ticket]
        return failed

    def _report(self, batch: Batch, failed: dict[int, str]) -> None:
        try:
            self._loop.call_soon_threadsafe(self._resolve, batch, failed)
        except RuntimeError:
            diary.warning("the loop ended before its journal", rows=batch.rows)

    def _prune(self, folded_seq: int) -> None:
        with diary.outliving("pruning the journal"):
            try:
                if self._file.prune(folded_seq):
                    self._queue.put(folded_seq)  # the next step, after what queued meanwhile
            except StoreUnavailable as error:
                diary.warning("the journal cannot be pruned", reason=str(error))


_NOT_STORABLE = "a row cannot be stored"


def _resolved(waiter: asyncio.Future[None], error: StoreUnavailable | None) -> None:
    if waiter.done():
        return  # its caller was cancelled
    if error is None:
        waiter.set_result(None)
    else:
        waiter.set_exception(StoreUnavailable(*error.args))


def _unwritten(reason: str) -> StoreUnavailable:
    return StoreUnavailable(f"the journal cannot be written: {reason}")


def _waived(row: SettleRow) -> SettleRow:
    """The caller was answered 503: no charge, but what upstreams cost stays told."""
    end = msgspec.structs.replace(
        row.end,
        state="released",
        charge=0,
        overrun=0,
        status=503,
        error_code="store_unavailable",
    )
    return msgspec.structs.replace(row, end=end, delivered=True)
