"""Online backup of a home, the check that it can be restored, and its restoration.

Journals are copied first, then the book: what was folded in between is in both, and opening the
journal recognises it; the other way round it would be in neither. Requests that run during the
backup are interrupted in the copy.

A book on PostgreSQL is copied into a SQLite file, from one snapshot; each node's journals are in
its own home. To go back, `baton store copy` puts the file into a new database.

`master.key` opens the provider keys in the book. It comes along, mode 0600, unless it is left out:
then it (or BATON_MASTER_KEY) must be kept elsewhere, or the provider keys are lost with the home.
"""

import contextlib
import os
import pathlib
import shutil
import sqlite3

from baton.stores import audit, master, migrate, segments
from baton.stores.base import StoreError, StoreUnavailable
from baton.stores.book import book_path, journal_folder
from baton.stores.copy import copy_book
from baton.stores.database import Database, Place
from baton.stores.journals import folded_seq

MASTER_KEYS = (master.FILE_NAME, master.NEXT_NAME)
PLAIN = ("baton.toml", *MASTER_KEYS)
COPIES_MAX = 5


def backup(
    home: pathlib.Path, target: pathlib.Path, *, master_key: bool = True, book: Place | None = None
) -> list[str]:
    """Copy what a home knows into the new folder `target`, while Baton runs; returns the file
    names. `book`: where that is, if it is not in the home.

    Raises StoreError when `target` is there and not empty, StoreUnavailable when a copy fails."""
    book = book or book_path(home)
    if target.exists() and any(target.iterdir()):
        raise StoreError(f"{target} is not empty")
    if isinstance(book, pathlib.Path) and not book.exists():
        raise StoreError(f"there is no book in {home}")
    logs = segments.logs(journal_folder(home))
    plain = [home / name for name in PLAIN if master_key or name not in MASTER_KEYS]
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    journal_folder(target).mkdir(mode=0o700)
    for path in logs:
        _copy_log(path, target / path.relative_to(home), book)
    if isinstance(book, pathlib.Path):
        _copy_database(book, book_path(target))
    else:
        copy_book(book, book_path(target))
    for path in plain:
        if path.exists():
            shutil.copy2(path, target / path.name)
    return sorted(str(p.relative_to(target)) for p in target.rglob("*") if p.is_file())


def check(folder: pathlib.Path) -> list[str]:
    """What is wrong with a backup; empty when it can be restored by this Baton (or a newer one)."""
    book = book_path(folder)
    if not book.exists():
        return [f"there is no book in {folder}"]
    if audit.damaged(book):
        return ["the book is damaged"]
    found, present = [], migrate.revision(book)
    if present is None or present > migrate.HEAD:
        found.append(f"its schema {present} is not one that this Baton knows")
    elif present == migrate.HEAD:  # an older one is brought up when it is opened
        found += audit.faults(book)
    try:
        for path in segments.logs(journal_folder(folder)):
            _read_through(path, book)
    except StoreError as error:
        found.append(str(error))
    return found


def restore(folder: pathlib.Path, home: pathlib.Path) -> list[str]:
    """Put a backup into a home that has no book; returns the file names.

    The backup's own files stay as they are. Raises StoreError when the backup is not right, or the
    home has a book already: an operator moves that away first, it may be the better one."""
    if faults := check(folder):
        raise StoreError(f"{folder} cannot be restored: {'; '.join(faults)}")
    if book_path(home).exists() or segments.logs(journal_folder(home)):
        raise StoreError(f"{home} has a book already: move it away first")
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    journal_folder(home).mkdir(mode=0o700, exist_ok=True)
    logs = segments.logs(journal_folder(folder))
    for path in logs:
        _copy_log(path, home / path.relative_to(folder), book_path(folder))
    _copy_database(book_path(folder), book_path(home))
    copied = [*(file for path in logs for file in path.iterdir()), book_path(folder)]
    for name in PLAIN:
        if (folder / name).exists():
            _copy_file(folder / name, home / name)
            copied.append(folder / name)
    return sorted(str(path.relative_to(folder)) for path in copied)


def _copy_file(source: pathlib.Path, target: pathlib.Path) -> None:
    if target.exists() and target.read_bytes() != source.read_bytes():
        raise StoreError(f"{target} is another one than the backup's: move it away first")
    shutil.copy2(source, target)


def _copy_log(source: pathlib.Path, target: pathlib.Path, book: Place) -> None:
    """What is whole in a journal. It is written meanwhile: a segment may go, or be used again,
    while it is copied; then it is done anew."""
    for left in range(COPIES_MAX, 0, -1):
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(mode=0o700)
        try:
            for segment in segments.begun(source):
                _copy_segment(segment, target)
            _read_through(target, book)
            return
        except StoreError:
            if left == 1:
                raise


def _copy_segment(segment: segments.Segment, target: pathlib.Path) -> None:
    data, scanned = segments.whole(segment)
    descriptor = os.open(target / segment.path.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as copy:
        copy.write(data[: scanned.end])
        copy.flush()
        os.fsync(descriptor)


def _read_through(log: pathlib.Path, book: Place) -> None:
    """Raises StoreError where a journal is damaged, as far as the book needs it."""
    begun = segments.begun(log)
    if begun:
        with contextlib.closing(Database(book)) as database:
            mark = folded_seq(database, begun[-1].head.identity)
        for _ in segments.read(log, mark):
            pass


def _copy_database(source: pathlib.Path, target: pathlib.Path) -> None:
    """One consistent snapshot; writers are not held up (WAL)."""
    try:
        with (
            contextlib.closing(sqlite3.connect(source, timeout=10.0)) as origin,
            contextlib.closing(sqlite3.connect(target)) as copy,
        ):
            origin.backup(copy)
    except sqlite3.Error as error:
        raise StoreUnavailable(f"{source} cannot be copied: {error}") from error
    os.chmod(target, 0o600)
