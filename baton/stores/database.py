"""The connection to the book: one engine, short transactions, foreign errors mapped at this seam.

SQLite writes take the lock at BEGIN (IMMEDIATE), so that no transaction fails half-way for having
read before it wrote; readers never block (WAL). synchronous=FULL: what is committed outlives a
power cut. Methods of the store are synchronous; asynchronous callers run them in a thread.
"""

import contextlib
import pathlib
import sqlite3
from collections.abc import Iterator

import sqlalchemy
from sqlalchemy import event

from baton.stores.base import StoreUnavailable

BUSY_TIMEOUT_S = 10.0
"""How long a writer waits for another process's transaction, which takes milliseconds."""


class Database:
    """An engine on the book. `reading` and `writing` are its only ways in."""

    def __init__(self, path: pathlib.Path, slot: pathlib.Path | None = None) -> None:
        """`slot` is a journal file that every connection attaches under that name."""
        self.path, self._slot = path, slot
        url = sqlalchemy.URL.create("sqlite+pysqlite", database=str(path))
        self._engine = sqlalchemy.create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})
        event.listen(self._engine, "connect", self._prepare)
        event.listen(self._engine, "begin", _begin)

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlalchemy.Connection]:
        """One consistent snapshot. Raises StoreUnavailable."""
        with _mapped(), self._engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlalchemy.Connection]:
        """One transaction, committed at the end of the block, rolled back when it raises.

        Raises StoreUnavailable; IntegrityError is the caller's to interpret."""
        with _mapped(), self._engine.connect() as plain:
            connection = plain.execution_options(baton_writes=True)
            with connection.begin():
                yield connection

    def close(self) -> None:
        self._engine.dispose()

    def _prepare(self, connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # transactions begin where `_begin` says so
        for pragma in ("journal_mode=WAL", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}")
        if self._slot is not None:
            connection.execute("ATTACH DATABASE ? AS slot", (str(self._slot),))


@contextlib.contextmanager
def _mapped() -> Iterator[None]:
    try:
        yield
    except sqlalchemy.exc.IntegrityError:
        raise
    except sqlalchemy.exc.DBAPIError as error:
        raise StoreUnavailable(f"the book cannot be used: {error.orig}") from error


def _begin(connection: sqlalchemy.Connection) -> None:
    writes = connection.get_execution_options().get("baton_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
