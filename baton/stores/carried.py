"""Ended requests on their way from a journal to the book.

Rows are read where the journal is and put into a temporary table of the connection (by COPY, where
that is a server's); the statements of stores/posting.py take them from there, so that sums are the
database's work.
"""

import operator
from collections.abc import Sequence
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
RARE = (
    "user",
    "reasoning_tokens",
    "audio_prompt_tokens",
    "image_prompt_tokens",
    "audio_completion_tokens",
    "cache_write_tokens",
    "queue_us",
    "error_code",
)
"""What most requests leave empty. Of a row's cost to bind a third is its NULLs (SQLite's driver
looks for an adapter of each), so these columns are left out where they can be."""
NUL, REPLACEMENT = "\0", "\ufffd"

Row = Sequence[Any]
"""seq, hold_seq, then a request's columns but its id."""

_ALL = ("seq", "hold_seq", *COLUMNS)
_USUAL = tuple(name for name in _ALL if name not in RARE)
_NOTHING = (None,) * len(RARE)
_rare = operator.itemgetter(*map(_ALL.index, RARE))
_often = operator.itemgetter(*map(_ALL.index, _USUAL))


class Rows(Protocol):
    """The ended requests of one journal."""

    def after(self, mark: int, at_most: int) -> Sequence[Row]:
        """Those with a seq above `mark`, in order, the first end of each hold. Raises
        StoreError."""

    def attempts(self, mark: int, last: int) -> Sequence[Row]:
        """The attempts of those from above `mark` to `last`, which `after` returned: seq, n,
        hold_seq, then an attempt's columns."""

    def close(self) -> None: ...


def prepare(connection: sqlalchemy.Connection) -> None:
    """An empty table for a batch; its rows last as long as the transaction."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(
            f"CREATE TEMPORARY TABLE IF NOT EXISTS {POSTED}(seq INTEGER PRIMARY KEY, hold_seq,"
            f" {NAMES})"
        )
        return
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
    if connection.dialect.name == "sqlite":
        usual = [_often(row) for row in rows if _rare(row) == _NOTHING]
        others = [tuple(row) for row in rows if _rare(row) != _NOTHING]
        for columns, values in ((_USUAL, usual), (_ALL, others)):
            if values:
                connection.exec_driver_sql(_insert(columns), values)
        return
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


def _insert(columns: Sequence[str]) -> str:
    names = ", ".join(f'"{name}"' for name in columns)
    return f"INSERT INTO {POSTED}({names}) VALUES({', '.join('?' * len(columns))})"


def clear(connection: sqlalchemy.Connection) -> None:
    """The batch is posted. PostgreSQL drops its rows at the commit."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"DELETE FROM {POSTED}")


def storable(value: object) -> object:
    """As PostgreSQL takes it: flags are numbers, and U+FFFD stands for NUL."""
    if isinstance(value, str) and NUL in value:
        return value.replace(NUL, REPLACEMENT)
    return int(value) if isinstance(value, bool) else value
