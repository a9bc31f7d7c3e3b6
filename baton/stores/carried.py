"""Ended requests on their way from a journal to the book: what a row looks like, and how many rows
become requests at once (by COPY, where the book is a server's).

What a row costs here is mostly its values: SQLite's driver looks for an adapter of each NULL and of
each bool, and a statement costs about as much as ten values. So flags are numbers, columns that
most requests leave empty stand last and are left out where they can be, and a statement takes many
rows.
"""

import itertools
import operator
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Protocol

import msgspec
import sqlalchemy
from sqlalchemy import text

from baton.stores.base import StoreUnavailable
from baton.stores.tables import attempt, request

SEQ_BITS = 40
"""A request's id is its journal's number above, and its hold's seq below this many bits."""
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
"""What most requests leave empty."""
USUAL = tuple(column.name for column in request.columns if column.name not in RARE)
"""Begins with the id."""
COLUMNS = (*USUAL, *RARE)
ATTEMPT_COLUMNS = tuple(c.name for c in attempt.columns if c.name not in ("request", "n"))
ROWS_PER_STATEMENT = 32
"""Beyond, hardly anything is saved."""
NUL, REPLACEMENT = "\0", "\ufffd"

Row = tuple[Any, ...]
"""seq, then COLUMNS."""

_RARE_AT = 1 + len(USUAL)
_NOTHING = (None,) * len(RARE)
_KNOWN = {
    "sqlite": text("SELECT id FROM request WHERE id IN (SELECT value FROM json_each(:ids))"),
    "postgresql": text(
        "SELECT id FROM request WHERE id IN"
        " (SELECT CAST(json_array_elements_text(CAST(:ids AS json)) AS BIGINT))"
    ),
}


class Rows(Protocol):
    """The ended requests of one journal."""

    def after(self, mark: int, at_most: int) -> Sequence[Row]:
        """Those with a seq above `mark`, in order, the first end of each hold. Raises
        StoreError."""

    def attempts(self, mark: int, last: int) -> Sequence[Row]:
        """The attempts of those from above `mark` to `last`, which `after` returned: seq, the
        request's id, n, then ATTEMPT_COLUMNS."""

    def close(self) -> None: ...


def of(*names: str) -> Callable[[Row], Any]:
    """Takes these columns out of a row: one value, or a tuple of several."""
    return operator.itemgetter(*(1 + COLUMNS.index(name) for name in names))


def known(connection: sqlalchemy.Connection, ids: Collection[int]) -> set[int]:
    """Those of them that are requests in the book."""
    given = {"ids": msgspec.json.encode(ids).decode()}
    return set(connection.scalars(_KNOWN[connection.dialect.name], given))


def storable(connection: sqlalchemy.Connection, rows: Sequence[Row]) -> Sequence[Row]:
    """As the book stores them: PostgreSQL stores no NUL, U+FFFD stands for it."""
    if connection.dialect.name == "sqlite":
        return rows
    return [row if NUL not in "".join(_words(row)) else _without_nul(row) for row in rows]


def carry(connection: sqlalchemy.Connection, rows: Sequence[Row]) -> None:
    """Make them requests of the book. Raises StoreUnavailable."""
    if connection.dialect.name != "sqlite":
        return _copy(connection, rows)
    usual = [row[1:_RARE_AT] for row in rows if row[_RARE_AT:] == _NOTHING]
    others = [row[1:] for row in rows if row[_RARE_AT:] != _NOTHING]
    _insert(connection, USUAL, usual)
    return _insert(connection, COLUMNS, others)


def _copy(connection: sqlalchemy.Connection, rows: Sequence[Row]) -> None:
    raw, driver = connection.connection.driver_connection, connection.dialect.loaded_dbapi
    assert raw is not None
    try:
        with (
            raw.cursor() as cursor,
            cursor.copy(f"COPY request({_names(COLUMNS)}) FROM STDIN") as copying,
        ):
            for row in rows:
                copying.write_row(row[1:])
    except driver.Error as error:
        raise StoreUnavailable(f"the book cannot be used: {error}") from error


def _insert(connection: sqlalchemy.Connection, columns: Sequence[str], rows: Sequence[Row]) -> None:
    left = len(rows) % ROWS_PER_STATEMENT
    for at_once, some in (
        (ROWS_PER_STATEMENT, rows[: len(rows) - left]),
        (1, rows[len(rows) - left :]),
    ):
        values = ", ".join([f"({', '.join('?' * len(columns))})"] * at_once)
        statement = f"INSERT INTO request({_names(columns)}) VALUES {values}"
        if some:
            connection.exec_driver_sql(statement, list(_joined(some, at_once)))


def _joined(rows: Sequence[Row], at_once: int) -> Iterator[Row]:
    for start in range(0, len(rows), at_once):
        yield tuple(itertools.chain.from_iterable(rows[start : start + at_once]))


def _names(columns: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)


_texts = of(*(c.name for c in request.columns if c.type.python_type is str))


def _words(row: Row) -> Iterator[str]:
    return filter(None, _texts(row))


def _without_nul(row: Row) -> Row:
    return tuple(
        value.replace(NUL, REPLACEMENT) if isinstance(value, str) else value for value in row
    )
