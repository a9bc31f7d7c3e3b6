"""Connections to PostgreSQL: none waits for ever, and sums are integers."""

import contextlib
import time
from collections.abc import Iterator

import psycopg
import pytest
import sqlalchemy

from baton.stores.base import StoreUnavailable, Unfit
from baton.stores.database import Database, DatabaseLimits
from tests.servers import PGBOUNCER, Postgres, pgbouncer, postgres

LIMITS = DatabaseLimits(answer_timeout_s=1.0, connect_timeout_s=2.0, connections_max=2)


@pytest.fixture(scope="module")
def own() -> Iterator[Postgres]:
    """A cluster that this module may stop."""
    with postgres() as server:
        yield server


def one(database: Database, query: str = "SELECT 1") -> object:
    with database.reading() as connection:
        return connection.exec_driver_sql(query).scalar()


def test_a_hanging_server_is_given_up(own: Postgres) -> None:
    """A caller waits for a bounded time, the next ones are told at once; then it works again."""
    database = Database(sqlalchemy.make_url(own.database()), limits=LIMITS)
    assert 1 == one(database)
    own.hang()
    try:
        began_s = time.monotonic()
        with pytest.raises(StoreUnavailable):
            one(database)
        waited_s = time.monotonic() - began_s
        assert waited_s < 10
        with pytest.raises(StoreUnavailable, match="just now"):
            one(database)
    finally:
        own.go_on()
    until_it_works(database)
    database.close()


def test_a_killed_server_is_found_again(own: Postgres) -> None:
    """Connections that died with it are replaced without anybody noticing."""
    database = Database(sqlalchemy.make_url(own.database()), limits=LIMITS)
    assert 1 == one(database)
    own.kill()
    with pytest.raises(StoreUnavailable):
        one(database)
    own.start()
    until_it_works(database)
    database.close()


def until_it_works(database: Database) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            assert 1 == one(database)
            return
        except StoreUnavailable:
            assert time.monotonic() < deadline


def test_a_slow_statement_is_ended(own: Postgres) -> None:
    """A statement that runs too long is the server's to end: the connection stays."""
    database = Database(sqlalchemy.make_url(own.database()), limits=LIMITS)
    with pytest.raises(StoreUnavailable, match="statement timeout"):
        one(database, "SELECT pg_sleep(20)")
    assert 1 == one(database), "it was the statement, not the server"
    database.close()


@pytest.mark.parametrize(
    "query",
    [sqlalchemy.select(sqlalchemy.literal("a\0b")), sqlalchemy.text(f"SELECT {2**63}::bigint")],
    ids=["NUL", "number"],
)
def test_what_it_cannot_hold_is_no_outage(
    own: Postgres, query: sqlalchemy.Select[tuple[str]] | sqlalchemy.TextClause
) -> None:
    """The driver refuses a text with a NUL by itself: the server is still there, for everybody."""
    database = Database(sqlalchemy.make_url(own.database()), limits=LIMITS)
    for told in (StoreUnavailable, Unfit):
        with pytest.raises(told), database.reading() as connection:
            connection.execute(query)
        assert not database.away
        assert 1 == one(database)
    database.close()


def test_a_server_that_takes_no_changes(own: Postgres) -> None:
    """It is told in words, and left: where several are named the next connection finds another."""
    database = Database(sqlalchemy.make_url(own.database()), limits=LIMITS)
    pid = one(database, "SELECT pg_backend_pid()")
    with pytest.raises(StoreUnavailable, match="takes no changes"), database.writing() as standby:
        standby.exec_driver_sql("SET TRANSACTION READ ONLY; CREATE TABLE t (a int)")
    assert pid != one(database, "SELECT pg_backend_pid()")
    assert database.takes_changes()
    database.close()


def test_sums_are_integers(own: Postgres) -> None:
    """A sum of 64-bit integers may be larger than they are, and is exact."""
    database = Database(sqlalchemy.make_url(own.database()), limits=LIMITS)
    query = "SELECT sum(x) FROM (VALUES (9223372036854775807), (9223372036854775807)) AS v(x)"
    total = one(database, query)
    assert (2 * (2**63 - 1), int) == (total, type(total))
    database.close()


def test_writers_that_read_first_take_turns(own: Postgres) -> None:
    """Of two such writers one waits: here for as long as a statement may take."""
    place = sqlalchemy.make_url(own.database())
    first, second = Database(place, limits=LIMITS), Database(place, limits=LIMITS)
    with first.writing():
        with pytest.raises(StoreUnavailable), second.writing():
            pass
        with second.writing(alone=False):
            pass
    first.close()
    second.close()


@pytest.mark.skipif(PGBOUNCER is None, reason="PgBouncer is not here: apt-get install pgbouncer")
@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_behind_a_pooler(own: Postgres, mode: str) -> None:
    """Nothing is prepared there that another client's statement would be taken for, and what is set
    holds in every transaction and for nobody else."""
    name = own.database().rpartition("/")[2]
    set_here = "SELECT current_setting('statement_timeout'), current_setting('synchronous_commit')"
    with pgbouncer(own, mode) as url:
        for word in ("ours", "theirs"):
            database = Database(sqlalchemy.make_url(f"{url}/{name}"), limits=LIMITS)
            with contextlib.closing(database), database.writing() as connection:
                for _ in range(10):
                    assert word == connection.exec_driver_sql(f"SELECT '{word}'").scalar()
                assert ("900ms", "on") == tuple(connection.exec_driver_sql(set_here).one())
        with psycopg.connect(f"{url}/{name}") as other:
            assert ("0", "on") == other.execute(set_here).fetchone()


@pytest.mark.skipif(PGBOUNCER is None, reason="PgBouncer is not here: apt-get install pgbouncer")
def test_a_pooler_of_single_statements(own: Postgres) -> None:
    """There are no transactions there: it is told."""
    name = own.database().rpartition("/")[2]
    with pgbouncer(own, "statement") as url:
        database = Database(sqlalchemy.make_url(f"{url}/{name}"), limits=LIMITS)
        with contextlib.closing(database), pytest.raises(StoreUnavailable, match="pooling mode"):
            one(database)
