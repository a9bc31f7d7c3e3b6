"""A look into an embedded book that needs no SQLAlchemy: whether a start has anything to do there.

Importing SQLAlchemy takes longer than all else that `baton serve` does before its workers run, and
after the first start of a version there is nothing to make or to migrate.
"""

import contextlib
import pathlib
import sqlite3

from baton.stores.base import StoreError

HEAD = "0010"
"""The newest revision in migrations/versions; a test holds them equal."""
VERSION = "SELECT version_num FROM alembic_version"
BUSY_TIMEOUT_S = 10.0
FILE_NAME = "baton.db"
"""In home."""


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
