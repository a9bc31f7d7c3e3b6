"""Rows: the journal's columns, the book's columns and the Structs say the same."""

import contextlib
import pathlib
import sqlite3

from baton.ledger.entries import (
    ATTEMPT_COLUMNS,
    END_COLUMNS,
    HOLD_COLUMNS,
    REQUEST_COLUMNS,
    EndRow,
    tokens_used,
)
from baton.ledger.journal_file import JournalFile
from baton.stores.base import AttemptRecord, RequestRecord
from baton.stores.tables import attempt, request


def columns(path: pathlib.Path, table: str) -> list[str]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]


def test_columns_agree(tmp_path: pathlib.Path) -> None:
    """A row is written by position: every order of columns is the Structs' order."""
    JournalFile(tmp_path / "0.db").close()
    assert ["seq", *HOLD_COLUMNS] == columns(tmp_path / "0.db", "hold")
    assert ["seq", "hold_seq", *REQUEST_COLUMNS] == columns(tmp_path / "0.db", "settle")
    assert ["seq", "n", "hold_seq", *ATTEMPT_COLUMNS] == columns(tmp_path / "0.db", "attempt")


def test_attempt_table_has_every_column() -> None:
    """Of attempts likewise."""
    assert ["request", "n", *ATTEMPT_COLUMNS] == [column.name for column in attempt.columns]
    assert {column.name for column in attempt.columns} == set(AttemptRecord.__struct_fields__)


def test_request_table_has_every_column() -> None:
    """What the journal tells of a request, the book keeps, and reports give back."""
    expected = {"id", *HOLD_COLUMNS, *END_COLUMNS}
    assert expected == {column.name for column in request.columns}
    assert expected == set(RequestRecord.__struct_fields__)


def test_what_counts_against_quotas() -> None:
    """The prompt and all that was generated; nothing of what was released; unknown counts as 0."""
    assert [15, 10, 0, 0] == [
        tokens_used(EndRow(state="settled", prompt_tokens=10, completion_tokens=5)),
        tokens_used(EndRow(state="interrupted", prompt_tokens=10)),
        tokens_used(EndRow(state="released", prompt_tokens=10, completion_tokens=5)),
        tokens_used(EndRow(state="settled")),
    ]
