"""The connection to the book: one engine, short transactions, foreign errors mapped at this seam.

SQLite writes take the lock at BEGIN (IMMEDIATE), so that no transaction fails half-way for having
read before it wrote; readers never block (WAL). synchronous=FULL: what is committed outlives a
power cut. On PostgreSQL a writer takes an advisory lock, so that those who read before they write
have the same promise, unless it says that it locks the rows it decides on (`alone=False`).

A server that does not answer is not asked again for `AWAY_S`: one caller waits, the others are told
at once. Methods of the store are synchronous; asynchronous callers run them in a thread.
"""

import contextlib
import functools
import importlib
import pathlib
import sqlite3
import time
from collections.abc import Iterator

import msgspec
import sqlalchemy
from sqlalchemy import event, text

from baton.config import PASSWORD_IN_A_URL
from baton.stores.base import StoreError, StoreUnavailable, Uncertain, Unstorable

BUSY_TIMEOUT_S = 10.0
"""How long a writer waits for another process's transaction, which takes milliseconds."""
READER_CACHE_KIB, WRITER_CACHE_KIB = 256, 1_000
"""Pages of a file that a connection keeps (SQLite's own default: 2,000). What is read again is the
same few pages, and the system's memory has all of them. A fold touches an index at random places: a
transaction that does not fit is a third dearer with 500, six per cent with 1,000 (measured)."""
EMBEDDED_RUSH = 14
"""Connections to a file beyond the one that stays open for reading, and the one for writing."""
AWAY_S = 1.0
WRITER_LOCK = 0x6261746F
"""Advisory lock of PostgreSQL: held by the one transaction that reads before it writes."""

WRITTEN = (
    f"write postgresql://USER:PASSWORD@HOST:PORT/NAME, {PASSWORD_IN_A_URL}, and several servers as"
    " ?host=ONE:5432&host=TWO:5432"
)

READ_ONLY = "25006"
"""What a standby of PostgreSQL says to a change."""
TAKES_NO_CHANGES = (
    "the book cannot be used: its server takes no changes (a standby?): name the primary, or"
    " several servers and target_session_attrs=read-write"
)

Place = pathlib.Path | sqlalchemy.URL
"""Where a book is: a file of SQLite, or a database of PostgreSQL."""


class DatabaseLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How long a book on a server may take, and how many connections a process has to it."""

    answer_timeout_s: float = 5.0
    connect_timeout_s: float = 3.0
    connections_max: int = 5


_TAKES_CHANGES = text("SELECT current_setting('transaction_read_only') = 'off'")
_ALONE = text("SELECT pg_advisory_xact_lock(:key)")


class Database:
    """An engine on the book. `reading` and `writing` are its only ways in."""

    def __init__(self, place: Place, limits: DatabaseLimits | None = None) -> None:
        self.place, self.limits = place, limits or DatabaseLimits()
        self._away_until_s = 0.0
        if isinstance(place, pathlib.Path):
            self._reads = self._embedded(place, READER_CACHE_KIB)
            self._engine = self._embedded(place, WRITER_CACHE_KIB)
        else:
            postgres = importlib.import_module("baton.stores.postgres")
            self._engine = postgres.engine(place, self.limits)
            self._reads = self._engine.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )

    @property
    def on_server(self) -> bool:
        """Whether it is PostgreSQL, which nodes share; else a file of this machine."""
        return not isinstance(self.place, pathlib.Path)

    @property
    def away(self) -> bool:
        """Whether its server did not answer just now."""
        return time.monotonic() < self._away_until_s

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlalchemy.Connection]:
        """One consistent snapshot. Raises StoreUnavailable."""
        with self._mapped(), self._reads.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self, *, alone: bool = True) -> Iterator[sqlalchemy.Connection]:
        """One transaction, committed at the end of the block, rolled back when it raises.

        `alone`: no other such transaction runs meanwhile. SQLite knows no other kind.
        Raises StoreUnavailable (Uncertain where the commit may stand); IntegrityError is the
        caller's to interpret."""
        committing = False
        try:
            with self._mapped(), self._engine.connect() as plain:
                connection = plain.execution_options(baton_writes=True)
                with connection.begin():
                    if alone and self.on_server:
                        connection.execute(_ALONE, {"key": WRITER_LOCK})
                    yield connection
                    committing = self.on_server
        except StoreUnavailable as error:
            raise Uncertain(*error.args) if committing else error from error.__cause__

    def takes_changes(self) -> bool:
        """Of PostgreSQL: whether it is no standby. Raises StoreUnavailable."""
        with self.writing(alone=False) as connection:
            return bool(connection.scalar(_TAKES_CHANGES))

    def close(self) -> None:
        self._engine.dispose()
        self._reads.dispose()

    def _embedded(self, path: pathlib.Path, cache_kib: int) -> sqlalchemy.Engine:
        url = sqlalchemy.URL.create("sqlite+pysqlite", database=str(path))
        engine = sqlalchemy.create_engine(
            url,
            connect_args={"timeout": BUSY_TIMEOUT_S},
            pool_size=1,
            max_overflow=EMBEDDED_RUSH,
        )
        event.listen(engine, "connect", functools.partial(_prepare, cache_kib))
        event.listen(engine, "begin", _begin)
        return engine

    @contextlib.contextmanager
    def _mapped(self) -> Iterator[None]:
        if self.away:
            raise StoreUnavailable("the book cannot be used: its server did not answer just now")
        try:
            yield
        except sqlalchemy.exc.IntegrityError:
            raise
        except sqlalchemy.exc.DataError as error:  # the driver's own, too: the server is there
            raise Unstorable("it holds what the database cannot store") from error
        except sqlalchemy.exc.DBAPIError as error:
            state = getattr(error.orig, "sqlstate", None)
            if self.on_server and state is None:
                self._away_until_s = time.monotonic() + AWAY_S  # nothing that the server said
            if state == READ_ONLY:
                raise StoreUnavailable(TAKES_NO_CHANGES) from error
            raise StoreUnavailable(f"the book cannot be used: {error.orig}") from error
        except sqlalchemy.exc.TimeoutError as error:
            raise StoreUnavailable("the book cannot be used: too many wait for it") from error


def place(database_url: str, file: pathlib.Path, setting: str = "BATON_DATABASE_URL") -> Place:
    """Where the settings say that the book is; `file` without a URL. Raises StoreError, which names
    the setting or option."""
    if not database_url:
        return file
    embedded = "empty" if setting.isupper() else "sqlite"
    try:
        url = sqlalchemy.make_url(database_url)
    except (sqlalchemy.exc.ArgumentError, ValueError):  # of a port; what they say holds passwords
        raise StoreError(f"{setting} is no URL of a database: {WRITTEN}") from None
    if url.get_backend_name() not in ("postgresql", "postgres"):
        raise StoreError(f"{setting} must be postgresql://… (for SQLite in BATON_HOME: {embedded})")
    if "@" in (url.host or ""):  # what is before it is the end of a password
        raise StoreError(f"{setting} is no URL of a database: {WRITTEN}")
    if unknown := sorted(url.query.keys() - _options()):
        raise StoreError(f"{setting} has an option that PostgreSQL does not know: {unknown[0]}")
    return url.set(drivername="postgresql")


def name(book: Place) -> str:
    """What to call it in a message; without its passwords."""
    if isinstance(book, pathlib.Path):
        return str(book)
    hidden = [option for option, secret in _options().items() if secret]
    return book.difference_update_query(hidden).render_as_string(hide_password=True)


def _options() -> dict[str, bool]:
    found: dict[str, bool] = importlib.import_module("baton.stores.postgres").options()
    return found


def _prepare(cache_kib: int, connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where `_begin` says so
    cache = f"cache_size=-{cache_kib}"
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "temp_store=MEMORY", cache):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: sqlalchemy.Connection) -> None:
    writes = connection.get_execution_options().get("baton_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
