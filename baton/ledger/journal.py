"""The journal of a process: rows from the event loop, durable in group commits.

Theory of operation. The event loop queues rows without waiting (`hold`, `checkpoint`, `settle`) and
gets a ticket for each hold and settle. One thread writes a batch in one transaction and tells the
loop once per commit, which then wakes the waiters in ticket order and hands over what queued
meanwhile: the previous fsync gathers the next batch, and under load `PACE_S` does, until
`ROWS_WORTH` rows are there. A batch leaves at the end of the loop's turn when an end is queued or
somebody waits; a hold alone may wait `HOLD_WAIT_S`, as its caller has no byte yet. So the threads
meet once per commit, not once per row: with a meeting per row a request cost 100 µs more (they take
the interpreter from each other), and the hold of a short answer is not written at all when its end
is in the same batch, since an end stands alone. Tickets are the rows' seq in the file, so a later
ticket that is durable says the same of every earlier one that did not fail.

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

A row that cannot be stored at all (a bug: a value of no column type) fails alone, not its batch.
"""

import asyncio
import functools
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from baton.ledger.entries import CheckpointRow, HoldRow, SettleRow
from baton.ledger.failed import Failed
from baton.ledger.journal_log import NOT_STORABLE
from baton.stores.base import StoreUnavailable
from baton.telemetry import diary

ROWS_PER_COMMIT_MAX = 512
HOLD_WAIT_S = 0.005
"""How long a hold that nobody waits for may stay unwritten."""
PACE_S = 0.002
"""Under load commits leave this far apart: of 4,000 ends a second, eight then share one commit and
one meeting of the threads. A batch of one request is no load: the next one leaves at once."""
ROWS_WORTH = 12
"""So many rows are worth a commit of their own: they do not wait for the pace."""
LOST = -1
"""A ticket that is never durable."""
RETRY_S = 0.5
"""How often kept ends are tried again while the file takes no rows."""


class Begun(Protocol):
    """A hold as it is queued: a row, or what the writer makes one of, many at a time."""

    @property
    def row(self) -> HoldRow: ...


class Ended(Protocol):
    """The end of a hold as it is queued."""

    @property
    def hold_seq(self) -> int: ...

    @property
    def row(self) -> SettleRow: ...


class JournalStore(Protocol):
    """Where a journal's rows are durable: a file, or tables of the book."""

    def open_epoch(self, now_us: int, folded_seq: int = 0) -> tuple[int, int]: ...
    def append(
        self,
        holds: Sequence[tuple[int, HoldRow]],
        checkpoints: Sequence[CheckpointRow],
        settles: Sequence[tuple[int, SettleRow]],
    ) -> None: ...
    def prune(self, folded_seq: int) -> bool: ...
    def close(self) -> None: ...


Numbered = tuple[int, Begun | Ended]
Told = Callable[[StoreUnavailable | None], None]
Batch = tuple[list[Numbered], list[CheckpointRow]]
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
        self._rows: list[Numbered] = []
        self._checkpoints: list[CheckpointRow] = []
        self._writing = False
        """Whether a batch is with the thread."""
        self._leaving: asyncio.Handle | None = None
        """When the queued rows leave for the thread, where that is settled."""
        self._leaving_soon = self._paced = False
        """Whether somebody waits for the rows to leave, and whether the pace keeps them."""
        self._pace_until = 0.0
        self._first = self._next = first_seq
        self._resolved = first_seq - 1
        self._waiters: dict[int, list[Told]] = {}
        self._failures = Failed()
        self._written = first_seq - 1
        self._kept: list[SettleRow] = []
        self._retry: asyncio.TimerHandle | None = None
        self._closing = False
        self.failing = False
        """Whether the last commit failed."""
        self._thread = threading.Thread(target=self._write, name="journal", daemon=True)
        self._thread.start()

    def hold(self, row: Begun) -> int:
        """Queue a hold; returns its ticket. Raises StoreUnavailable after `close`."""
        return self._put(row)

    def checkpoint(self, row: CheckpointRow) -> None:
        """Queue how far an answer is. Best effort, never waited for."""
        if not self._closing:
            self._checkpoints.append(row)
            self._leave_later()

    def settle(self, row: Ended) -> int:
        """Queue the end of a hold; returns its ticket. Once for each hold, or the first one counts.

        The end of a hold that is known to have failed is not written: its ticket fails too."""
        if self._failures.any and self._failures.has(row.hold_seq):
            self._on_waived(row.row)
            return row.hold_seq
        ticket = self._put(row)
        if not self._leaving_soon and not self._writing:
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
        if ticket <= self._resolved:  # the end of a hold that is known to have failed
            return told(StoreUnavailable("the journal could not be written"))
        self._waiters.setdefault(ticket, []).append(told)
        if not self._leaving_soon and not self._writing:
            self._leave_soon()
        return None

    def written(self) -> int:
        """From any thread: the last seq that is on disk."""
        return self._written

    def folded(self, seq: int) -> None:
        """From any thread: rows that ended up to `seq` are in the book and may go."""
        self._queue.put(seq)

    async def close(self) -> None:
        """Write what is queued, try kept ends once more, end the thread."""
        if self._closing:
            return
        self._write_kept()
        self._closing = True
        while self._rows or self._checkpoints:
            self._hand_over()
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        await asyncio.sleep(0)  # let the last commit's report arrive
        for ticket in sorted(self._waiters):
            self._answer(ticket, StoreUnavailable("the journal is closed"))
        if self._kept:
            diary.error(
                "ends were not written: their holds will be interrupted", rows=len(self._kept)
            )

    def _put(self, row: Begun | Ended) -> int:
        if self._closing:
            raise StoreUnavailable("the journal is closed")
        ticket = self._next
        self._next += 1
        self._rows.append((ticket, row))
        if self._leaving is None and not self._writing:
            self._leave_later()
        elif self._paced and len(self._rows) >= ROWS_WORTH:
            self._leave_soon()
        return ticket

    def _leave_later(self) -> None:
        if not self._writing and self._leaving is None:
            self._leaving = self._loop.call_later(HOLD_WAIT_S, self._leave)

    def _leave_soon(self) -> None:
        """At the end of this turn of the loop, or when the pace allows. Not while writing."""
        if self._leaving is not None:
            self._leaving.cancel()
        self._leaving_soon, few = True, len(self._rows) < ROWS_WORTH
        self._paced = few and bool(self._pace_until) and self._pace_until > self._loop.time()
        if self._paced:
            self._leaving = self._loop.call_at(self._pace_until, self._leave)
        else:
            self._leaving = self._loop.call_soon(self._leave)

    def _leave(self) -> None:
        self._leaving, self._leaving_soon, self._paced = None, False, False
        if not self._writing and (self._rows or self._checkpoints):
            self._hand_over()

    def _hand_over(self) -> None:
        rows, self._rows = self._rows[:ROWS_PER_COMMIT_MAX], self._rows[ROWS_PER_COMMIT_MAX:]
        checkpoints, self._checkpoints = self._checkpoints, []
        self._writing = True
        self._pace_until = self._loop.time() + PACE_S if len(rows) > 2 else 0.0
        self._queue.put((rows, checkpoints))

    # On the loop, once per commit

    def _resolve(self, batch: list[Numbered], failed: dict[int, str]) -> None:
        self._writing = False
        if self._rows or self._checkpoints:
            self._leave_soon()
        if not batch:
            return
        self.failing = any(reason != _NOT_STORABLE for reason in failed.values())
        for ticket, row in batch:
            reason = failed.get(ticket)
            if reason is not None:
                self._fail(ticket, row, reason)
            elif ticket in self._waiters:
                self._answer(ticket, None)
        self._resolved = batch[-1][0]
        if self._kept and not self.failing:
            self._write_kept()
        elif self._kept and self._retry is None and not self._closing:
            self._retry = self._loop.call_later(RETRY_S, self._write_kept)

    def _fail(self, ticket: int, queued: Begun | Ended, reason: str) -> None:
        self._failures.add(ticket)
        row = queued.row
        if isinstance(row, SettleRow) and reason != _NOT_STORABLE:
            self._keep(row)
        self._answer(ticket, StoreUnavailable(f"the journal cannot be written: {reason}"))

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
        if self._closing:
            return
        kept, self._kept = self._kept, []
        for row in kept:
            self._put(row)

    def _answer(self, ticket: int, error: StoreUnavailable | None) -> None:
        for told in self._waiters.pop(ticket, ()):
            try:
                told(error)
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
                self._report(item[0], self._commit(*item))

    def _commit(self, rows: list[Numbered], checkpoints: list[CheckpointRow]) -> dict[int, str]:
        """Write one batch; returns the tickets that failed, and why."""
        try:
            self._append(rows, checkpoints)
        except StoreUnavailable as error:
            return {ticket: str(error) for ticket, _ in rows}
        except NOT_STORABLE as error:
            diary.exception("a journal row cannot be stored", reason=repr(error))
            return self._one_by_one(rows)
        if rows:
            self._written = rows[-1][0]
        return {}

    def _one_by_one(self, rows: list[Numbered]) -> dict[int, str]:
        failed = {}
        for item in rows:
            try:
                self._append([item], [])
                self._written = item[0]
            except StoreUnavailable as error:
                failed[item[0]] = str(error)
            except NOT_STORABLE:
                failed[item[0]] = _NOT_STORABLE
        return failed

    def _append(self, rows: Sequence[Numbered], checkpoints: Sequence[CheckpointRow]) -> None:
        made = [(ticket, queued.row) for ticket, queued in rows]
        settles = [(ticket, row) for ticket, row in made if isinstance(row, SettleRow)]
        ended = {row.hold_seq for _, row in settles}
        holds = [
            (ticket, row)
            for ticket, row in made
            if isinstance(row, HoldRow) and ticket not in ended
        ]
        self._file.append(holds, checkpoints, settles)

    def _report(self, rows: list[Numbered], failed: dict[int, str]) -> None:
        try:
            self._loop.call_soon_threadsafe(self._resolve, rows, failed)
        except RuntimeError:
            diary.warning("the loop ended before its journal", rows=len(rows))

    def _prune(self, folded_seq: int) -> None:
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
