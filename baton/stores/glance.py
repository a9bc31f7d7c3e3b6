"""A look into an embedded book that needs no SQLAlchemy: whether a start has anything to do there.

Importing SQLAlchemy takes longer than all else that `baton serve` does before its workers run, and
after the first start of a version there is nothing to make or to migrate.
"""

import contextlib
import pathlib
import sqlite3

from baton.stores.base import StoreError

HEAD = "0012"
"""The newest revision in migrations/versions; a test holds them equal."""
VERSION = "SELECT version_num FROM alembic_version"
BUSY_TIMEOUT_S = 10.0
FILE_NAME = "baton.db"
JOURNALS = "journal"
"""Both in home."""


def refuse_earlier(journals: pathlib.Path) -> None:
    """StoreError where the folder has journals of an earlier Baton, which were files of SQLite.

    What they hold must not be forgotten, only that Baton reads them, and it knows no newer schema:
    so this is asked before a book is brought up."""
    if earlier := sorted(journals.glob("*.db")):
        raise StoreError(
            f"{earlier[0]} is the journal of an earlier Baton: start that one here once more and"
            f" stop it, so that its requests come into the book; then delete {journals}/*.db*"
        )


def revision(book: pathlib.Path) -> str | None:
    """The schema that a book has; None before the first migration. Raises StoreError."""
    if not book.exists():
        return None
    with contextlib.closing(sqlite3.connect(book, timeout=BUSY_TIMEOUT_S)) as connection:
        try:
            row = connection.execute(VERSION).fetchone()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return None
            raise StoreError(f"{book} cannot be read: {error}") from error
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{book} is no book of Baton's: {error}") from error
    return None if row is None else str(row[0])


def keys(book: pathlib.Path) -> list[tuple[str, bytes]]:
    """Role and digest of every key in a book of schema HEAD. Raises StoreError."""
    with contextlib.closing(sqlite3.connect(book, timeout=BUSY_TIMEOUT_S)) as connection:
        try:
            return connection.execute("SELECT role, digest FROM key").fetchall()
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{book} cannot be read: {error}") from error
