"""Ended requests on their way from a journal to a book on a server.

Rows are read where the journal is and copied (COPY) into a temporary table of the connection; the
statements of stores/posting.py take them from there, so that sums are the server's work.
"""

import contextlib
import pathlib
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import sqlalchemy
from sqlalchemy import text
from sqlalchemy.schema import CreateColumn

from baton.stores.base import StoreUnavailable
from baton.stores.tables import attempt, request

POSTED = "posted"
COLUMNS = tuple(column.name for column in request.columns if column.name != "id")
NAMES = ", ".join(f'"{name}"' for name in COLUMNS)
ATTEMPT_COLUMNS = tuple(c.name for c in attempt.columns if c.name not in ("request", "n"))
SPENT = ", ".join(ATTEMPT_COLUMNS)
NUL, REPLACEMENT = "\0", "\ufffd"

Row = Sequence[Any]
"""seq, hold_seq, then a request's columns but its id."""


class Rows(Protocol):
    """The ended requests of one journal."""

    path: pathlib.Path | None
    """Its file, where it is one."""

    def after(self, mark: int, at_most: int) -> Sequence[Row]:
        """Those with a seq above `mark`, in order. Raises StoreUnavailable."""

    def attempts(self, mark: int, last: int) -> Sequence[Row]:
        """The attempts of those from above `mark` to `last`, which `after` returned: seq, n,
        hold_seq, then an attempt's columns."""

    def checkpoint(self) -> None:
        """Something to do from time to time, not in a commit."""

    def close(self) -> None: ...


class FileRows:
    """Those of a journal's file, read by a connection of its own."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path: pathlib.Path | None = path
        with _mapped():
            self._connection = sqlite3.connect(
                path, timeout=5.0, isolation_level=None, check_same_thread=False
            )

    def after(self, mark: int, at_most: int) -> list[Row]:
        query = f"SELECT seq, hold_seq, {NAMES} FROM settle WHERE seq > ? ORDER BY seq LIMIT ?"
        with _mapped():
            return self._connection.execute(query, (mark, at_most)).fetchall()

    def attempts(self, mark: int, last: int) -> list[Row]:
        query = f"SELECT seq, n, hold_seq, {SPENT} FROM attempt WHERE seq > ? AND seq <= ?"
        with _mapped():
            return self._connection.execute(query, (mark, last)).fetchall()

    def checkpoint(self) -> None:
        with _mapped():
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def close(self) -> None:
        self._connection.close()


def prepare(connection: sqlalchemy.Connection) -> None:
    """An empty table for a batch; it lasts as long as the transaction."""
    columns = ", ".join(
        str(CreateColumn(column).compile(dialect=connection.dialect))
        for column in request.columns
        if column.name != "id"
    )
    connection.execute(
        text(
            f"CREATE TEMPORARY TABLE IF NOT EXISTS {POSTED}(seq BIGINT, hold_seq BIGINT, {columns})"
            " ON COMMIT DELETE ROWS"
        )
    )


def carry(connection: sqlalchemy.Connection, rows: Sequence[Row]) -> None:
    """Copy the rows into the batch's table. PostgreSQL stores no NUL: U+FFFD stands for it."""
    raw, driver = connection.connection.driver_connection, connection.dialect.loaded_dbapi
    assert raw is not None
    try:
        with (
            raw.cursor() as cursor,
            cursor.copy(f"COPY {POSTED}(seq, hold_seq, {NAMES}) FROM STDIN") as copying,
        ):
            for row in rows:
                copying.write_row([storable(value) for value in row])
    except driver.Error as error:
        raise StoreUnavailable(f"the book cannot be used: {error}") from error


def storable(value: object) -> object:
    """As PostgreSQL takes it: flags are numbers, and U+FFFD stands for NUL."""
    if isinstance(value, str) and NUL in value:
        return value.replace(NUL, REPLACEMENT)
    return int(value) if isinstance(value, bool) else value


@contextlib.contextmanager
def _mapped() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreUnavailable(f"the journal cannot be read: {error}") from error
