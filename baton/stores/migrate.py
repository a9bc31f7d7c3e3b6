"""The book's schema: brought up to date at the first start after an upgrade, under a file lock.

Alembic is imported only when there is something to migrate: a normal start asks one question
(importing Alembic costs 150 ms and 15 MB).
"""

import contextlib
import fcntl
import importlib
import pathlib
import sqlite3
from collections.abc import Iterator

from baton.stores.base import StoreError

HEAD = "0003"
"""The newest revision in migrations/versions; a test holds them equal."""


def bring_up(book: pathlib.Path) -> None:
    """Migrate `book` to HEAD. StoreError when a newer Baton made it: that one must go back
    first."""
    if revision(book) == HEAD:
        return
    with _locked(book.with_name("migrate.lock")):
        present = revision(book)
        if present == HEAD:
            return
        book.touch(mode=0o600)  # also where the folder is open to others; SQLite keeps the mode
        if present is not None and present > HEAD:
            message = f"{book} was made by a newer Baton (schema {present}, this one knows {HEAD})"
            raise StoreError(message)
        move(book, HEAD)


def revision(book: pathlib.Path) -> str | None:
    """The schema that `book` has; None before the first migration."""
    if not book.exists():
        return None
    with contextlib.closing(sqlite3.connect(book, timeout=10.0)) as connection:
        try:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return None
            raise StoreError(f"{book} cannot be read: {error}") from error
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{book} is no book of Baton's: {error}") from error
    return None if row is None else str(row[0])


def move(book: pathlib.Path, target: str) -> None:
    """Up or down to the revision `target`, in one transaction; "base" takes everything away."""
    moves = importlib.import_module("baton.stores.moves")
    moves.move(book, target, down=target == "base" or target < (revision(book) or ""))


@contextlib.contextmanager
def _locked(path: pathlib.Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
