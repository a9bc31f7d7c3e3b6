"""Ended requests on their way from a journal to the book: what a row looks like, and how many rows
become requests at once (by COPY, where the book is a server's).

What a row costs here is mostly its values: SQLite's driver looks for an adapter of each NULL and of
each bool, and a statement costs about as much as ten values. So flags are numbers, columns that
most requests leave empty stand last and are left out where they can be, and a statement takes many
rows.
"""

import contextlib
import itertools
import operator
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Protocol, TypeVar

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
PIECE_ROWS, PAUSE_S = 64, 50e-6
"""The event loop wants the interpreter meanwhile, and would get it after 5 ms of work on rows. So
it is let go after each piece, some 0.4 ms, for so long that a thread which waits wakes up."""
ROWS_PER_STATEMENT = 32
"""Beyond, hardly anything is saved."""
NUL, REPLACEMENT = "\0", "\ufffd"

Item = TypeVar("Item")
Row = tuple[Any, ...]
"""seq, then COLUMNS."""

_RARE_AT = 1 + len(USUAL)
_NOTHING = (None,) * len(RARE)
_NEWEST = text("SELECT max(id) FROM request WHERE id < :beyond")
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


def pieces(rows: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """So many at a time; between them the interpreter is let go."""
    for start in range(0, len(rows), PIECE_ROWS):
        if start:
            time.sleep(PAUSE_S)
        yield rows[start : start + PIECE_ROWS]


def of(*names: str) -> Callable[[Row], Any]:
    """Takes these columns out of a row: one value, or a tuple of several."""
    return operator.itemgetter(*(1 + COLUMNS.index(name) for name in names))


def known(connection: sqlalchemy.Connection, ids: Collection[int]) -> set[int]:
    """Those of them that are requests in the book; all are one journal's. Mostly they are newer
    than what the book has of it, and need not be looked for one by one."""
    least = min(ids, default=0)
    newest = connection.scalar(_NEWEST, {"beyond": ((least >> SEQ_BITS) + 1) << SEQ_BITS})
    if newest is None or newest < least:
        return set()
    given = {"ids": msgspec.json.encode(ids).decode()}
    return set(connection.scalars(_KNOWN[connection.dialect.name], given))


def storable(connection: sqlalchemy.Connection, rows: Sequence[Row]) -> Sequence[Row]:
    """As the book stores them: PostgreSQL stores no NUL, U+FFFD stands for it."""
    if connection.dialect.name == "sqlite":
        return rows
    return [row if NUL not in "".join(_words(row)) else _without_nul(row) for row in rows]


def carry(connection: sqlalchemy.Connection, rows: Sequence[Row]) -> None:
    """Make them requests of the book. Raises StoreUnavailable."""
    raw, driver = connection.connection.driver_connection, connection.dialect.loaded_dbapi
    assert raw is not None
    fill = _insert if connection.dialect.name == "sqlite" else _copy
    try:
        with contextlib.closing(raw.cursor()) as cursor:
            fill(cursor, rows)
    except driver.Error as error:
        raise StoreUnavailable(f"the book cannot be used: {error}") from error


def _copy(cursor: Any, rows: Sequence[Row]) -> None:
    with cursor.copy(f"COPY request({_names(COLUMNS)}) FROM STDIN") as copying:
        for piece in pieces(rows):
            for row in piece:
                copying.write_row(row[1:])


def _insert(cursor: Any, rows: Sequence[Row]) -> None:
    """Those that leave the same columns empty together."""
    alike: defaultdict[tuple[str, ...], list[Row]] = defaultdict(list)
    for piece in pieces(rows):
        for row in piece:
            usual, rare = row[1:_RARE_AT], row[_RARE_AT:]
            if rare == _NOTHING:
                alike[()].append(usual)
            else:
                given = {n: value for n, value in zip(RARE, rare, strict=True) if value is not None}
                alike[tuple(given)].append((*usual, *given.values()))
    for more, some in alike.items():
        left = len(some) % ROWS_PER_STATEMENT
        whole = len(some) - left
        _insert_each(cursor, (*USUAL, *more), some[:whole], ROWS_PER_STATEMENT)
        _insert_each(cursor, (*USUAL, *more), some[whole:], 1)


def _insert_each(cursor: Any, columns: Sequence[str], rows: Sequence[Row], at_once: int) -> None:
    places = ", ".join([f"({', '.join('?' * len(columns))})"] * at_once)
    statement = f"INSERT INTO request({_names(columns)}) VALUES {places}"
    cursor.executemany(statement, _joined(rows, at_once))


def _joined(rows: Sequence[Row], at_once: int) -> Iterator[Row]:
    for piece in pieces(rows):
        for start in range(0, len(piece), at_once):
            yield tuple(itertools.chain.from_iterable(piece[start : start + at_once]))


def _names(columns: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)


_texts = of(*(c.name for c in request.columns if c.type.python_type is str))


def _words(row: Row) -> Iterator[str]:
    return filter(None, _texts(row))


def _without_nul(row: Row) -> Row:
    return tuple(
        value.replace(NUL, REPLACEMENT) if isinstance(value, str) else value for value in row
    )
