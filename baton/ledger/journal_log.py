"""One journal on disk: rows that were committed, and what of them recovery closes. Synchronous.

Written by one thread of one process (its slot's lock sees to that), read by its folds. The log
beneath (stores/log.py) makes each batch one frame and one durable write; here it is said what the
frames mean. Rows are numbered by `seq`, ever increasing: what is folded up to a seq stays folded.

What is open (holds without an end, and their last checkpoints) is kept in memory: it is as many
holds as there are requests in flight. A new segment of the log begins with them, so that older
segments are needed for their ends only, and go once those are folded. An end needs no hold: a hold
that ended within its batch was never written. A second end of a hold may be in the log; readers let
the first count.

A batch is decoded before it is written: what cannot be read again later, or has a value that no
column of the book takes, fails here, alone, and not for ever in every fold. Most batches have
nothing but values that are known to be sound (`Ending.stored`), and are spared that.
"""

import pathlib
from collections.abc import Iterator, Sequence

import msgspec

from baton.ledger.batch import QueuedEnd, QueuedHold
from baton.ledger.entries import (
    AttemptRow,
    CheckpointRow,
    EndRow,
    HoldRow,
    Number,
    SettleRow,
)
from baton.stores import segments
from baton.stores.log import Log
from baton.telemetry import diary


class Ended(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The end of a hold, without what only its process needs."""

    seq: Number
    hold_seq: Number
    hold: HoldRow
    end: EndRow
    spent: tuple[AttemptRow, ...] = ()


class Batch(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A frame, but the first of a segment."""

    holds: tuple[tuple[Number, HoldRow], ...]
    checkpoints: tuple[CheckpointRow, ...]
    ends: tuple[Ended, ...]
    opened_us: int = 0
    """Of a batch that begins a life of the journal: when that was."""


class Carried(msgspec.Struct, frozen=True, array_like=True):
    """What a segment's head says of everything before it."""

    last_seq: int
    holds: list[tuple[int, HoldRow]]
    """Those that are open."""
    checkpoints: list[CheckpointRow]


_packed = msgspec.msgpack.Encoder().encode
batch_of = msgspec.msgpack.Decoder(Batch).decode
_carried = msgspec.msgpack.Decoder(Carried).decode


class JournalLog:
    """An open journal. Every method raises StoreUnavailable when it cannot be written, and Damaged
    when what it holds cannot be read."""

    def __init__(self, path: pathlib.Path) -> None:
        """`path`: its folder."""
        self.log = Log(path)
        self._loaded = False
        self._last = 0
        self._last_end = 0
        self._open: dict[int, QueuedHold] = {}
        self._points: dict[int, CheckpointRow] = {}

    @property
    def identity(self) -> str:
        return self.log.identity

    def open_epoch(self, now_us: int, folded_seq: int = 0) -> tuple[int, int]:
        """Begin a life of this journal: close what the last one left open, at its checkpoints.

        Numbers go on after `folded_seq` at least: of a restored backup the book may know more.
        Returns the first free seq and how many holds were interrupted. Doing it again is
        harmless."""
        if not self._loaded:
            self._load(folded_seq)
            self._loaded = True
            self.tell_missing(folded_seq)
        self._last = max(self._last, folded_seq)
        ends = [
            (self._last + n, SettleRow(seq, held.row, interrupted(held.row, self._points.get(seq))))
            for n, (seq, held) in enumerate(self._open.items(), 1)
        ]
        self._write((), {}, ends, now_us)
        return self._last + 1, len(ends)

    def append(
        self,
        holds: Sequence[tuple[int, QueuedHold]],
        checkpoints: Sequence[CheckpointRow],
        settles: Sequence[tuple[int, QueuedEnd]],
    ) -> None:
        """All rows or none. Of two ends of a hold the first one counts."""
        points = {row.hold_seq: row for row in checkpoints}
        self._write(holds, points, settles)

    def prune(self, folded_seq: int) -> bool:
        """Give up what was folded, a segment at a time. Returns False: nothing is left to do."""
        self.log.prune(folded_seq)
        return False

    def tell_missing(self, mark: int) -> None:
        """Of a book that has less than what was given up here: it was put back to an earlier state,
        and requests between are nowhere any more."""
        if self.log.begun and self.log.begun[0].passed > mark:
            diary.error(
                "the book lacks requests that were folded, and that this journal has given up",
                folder=str(self.log.folder),
                book_seq=mark,
                journal_seq=self.log.begun[0].passed,
            )

    def close(self) -> None:
        self.log.close()

    def _write(
        self,
        holds: Sequence[tuple[int, QueuedHold]],
        points: dict[int, CheckpointRow],
        settles: Sequence[tuple[int, QueuedEnd]],
        opened_us: int = 0,
    ) -> None:
        began = [(seq, hold.stored()) for seq, hold in holds]
        ended = [end.stored(seq) for seq, end in settles]
        sound = all(each[1] for _, each in began) and all(each[1] for each in ended)
        values = [(seq, each[0]) for seq, each in began], list(points.values())
        payload = _packed((*values, [each[0] for each in ended], opened_us))
        if points or not sound:
            batch_of(payload)
        self.log.append(payload, self._carry)
        self._open.update(holds)
        if points:
            self._points.update((seq, row) for seq, row in points.items() if seq in self._open)
        if self._open:
            for _, end in settles:
                self._open.pop(end.hold_seq, None)
                self._points.pop(end.hold_seq, None)
        if settles:
            self._last_end = settles[-1][0]
        self._last = max(self._last, self._last_end, holds[-1][0] if holds else 0)

    def _carry(self) -> tuple[int, bytes]:
        points = [self._points[seq] for seq in self._open if seq in self._points]
        holds = [(seq, held.row) for seq, held in self._open.items()]
        return self._last_end, _packed(Carried(self._last, holds, points))

    def _load(self, mark: int) -> None:
        """Read what the last life left, from where the book has everything before."""
        parts: list[segments.Part] = []
        for part in segments.read(self.log.folder, mark):
            if not parts:
                self._begin_with(part.segment.head)
            for payload in part.payloads:
                self._note(batch_of(payload))
            parts.append(part._replace(payloads=len(part.payloads) * [memoryview(b"")]))
        self.log.resume(parts)

    def _begin_with(self, head: segments.Head) -> None:
        carried = _carried(head.carried)
        self._last, self._last_end = carried.last_seq, head.passed
        self._open.update(carried.holds)
        self._points.update((row.hold_seq, row) for row in carried.checkpoints)

    def _note(self, batch: Batch) -> None:
        self._open.update(batch.holds)
        self._points.update((r.hold_seq, r) for r in batch.checkpoints if r.hold_seq in self._open)
        for end in batch.ends:
            self._open.pop(end.hold_seq, None)
            self._points.pop(end.hold_seq, None)
            self._last_end = end.seq
        last_hold = batch.holds[-1][0] if batch.holds else 0
        self._last = max(self._last, self._last_end, last_hold)


def interrupted(hold: HoldRow, point: CheckpointRow | None) -> EndRow:
    """The end of a hold whose process is gone: charged at its last checkpoint."""
    return EndRow(
        state="interrupted",
        charge=0 if point is None else min(point.charge, hold.hold),
        prompt_tokens=None if point is None else point.prompt_tokens,
        completion_tokens=None if point is None else point.completion_tokens,
        estimated=True,
        status=500,
        error_code="interrupted",
        cost_version=0,
    )


def ends_after(folder: pathlib.Path, mark: int) -> Iterator[Ended]:
    """The ends in a journal's folder that are beyond the mark, whoever has it open. Raises Damaged,
    StoreUnavailable."""
    for part in segments.read(folder, mark):
        for payload in part.payloads:
            yield from (end for end in batch_of(payload).ends if end.seq > mark)
