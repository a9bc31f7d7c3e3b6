"""The connection to the book: transactions, and whose errors come out."""

import contextlib
import pathlib

import pytest
import sqlalchemy

from baton.stores.base import StoreError, StoreUnavailable
from baton.stores.database import (
    EMBEDDED_RUSH,
    READER_CACHE_KIB,
    WRITER_CACHE_KIB,
    Database,
    name,
    place,
)
from tests.servers import Postgres


def test_writing_is_one_transaction(tmp_path: pathlib.Path) -> None:
    """A block that raises leaves nothing behind; one that ends is committed, WAL and FULL."""
    database = Database(tmp_path / "book.db")
    with database.writing() as connection:
        connection.exec_driver_sql("CREATE TABLE t(x)")
    with contextlib.suppress(ZeroDivisionError), database.writing() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES(1)")
        raise ZeroDivisionError
    with database.writing() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES(2)")
    with database.reading() as connection:
        assert [(2,)] == [tuple(row) for row in connection.exec_driver_sql("SELECT x FROM t")]
        assert "wal" == connection.exec_driver_sql("PRAGMA journal_mode").scalar()
        assert 2 == connection.exec_driver_sql("PRAGMA synchronous").scalar()
    database.close()


def test_readers_do_not_wait_for_writers(tmp_path: pathlib.Path) -> None:
    """While a transaction runs, others read what was there before it."""
    database = Database(tmp_path / "book.db")
    with database.writing() as connection:
        connection.exec_driver_sql("CREATE TABLE t(x)")
    with database.writing() as writer:
        writer.exec_driver_sql("INSERT INTO t VALUES(1)")
        with database.reading() as reader:
            assert 0 == reader.exec_driver_sql("SELECT count(*) FROM t").scalar()
    database.close()


def test_a_rush_leaves_little_behind(tmp_path: pathlib.Path) -> None:
    """Of many that read at once one connection stays, and one for writing: their caches of pages
    are memory that a worker holds for as long as it lives."""
    database = Database(tmp_path / "book.db")
    with contextlib.ExitStack() as rush:
        for _ in range(1 + EMBEDDED_RUSH):
            connection = rush.enter_context(database.reading())
            assert -READER_CACHE_KIB == connection.exec_driver_sql("PRAGMA cache_size").scalar()
    with database.writing() as connection:
        assert -WRITER_CACHE_KIB == connection.exec_driver_sql("PRAGMA cache_size").scalar()
    for pool in (database._reads.pool, database._engine.pool):
        assert isinstance(pool, sqlalchemy.QueuePool)
        assert (1, 0) == (pool.checkedin(), pool.checkedout())
    database.close()


def test_foreign_errors_are_mapped(tmp_path: pathlib.Path) -> None:
    """What the driver raises comes out as StoreUnavailable; a broken rule as itself."""
    database = Database(tmp_path / "missing" / "book.db")
    with pytest.raises(StoreUnavailable), database.reading() as connection:
        connection.exec_driver_sql("SELECT 1")
    database.close()
    database = Database(tmp_path / "book.db")
    with database.writing() as connection:
        connection.exec_driver_sql("CREATE TABLE t(x PRIMARY KEY)")
        connection.exec_driver_sql("INSERT INTO t VALUES(1)")
    with pytest.raises(sqlalchemy.exc.IntegrityError), database.writing() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES(1)")
    database.close()


def test_the_connection_used_last_is_used_first(tmp_path: pathlib.Path) -> None:
    """Each has a cache of pages: after a rush, when several were needed, one is kept warm instead
    of all of them being filled in turn."""
    database = Database(tmp_path / "book.db")
    with contextlib.ExitStack() as rush:
        for _ in range(3):
            rush.enter_context(database.reading())
    used = set()
    for _ in range(6):
        with database.reading() as connection:
            used.add(id(connection.connection.driver_connection))
    database.close()
    assert 1 == len(used)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:se@cret@h/d",
        "postgresql://u:se@c:ret@h/d",
        "postgresql://u:secret@h:54x/d",
        "postgresql://u:secret@one:5432,two:5432/d",
        "u:secret@h",
    ],
)
def test_what_is_no_url_of_a_database(url: str, tmp_path: pathlib.Path) -> None:
    """How one is written is told, and nothing of what stands there: a password is in it."""
    with pytest.raises(StoreError, match=r"^BATON_DATABASE_URL is no URL .*%40") as refused:
        place(url, tmp_path)
    assert not any(part in str(refused.value) for part in ("cret", "ret@", "54x", "one:"))


def test_an_option_that_postgresql_does_not_know(tmp_path: pathlib.Path) -> None:
    """It is named: no connection could be made, or it would be one without what was meant."""
    with pytest.raises(StoreError, match=r"does not know: sslmod$"):
        place("postgresql://u@h/d?sslmod=verify-full", tmp_path)
    with pytest.raises(StoreError, match=r"does not know: prepare_threshold$"):
        place("postgresql://u@h/d?prepare_threshold=0", tmp_path)


def test_names_have_no_password(tmp_path: pathlib.Path) -> None:
    """Neither the one before the host nor those among the options."""
    found = place("postgresql://u:one@h/d?sslmode=require&password=two&sslpassword=three", tmp_path)
    assert "postgresql://u:***@h/d?sslmode=require" == name(found)


def test_several_servers(tmp_path: pathlib.Path, cluster: Postgres) -> None:
    """As the message has it: the first that can be reached is the book's."""
    _, _, path = cluster.database().rpartition("/")
    host = f"127.0.0.1:{cluster.port}"
    found = place(f"postgresql://postgres@/{path}?host=127.0.0.1:1&host={host}", tmp_path)
    with contextlib.closing(Database(found)) as database, database.reading() as connection:
        assert path == connection.exec_driver_sql("SELECT current_database()").scalar()
