"""The ended requests of a journal's log, on their way to the book (stores/carried.py: Rows).

Read once, in order and in pieces: where the last read ended the next one goes on, up to what is
durable, until there are as many rows as were asked for. So memory holds a fold's rows and not a
segment's, however far the folds are behind. Rows stay here until the book's mark is beyond them, so
that a fold that failed finds them again.

A mark may go back: a server that had not received all took the place of one that was lost. Then it
is read again from there, as far as segments have not been given up.
"""

import bisect
import operator
import pathlib
import time
from collections.abc import Iterator, Sequence

import msgspec

from baton.ledger.entries import REQUEST_COLUMNS, AttemptRow, EndRow, HoldRow
from baton.ledger.journal_log import Ended, JournalLog, batch_of
from baton.stores import framing, segments
from baton.stores.carried import COLUMNS, PAUSE_S, PIECE_ROWS, SEQ_BITS, Row
from baton.stores.framing import Life
from baton.stores.log import Begun
from baton.telemetry import diary

READ_BYTES = 64 * 1024
"""A hundred rows or more. Larger buffers that come and go leave holes in the heap: once one was
freed, glibc takes others of its size from there (docs/decisions/0044)."""

_values = msgspec.structs.astuple
_seq = operator.itemgetter(0)
_GIVEN = ("seq", "id", *REQUEST_COLUMNS)
_STREAM, _ESTIMATED = map(_GIVEN.index, ("stream", "estimated"))
_in_order = operator.itemgetter(*map(_GIVEN.index, ("seq", *COLUMNS)))


def posted(seq: int, request: int, hold: HoldRow, end: EndRow) -> Row:
    """The row of a request that ended."""
    values = [seq, request, *_values(hold), *_values(end)]
    values[_STREAM], values[_ESTIMATED] = int(hold.stream), int(end.estimated)
    row: Row = _in_order(values)
    return row


def attempts(seq: int, request: int, spent: Sequence[AttemptRow]) -> Iterator[Row]:
    """The rows of its attempts."""
    for n, each in enumerate(spent, 1):
        yield (seq, request, n, *map(_plain, _values(each)))


def _plain(value: object) -> object:
    return int(value) if isinstance(value, bool) else value


class LogRows:
    """Those of an open journal, for one thread."""

    def __init__(self, journal: JournalLog, number: int) -> None:
        """`number`: the journal's, in the book."""
        self._log, self._first_id = journal.log, number << SEQ_BITS
        self._journal, self._mark = journal, 0
        self._rows: list[Row] = []
        self._spent: list[Row] = []
        self._waiting: set[int] = set()
        """Ids of `rows`."""
        self._at: Begun | None = None
        self._life: Life | None = None
        self._offset = 0

    def after(self, mark: int, at_most: int) -> list[Row]:
        """See Rows. Raises Damaged, StoreUnavailable."""
        if mark < self._mark:
            self._begin_again(mark)
        self._mark = mark
        self._forget(mark)
        while len(self._rows) < at_most and self._read_on(mark):
            pass
        return self._rows[:at_most]

    def attempts(self, mark: int, last: int) -> list[Row]:
        return [values for values in self._spent if mark < values[0] <= last]

    def close(self) -> None:
        """Nothing is open."""

    def _begin_again(self, mark: int) -> None:
        diary.error(
            "the book went back to an earlier state: this journal is folded again from there",
            journal=self._first_id >> SEQ_BITS,
        )
        self._journal.tell_missing(mark)
        self._rows, self._spent, self._at = [], [], None
        self._waiting.clear()

    def _forget(self, mark: int) -> None:
        """What is in the book."""
        folded = bisect.bisect_right(self._rows, mark, key=_seq)
        if folded:
            self._waiting.difference_update(row[1] for row in self._rows[:folded])
            del self._rows[:folded]
            del self._spent[: bisect.bisect_right(self._spent, mark, key=_seq)]

    def _read_on(self, mark: int) -> bool:
        """Read a segment on; returns whether there was something, or there is another one."""
        number, end = self._log.durable
        at = self._present(mark)
        if at is None:
            return False
        if at.number != number:
            end = self._log.ends.get(at.number, 0)
        if self._offset < end:
            self._read(at.path, end, mark)
            return True
        if at.number >= number:
            return False
        self._move(next(each for each in self._log.begun if each.number > at.number))
        return True

    def _present(self, mark: int) -> Begun | None:
        """Where to read: a segment that was given up had nothing that is not folded."""
        begun = list(self._log.begun)
        if self._at not in begun:
            needed = [each for each in begun if each.passed <= mark] or begun
            if not needed:
                return None
            self._move(needed[-1] if needed is not begun else begun[0])
        return self._at

    def _move(self, to: Begun) -> None:
        self._at, self._life, self._offset = to, None, 0

    def _read(self, path: pathlib.Path, end: int, mark: int) -> None:
        """A piece, as many whole frames as are in it; one that is longer is read all the same."""
        start = self._offset
        data = segments.content(path, start, min(end, start + READ_BYTES))
        at = self._read_frames(data, mark)
        if not at and start + len(data) < end:
            at = self._read_frames(segments.content(path, start, end), mark)
        if not at:
            raise segments.damaged(path, start, "what was written is not there")

    def _read_frames(self, data: memoryview, mark: int) -> int:
        """Those that are whole, one behind the other; returns how far they go."""
        at, start = 0, self._offset
        pause_at = len(self._rows) + PIECE_ROWS
        while at < len(data):
            if len(self._rows) >= pause_at:
                time.sleep(PAUSE_S)
                pause_at = len(self._rows) + PIECE_ROWS
            frame = framing.frame_at(data, at, start + at)
            if frame is None or frame.life != (self._life or frame.life):
                break
            if self._life is not None:  # else it is the segment's head
                for ended in batch_of(frame.payload).ends:
                    self._take(ended, mark)
            self._life, at = frame.life, frame.after
            self._offset = start + at
        return at

    def _take(self, ended: Ended, mark: int) -> None:
        request = self._first_id | ended.hold_seq
        if ended.seq <= mark or request in self._waiting:
            return
        self._waiting.add(request)
        self._rows.append(posted(ended.seq, request, ended.hold, ended.end))
        if ended.spent:
            self._spent += attempts(ended.seq, request, ended.spent)
