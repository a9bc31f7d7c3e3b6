"""The book's schema: brought up to date at the first start after an upgrade, by one process.

Of several that start at once one migrates, under a file lock beside a SQLite book and under an
advisory lock in PostgreSQL; the others wait and find it done. Alembic is imported only when there
is something to migrate: a normal start asks one question (importing Alembic costs 150 ms and 15
MB).
"""

import contextlib
import fcntl
import importlib
import os
import pathlib
from collections.abc import Callable, Iterator

import sqlalchemy
from sqlalchemy import text

from baton.stores import glance
from baton.stores.base import StoreError
from baton.stores.database import Database, Place, name
from baton.stores.glance import HEAD as HEAD

MIGRATION_LOCK = 0x6261746D
"""Advisory lock of PostgreSQL."""

_VERSION = text(glance.VERSION)
_HAS_VERSION = text("SELECT to_regclass('alembic_version') IS NOT NULL")


def bring_up(book: Place) -> None:
    """Migrate `book` to HEAD. StoreError when a newer Baton made it: that one must go back
    first."""
    if revision(book) == HEAD:
        return
    with locked(book):
        present = revision(book)
        if present == HEAD:
            return
        if isinstance(book, pathlib.Path):
            book.touch(mode=0o600)  # also where the folder is open to others; SQLite keeps the mode
        if present is not None and present > HEAD:
            raise StoreError(newer(book, present))
        move(book, HEAD)


def revision(book: Place) -> str | None:
    """The schema that `book` has; None before the first migration."""
    if isinstance(book, pathlib.Path):
        return glance.revision(book)
    database = Database(book)
    with contextlib.closing(database), database.reading() as connection:
        if not connection.scalar(_HAS_VERSION):
            return None
        present = connection.scalar(_VERSION)
    return None if present is None else str(present)


def newer(book: Place, present: str) -> str:
    """What to say of a book whose schema this Baton does not know."""
    return (
        f"{name(book)} was made by a newer Baton (schema {present}, this one knows {HEAD}), which"
        f" can move it back: `baton store migrate --to {HEAD}` there"
    )


def move(
    book: Place, target: str, first: Callable[[sqlalchemy.Connection], None] | None = None
) -> None:
    """Up or down to the revision `target`, in one transaction, which begins with `first`; "base"
    takes everything away."""
    moves = importlib.import_module("baton.stores.moves")
    down = target == "base" or target < (revision(book) or "")
    moves.move(book, target, first, down=down)


@contextlib.contextmanager
def locked(book: Place) -> Iterator[None]:
    """While the block runs nobody else migrates the book."""
    if isinstance(book, pathlib.Path):
        book.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Nobody else's: who may open it may lock it, and keep a start waiting.
        file = os.open(book.with_name("migrate.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            os.close(file)
        return
    moves = importlib.import_module("baton.stores.moves")
    database = Database(book, limits=moves.PATIENT)
    try:
        with database.writing(alone=False) as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            yield
    finally:
        database.close()
