"""The book on PostgreSQL: how connections are made, and that none of them waits for ever.

A server that hangs (stopped, swapping, behind a dead link) keeps its sockets open, so no timeout of
its own and none of TCP's ends a wait for it. `Bounded` ends it on this side: whoever waits for an
answer longer than `answer_timeout_s` gets an OperationalError, and the connection is thrown away.
The server's own `statement_timeout` ends what runs too long where the server is well.

Between us and the server may be a pooler (PgBouncer), which gives each transaction another of its
connections: what is set for a session there is set for others, and a statement that was prepared is
not there, or is another one of that name. A pooler tells a number of its own as the server
process's, by which it is known; then nothing outlasts a transaction.

Sums of 64-bit columns are `numeric` here; the book has nothing else of that type, so that it is
loaded as int and money stays whole.
"""

import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg
import sqlalchemy
from psycopg.adapt import Loader
from sqlalchemy import event

from baton.stores.database import READ_ONLY, DatabaseLimits

Result = TypeVar("Result")
DIALECT = "postgresql+psycopg"


class Bounded(psycopg.Connection[Any]):
    """A connection whose every wait has an end."""

    answer_timeout_s = 5.0
    pooled = False
    """Whether there is a pooler between."""

    def wait(
        self,
        gen: Generator[Any, Any, Result],
        interval: float = 0.1,
        timeout: float | None = None,
    ) -> Result:
        """As the base does, for `answer_timeout_s` at most."""
        end_s = time.monotonic() + self.answer_timeout_s
        return super().wait(self._until(end_s, gen), interval, timeout)

    def _until(
        self, end_s: float, waiting: Generator[Any, Any, Result]
    ) -> Generator[Any, Any, Result]:
        try:
            wanted = next(waiting)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() > end_s:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"no answer in {self.answer_timeout_s:g} s")
                wanted = waiting.send(ready)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


class WholeLoader(Loader):
    """`numeric` without a fraction: a sum of integers."""

    def load(self, data: Any) -> int:
        return int(bytes(data))


def options() -> dict[str, bool]:
    """What a URL's query may say, as libpq knows it, and whether that is a secret."""
    known = psycopg.pq.Conninfo.get_defaults()
    return {each.keyword.decode(): each.dispchar == b"*" for each in known}


def engine(url: sqlalchemy.URL, limits: DatabaseLimits) -> sqlalchemy.Engine:
    """Connections are made when they are needed, checked before each use, and few."""
    made = sqlalchemy.create_engine(
        url.set(drivername=DIALECT),
        pool_size=limits.connections_max,
        max_overflow=0,
        pool_timeout=limits.answer_timeout_s,
        pool_pre_ping=True,
    )

    @event.listens_for(made, "do_connect")
    def connect(
        _dialect: object, _record: object, words: list[Any], options: dict[str, Any]
    ) -> Bounded:
        given = {"connect_timeout": round(limits.connect_timeout_s), **options}
        connection = Bounded.connect(*words, **given)
        connection.answer_timeout_s = limits.answer_timeout_s
        _prepare(connection, limits)
        return connection

    @event.listens_for(made, "begin")
    def begin(connection: sqlalchemy.Connection) -> None:
        driven = connection.connection.driver_connection
        assert isinstance(driven, Bounded)
        if driven.pooled:
            connection.exec_driver_sql(_SET, _settings(driven, limits))

    @event.listens_for(made, "handle_error")
    def lost(context: sqlalchemy.ExceptionContext) -> None:
        if getattr(context.original_exception, "sqlstate", None) == READ_ONLY:
            context.is_disconnect = True  # another of its hosts may be the primary now

    return made


_SET = (
    "SELECT pg_backend_pid() <> %(told)s,"
    " set_config('statement_timeout', %(statement)s, pg_backend_pid() <> %(told)s),"
    " set_config('idle_in_transaction_session_timeout', %(idle)s, pg_backend_pid() <> %(told)s),"
    " set_config('synchronous_commit', 'on', pg_backend_pid() <> %(told)s),"
    " set_config('timezone', 'UTC', pg_backend_pid() <> %(told)s)"
)
"""For the session, or, where the server's process is not the one that it was told to be, for the
transaction; and whether that is so."""


def _settings(connection: Bounded, limits: DatabaseLimits) -> dict[str, object]:
    statement_ms = max(1, round(limits.answer_timeout_s * 900))
    return {
        "told": connection.info.backend_pid,
        "statement": f"{statement_ms}ms",
        "idle": f"{10 * statement_ms}ms",
    }


def _prepare(connection: Bounded, limits: DatabaseLimits) -> None:
    connection.adapters.register_loader("numeric", WholeLoader)
    told = connection.execute(_SET, _settings(connection, limits)).fetchone()
    connection.commit()
    if told is not None and told[0]:
        connection.pooled, connection.prepare_threshold = True, None
