"""Old requests leave the book: into a file first, then, page by page, out of the table.

What they sum up to stays: in balances, entries and roll-ups, and in `archived`, so that the audit
still comes out even. A page is in the file, on the disk, before it is gone from the book; where the
power fails between the two it is in both. One that the book does not let go is taken out of the
file again. Balances of windows that are over go, too: nobody is limited by them any more.
"""

import contextlib
import datetime
import gzip
import os
import pathlib
from typing import IO, Any

import msgspec
from sqlalchemy import func, select

from baton.stores.base import StoreError
from baton.stores.database import Database
from baton.stores.folders import sync_folder
from baton.stores.kept_tables import content
from baton.stores.sums import DAY_US, adding, sums
from baton.stores.tables import account, archived, attempt, lease, notice, request
from baton.stores.usage import day_number
from baton.stores.windows import DAY, last_day

DAYS_KEPT_MIN = 2
"""Younger requests stay: journals may still bring some of those days, and kept answers name
them."""
PAGE_ROWS = 2_000

_ADD = adding(archived)

Row = dict[str, Any]


class Archived(msgspec.Struct, frozen=True):
    """What left the book."""

    requests: int
    charge_nano: int
    file: str
    windows: int
    """Balances of windows that are over; not in the file."""
    contents: int
    """What was kept of what these requests asked and were answered; not in the file."""


def archive(
    database: Database, before: datetime.date, today: datetime.date, file: pathlib.Path
) -> Archived:
    """Move the requests of days before `before` (UTC) into the new file: gzip, a JSON object a
    line. Others go on meanwhile. Raises StoreError for a day too young or a file that is there."""
    if (today - before).days < DAYS_KEPT_MIN:
        latest = today - datetime.timedelta(days=DAYS_KEPT_MIN)
        raise StoreError(f"requests of the last days stay: ask for {latest} or earlier")
    moved = _Moved()
    with open(_new(file), "wb", buffering=0) as raw:
        page: list[Row] = []
        try:
            while page := _page(database, day_number(before) * DAY_US):
                _write(page, raw)
                moved.contents += _remove(database, page)
                moved.count(page, raw.tell())
            if not moved.requests:
                _write([], raw)  # no bytes at all are no gzip
            windows = _forget_windows(database, before)
        except (StoreError, OSError) as error:
            unwritten = raw.tell() == moved.end
            if unwritten or isinstance(error, _Overtaken) or _are_there(database, page):
                moved.end_of(raw, file)
            reason = getattr(error, "strerror", None) or error
            told = (
                f"{moved.requests} requests are in {file}" if moved.requests else "none has moved"
            )
            raise StoreError(f"{reason}; {told}") from error
    return Archived(moved.requests, moved.charge_nano, str(file), windows, moved.contents)


class _Overtaken(StoreError):
    """Requests have left meanwhile: they are in somebody else's file."""


class _Moved:
    """What is in the file and not in the book any more."""

    def __init__(self) -> None:
        self.requests = self.charge_nano = self.contents = self.end = 0

    def count(self, page: list[Row], end: int) -> None:
        """The page, too: the file ends with it."""
        self.requests += len(page)
        self.charge_nano += sum(each["charge"] for each in page)
        self.end = end

    def end_of(self, raw: IO[bytes], file: pathlib.Path) -> None:
        """Take what failed out of the file again, as the book has it; a file without any goes."""
        raw.truncate(self.end)
        if not self.end:
            file.unlink(missing_ok=True)


def _forget_windows(database: Database, before: datetime.date) -> int:
    """Balances of windows that were over a day before `before` (time zones differ by that), and of
    which nothing is lent; with what was noticed of them. Returns how many.

    Each is a transaction of its own, so that processes which lend are not kept waiting."""
    with database.reading() as connection:
        names = list(connection.scalars(select(account.c.id).where(account.c.id.like("%@%"))))
    over = [n for n in names if (last := last_day(n)) is not None and last + DAY < before]
    return sum(_forget(database, name) for name in over)


def _forget(database: Database, name: str) -> bool:
    mine, lent = lease.c.account == name, lease.c.granted_nano > 0
    waiting = (notice.c.account == name) & notice.c.next_us.is_not(None)
    with database.writing() as connection:
        if connection.scalar(select(func.count()).select_from(lease).where(mine, lent)):
            return False
        if connection.scalar(select(func.count()).select_from(notice).where(waiting)):
            return False
        connection.execute(lease.delete().where(mine))
        connection.execute(notice.delete().where(notice.c.account == name))
        connection.execute(account.delete().where(account.c.id == name))
    return True


def _page(database: Database, before_us: int) -> list[Row]:
    """Some of them, oldest first; those with several attempts have these as `spent`."""
    query = select(request).where(request.c.created_us < before_us)
    with database.reading() as connection:
        found = connection.execute(query.order_by(request.c.created_us).limit(PAGE_ROWS))
        page = {row.id: dict(row._mapping) for row in found}
        theirs = select(attempt).where(attempt.c.request.in_(page))
        for row in connection.execute(theirs.order_by(attempt.c.request, attempt.c.n)):
            page[row.request].setdefault("spent", []).append(dict(row._mapping))
    return list(page.values())


def _new(file: pathlib.Path) -> int:
    """Open it; its name is on the disk, too, where its folder may be asked for that."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise StoreError(f"{file} cannot be made: {error.strerror}") from None
    with contextlib.suppress(OSError):  # a folder that one may only write to, a network's
        sync_folder(file.parent)
    return descriptor


def _write(page: list[Row], raw: IO[bytes]) -> None:
    """A whole piece of gzip: one that was cut off takes nothing from those before it."""
    left = memoryview(gzip.compress(b"".join(msgspec.json.encode(each) + b"\n" for each in page)))
    while left:
        left = left[raw.write(left) :]
    os.fsync(raw.fileno())


def _are_there(database: Database, page: list[Row]) -> bool:
    """Whether it is certain that the book has all of them."""
    these = request.c.id.in_([each["id"] for each in page])
    try:
        with database.reading() as connection:
            there = connection.scalar(select(func.count()).select_from(request).where(these))
    except StoreError:
        return False
    return there == len(page)


def _remove(database: Database, page: list[Row]) -> int:
    """In one transaction: what they sum up to is kept, they are gone. Returns how many contents
    went with them. Raises _Overtaken where others moved some of them meanwhile."""
    ids, names = ([each[name] for each in page] for name in ("id", "request_id"))
    these = request.c.id.in_(ids)
    with database.writing() as connection:
        groups = [dict(row._mapping) for row in connection.execute(sums(these))]
        if sum(each["requests"] for each in groups) != len(page):
            raise _Overtaken("another prune is at work, and has moved some of the same requests")
        connection.execute(_ADD, groups)
        connection.execute(attempt.delete().where(attempt.c.request.in_(ids)))
        connection.execute(request.delete().where(these))
        gone = content.delete().where(content.c.request_id.in_(names))
        return connection.execute(gone).rowcount
