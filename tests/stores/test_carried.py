"""Rows on their way to a book on a server."""

import pathlib

import pytest

from baton.ledger.entries import EndRow, HoldRow, SettleRow
from baton.ledger.journal_file import JournalFile
from baton.stores.base import StoreUnavailable
from baton.stores.carried import COLUMNS, FileRows


def settle(seq: int, user: str | None = None) -> tuple[int, SettleRow]:
    hold = HoldRow(f"r{seq}", seq, "k", "a", "", "m", user, False, 100, 1)
    return seq, SettleRow(seq, hold, EndRow(state="settled", charge=seq))


def test_rows_come_in_order_after_the_mark(tmp_path: pathlib.Path) -> None:
    """As many as asked for, each with its seq, its hold's, and a request's columns."""
    file = JournalFile(tmp_path / "0.db")
    file.append([], [], [settle(number) for number in range(1, 6)])
    rows = FileRows(tmp_path / "0.db")
    assert [3, 4] == [row[0] for row in rows.after(2, 2)]
    (last,) = rows.after(4, 10)
    assert (5, 5) == tuple(last[:2])
    assert ("r5", 5) == tuple(last[2 + COLUMNS.index(name)] for name in ("request_id", "charge"))
    assert 2 + len(COLUMNS) == len(last)
    rows.checkpoint()
    rows.close()
    file.close()


def test_a_file_that_cannot_be_read_is_told(tmp_path: pathlib.Path) -> None:
    """What SQLite says comes out as the store's error."""
    (tmp_path / "0.db").write_bytes(b"no journal " * 1_000)
    rows = FileRows(tmp_path / "0.db")
    with pytest.raises(StoreUnavailable):
        rows.after(0, 1)
    rows.close()
