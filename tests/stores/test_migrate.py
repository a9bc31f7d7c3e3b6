"""The schema: brought up once, whoever starts first; a newer one is left alone."""

import concurrent.futures
import contextlib
import pathlib
import sqlite3
import subprocess
import sys

import pytest

from baton.stores import migrate
from baton.stores.base import StoreError

NORMAL_START = """
import pathlib, sys
from baton.stores import migrate
migrate.bring_up(pathlib.Path(sys.argv[1]))
assert "alembic" not in sys.modules, "a normal start pays for Alembic"
"""


def test_first_start_and_normal_start(tmp_path: pathlib.Path) -> None:
    """The first start migrates; the next ones do not even import Alembic."""
    book = tmp_path / "baton.db"
    assert migrate.revision(book) is None
    migrate.bring_up(book)
    assert migrate.HEAD == migrate.revision(book)
    subprocess.run([sys.executable, "-c", NORMAL_START, str(book)], check=True)


def test_the_book_is_its_owners_alone(tmp_path: pathlib.Path) -> None:
    """In a folder that others may read they cannot read the book, nor what lies beside it."""
    book = tmp_path / "baton.db"
    migrate.bring_up(book)
    with contextlib.closing(sqlite3.connect(book)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("UPDATE alembic_version SET version_num = version_num")
        connection.commit()
        modes = {path.name: path.stat().st_mode & 0o77 for path in tmp_path.iterdir()}
    assert dict.fromkeys(("baton.db", "baton.db-shm", "baton.db-wal", "migrate.lock"), 0) == modes


def test_several_start_at_once(tmp_path: pathlib.Path) -> None:
    """Of several that find no book one makes it, and all go on with it."""
    book = tmp_path / "baton.db"
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: migrate.bring_up(book), range(4)))
    assert migrate.HEAD == migrate.revision(book)


def test_newer_book_is_refused(tmp_path: pathlib.Path) -> None:
    """A book that a newer Baton made is not touched, and the message says so."""
    book = tmp_path / "baton.db"
    migrate.bring_up(book)
    with contextlib.closing(sqlite3.connect(book)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="newer Baton"):
        migrate.bring_up(book)


def test_no_book_at_all(tmp_path: pathlib.Path) -> None:
    """A file that is no database is named, not migrated over."""
    book = tmp_path / "baton.db"
    book.write_bytes(b"something else entirely" * 100)
    with pytest.raises(StoreError, match=r"baton\.db is no book"):
        migrate.bring_up(book)
