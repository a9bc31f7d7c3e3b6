"""Ended requests on their way from a journal's log to the book."""

import pathlib
import tracemalloc

import msgspec
import pytest

from baton.ledger import log_rows
from baton.ledger.entries import EndRow, HoldRow, SettleRow
from baton.ledger.journal_log import JournalLog
from baton.ledger.log_rows import LogRows
from baton.stores import log as logs
from baton.stores.carried import COLUMNS, SEQ_BITS, of
from baton.stores.framing import BLOCK_BYTES
from baton.stores.segments import Damaged
from tests.ledger.test_journal_log import spent


def settle(seq: int) -> tuple[int, SettleRow]:
    hold = HoldRow(f"r{seq}", seq, "k", "a", "", "m", None, True, 100, 1)
    return seq, SettleRow(seq, hold, EndRow(state="settled", charge=seq))


@pytest.fixture
def journal(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> JournalLog:
    """Of small segments."""
    monkeypatch.setattr(logs, "SEGMENT_BYTES_MIN", 4 * BLOCK_BYTES)
    monkeypatch.setattr(logs, "SEGMENT_BYTES_MAX", 4 * BLOCK_BYTES)
    journal = JournalLog(tmp_path / "0")
    journal.open_epoch(1)
    return journal


def seqs(rows: LogRows, mark: int, at_most: int = 100) -> list[int]:
    return [row[0] for row in rows.after(mark, at_most)]


def test_rows_come_in_order_after_the_mark(journal: JournalLog) -> None:
    """As many as asked for, each with its seq and a request's columns; those that the
    mark has not passed come again."""
    for number in range(1, 31, 3):
        journal.append([], [], [settle(number + n) for n in range(3)])
    assert len(journal.log.begun) > 2
    rows = LogRows(journal, 7)
    assert list(range(1, 31)) == seqs(rows, 0)
    assert [1, 2] == seqs(rows, 0, 2)
    assert [3, 4] == seqs(rows, 2, 2)
    assert [30] == seqs(rows, 29)
    [last] = rows.after(29, 10)
    wanted = {"request_id": "r30", "charge": 30, "stream": 1, "estimated": 0, "state": "settled"}
    assert (30, 7 << SEQ_BITS | 30) == last[:2]
    assert wanted == {name: of(name)(last) for name in wanted}
    assert {int, str, type(None)} == {type(value) for value in last}
    assert 1 + len(COLUMNS) == len(last)
    assert [] == seqs(rows, 30)
    journal.append([], [], [settle(31)])
    assert [31] == seqs(rows, 30)
    rows.close()
    journal.close()


def test_the_first_end_of_a_hold_counts(journal: JournalLog) -> None:
    """Also within one append; attempts come with their end, under its number."""
    seq, row = settle(1)
    first = msgspec.structs.replace(row, spent=(spent("u"), spent("v")))
    journal.append([], [], [(seq, first), (2, msgspec.structs.replace(row, spent=(spent("w"),)))])
    journal.append([], [], [(3, row), settle(4)])
    rows = LogRows(journal, 7)
    assert [1, 4] == seqs(rows, 0)
    first_id = 7 << SEQ_BITS | 1
    told = [values[:4] for values in rows.attempts(0, 4)]
    assert [(1, first_id, 1, "u"), (1, first_id, 2, "v")] == told
    assert {int, str, type(None)} >= {type(value) for value in rows.attempts(0, 4)[0]}
    assert [4] == seqs(rows, 1)
    assert [] == list(rows.attempts(1, 4))
    journal.close()


def test_attempts_go_with_the_rows_that_are_posted(journal: JournalLog) -> None:
    """Not those of later ones, which are read already, nor those of earlier ones, which are in the
    book; and nothing of what is there is remembered."""
    for number in range(1, 5):
        seq, row = settle(number)
        journal.append([], [], [(seq, msgspec.structs.replace(row, spent=(spent(f"u{seq}"),)))])
    rows = LogRows(journal, 7)

    def told(mark: int, last: int) -> list[object]:
        return [values[3] for values in rows.attempts(mark, last)]

    assert [1, 2, 3, 4] == seqs(rows, 0)
    assert (["u1", "u2"], ["u2", "u3"], []) == (told(0, 2), told(1, 3), told(4, 9))
    assert [3, 4] == seqs(rows, 2)
    assert (["u3", "u4"], ["u3"]) == (told(0, 4), told(2, 3))
    assert [] == seqs(rows, 4)
    assert (set(), []) == (rows._waiting, rows._spent)
    journal.close()


def test_segments_that_are_given_up(journal: JournalLog) -> None:
    """A reader that stood in one goes on with what is left; a new one begins there."""
    rows = LogRows(journal, 7)
    for number in range(1, 41):
        journal.append([], [], [settle(number)])
        if number == 2:
            assert [1, 2] == seqs(rows, 0)
    journal.prune(39)
    assert "1.log" not in {each.path.name for each in journal.log.begun}
    assert [40] == seqs(rows, 39)
    assert [40] == seqs(LogRows(journal, 7), 39)
    journal.close()


def test_a_book_that_went_back(journal: JournalLog, caplog: pytest.LogCaptureFixture) -> None:
    """Rows come again from where it stands, and it is told; also that some are given up."""
    rows = LogRows(journal, 7)
    for number in range(1, 41):
        journal.append([], [], [settle(number)])
    assert [39, 40] == seqs(rows, 38)
    assert list(range(4, 41)) == seqs(rows, 3)
    assert ["the book went back to an earlier state"] == [
        record.getMessage().partition(":")[0] for record in caplog.records
    ]
    journal.prune(39)
    caplog.clear()
    assert [40] == seqs(rows, 39)
    left = seqs(rows, 3)
    assert left == list(range(left[0], 41))
    assert 4 < left[0]
    assert ["went back", "given up"] == [
        next(words for words in ("went back", "given up") if words in record.getMessage())
        for record in caplog.records
    ]
    journal.close()


def test_a_book_that_is_older_than_the_journal(
    journal: JournalLog, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Who opens it next tells what is missing; not where nothing is."""
    for number in range(1, 41):
        journal.append([], [], [settle(number)])
    journal.prune(39)
    journal.close()
    for mark, told in ((39, 0), (3, 1)):
        again = JournalLog(tmp_path / "0")
        again.open_epoch(2, mark)
        again.close()
        assert told == sum("given up" in record.getMessage() for record in caplog.records)


def test_only_what_is_durable_is_read(journal: JournalLog) -> None:
    """What a write left that failed, or is not over, is not folded."""
    journal.append([], [], [settle(1)])
    before = journal.log.durable
    journal.append([], [], [settle(2)])
    journal.log.durable = before
    assert [1] == seqs(LogRows(journal, 7), 0)
    journal.close()


def test_a_file_that_goes_bad(journal: JournalLog, tmp_path: pathlib.Path) -> None:
    """Rows before it are there, and it is told at each try."""
    journal.append([], [], [settle(1)])
    rows = LogRows(journal, 7)
    assert [1] == seqs(rows, 0)
    journal.append([], [], [settle(2)])
    with (tmp_path / "0" / "1.log").open("r+b") as file:
        file.seek(3 * BLOCK_BYTES)
        file.write(b"?")
    for _ in range(2):
        with pytest.raises(Damaged, match="what was written is not there"):
            rows.after(0, 10)
    journal.close()


def test_no_more_is_in_memory_than_was_asked_for(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a piece of the log, however much of it waits."""
    monkeypatch.setattr(logs, "SEGMENT_BYTES_MIN", logs.SEGMENT_BYTES_MAX)
    journal = JournalLog(tmp_path / "0")
    journal.open_epoch(1)
    for number in range(1, 3_001, 10):
        journal.append([], [], [settle(number + n) for n in range(10)])
    rows = LogRows(journal, 7)
    tracemalloc.start()
    try:
        assert list(range(1, 11)) == seqs(rows, 0, 10)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert list(range(11, 3_001)) == seqs(rows, 10, 3_000)
    journal.close()


def test_a_frame_longer_than_what_is_read_at_once(
    journal: JournalLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read all the same, wherever it stands among others."""
    monkeypatch.setattr(log_rows, "READ_BYTES", BLOCK_BYTES)
    sizes, appended = (1, 60, 1, 1, 1, 60), 0
    for size in sizes:
        journal.append([], [], [settle(appended + n) for n in range(1, size + 1)])
        appended += size
    rows = LogRows(journal, 7)
    assert [1] == seqs(rows, 0, 1)
    assert list(range(1, appended + 1)) == seqs(rows, 0, 1_000)
    journal.close()
