"""What was asked and answered with keys that opted in, kept for a time and sealed.

A content may be read until its time is over: so many days as its key said when it was written, or
says now, whichever is less. So a key that is switched off, or set to fewer days, takes effect at
once, whenever the rows are removed. Whatever is read is an entry of the audit log, in the same
transaction: nothing is read that is not in it.
"""

import contextlib
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy
from sqlalchemy import select

from baton.semantics.events import Prompt
from baton.stores.base import Missing, StoreError, StoreUnavailable, Unfit
from baton.stores.changes import Subject, note
from baton.stores.database import Database
from baton.stores.kept_tables import content
from baton.stores.sums import DAY_US
from baton.stores.tables import key
from baton.stores.vault import Seal, Vault

REMOVED_ROWS_MAX = 200
"""That one transaction removes: each may be long."""
RESEALED_ROWS = 200
"""In memory at once."""
KIND = "content"
"""Of the entries in the log of changes that tell who read what."""

_until = sqlalchemy.case(
    (
        content.c.created_us + key.c.keep_content_days * DAY_US < content.c.expires_us,
        content.c.created_us + key.c.keep_content_days * DAY_US,
    ),
    else_=content.c.expires_us,
).label("until_us")


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What one request was, and what its caller got: whole, or the beginning of it."""

    prompts: list[Prompt]
    """In order, as they were sent: texts or token ids. Of one prompt a list, too."""
    suffix: str | None
    completions: dict[int, str]
    """By the index of the choice; those without text are left out."""
    cut_at_bytes: int | None
    """The limit that something was cut at; None: this is all of it."""
    bytes: int
    """Of the texts in UTF-8; ids count as stored."""


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """A content and whose it is."""

    request_id: str
    key_id: str
    created_us: int
    content: Content

    @property
    def about(self) -> bytes:
        return _about(self.request_id, self.key_id)


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """That something is kept of a request, without what."""

    until_us: int
    bytes: int


class Contents:
    """Kept contents, of all processes. Every method raises StoreUnavailable."""

    def __init__(self, database: Database, seal: Seal) -> None:
        self._database, self._seal = database, seal

    def keep(self, heard: Sequence[Heard]) -> int:
        """Keep these, of keys that still want it; returns how many. Doing it twice is as once."""
        sealed = [self._seal.seal(one.about, msgspec.msgpack.encode(one.content)) for one in heard]
        wanting = key.c.id.in_({one.key_id for one in heard}) & (key.c.keep_content_days > 0)
        with self._database.writing() as connection:
            query = select(key.c.id, key.c.keep_content_days).where(wanting)
            days = {row.id: row.keep_content_days for row in connection.execute(query)}
            rows = [
                {
                    "request_id": one.request_id,
                    "key_id": one.key_id,
                    "created_us": one.created_us,
                    "expires_us": one.created_us + days[one.key_id] * DAY_US,
                    "bytes": one.content.bytes,
                    "sealed": closed,
                }
                for one, closed in zip(heard, sealed, strict=True)
                if one.key_id in days
            ]
            if rows:
                ids = [row["request_id"] for row in rows]
                connection.execute(content.delete().where(content.c.request_id.in_(ids)))
                connection.execute(content.insert(), rows)
        return len(rows)

    def about(self, request_id: str, key_id: str, now_us: int) -> Kept | None:
        """Whether something is kept of that request of that key: no reading."""
        with self._database.reading() as connection:
            row = _found(connection, request_id, key_id)
        if row is None or row.until_us <= now_us:
            return None
        return Kept(until_us=row.until_us, bytes=row.bytes)

    def read(self, request_id: str, key_id: str, actor: str, now_us: int) -> tuple[Kept, Content]:
        """What is kept of that request of that key; an entry in the log says that `actor` read it.

        Raises Missing where nothing is kept (any more), Unfit where it cannot be opened."""
        with self._database.writing() as connection:
            row = _found(connection, request_id, key_id)
            if row is None or row.until_us <= now_us:
                raise Missing(f"nothing is kept of {request_id!r}")
            try:
                plain = self._seal.open(_about(request_id, key_id), row.sealed)
            except StoreError:
                raise Unfit("it was sealed under another master key") from None
            note(connection, Subject(KIND, request_id, actor), "read", {"key": key_id})
        found = msgspec.msgpack.decode(plain, type=Content)
        return Kept(until_us=row.until_us, bytes=row.bytes), found

    def prune(self, now_us: int) -> int:
        """Remove what need not be kept any longer; returns how many."""
        removed = remove(self._database, content.c.expires_us <= now_us)
        kept = select(content.c.request_id).where(content.c.key_id == key.c.id).exists()
        with self._database.reading() as connection:
            query = select(key.c.id, key.c.keep_content_days).where(kept)
            days = {row.id: row.keep_content_days for row in connection.execute(query)}
        for key_id, kept_days in days.items():
            old = content.c.created_us <= now_us - kept_days * DAY_US
            removed += remove(self._database, (content.c.key_id == key_id) & old)
        return removed


def forget(database: Database, key_id: str) -> None:
    """Remove all that is kept of a key that was switched off. What cannot be removed now is left to
    the next pruning: nobody can read it any more."""
    with contextlib.suppress(StoreUnavailable):
        remove(database, content.c.key_id == key_id)


def remove(database: Database, those: sqlalchemy.ColumnElement[bool]) -> int:
    """Some at a time, so that nobody else is kept waiting; returns how many."""
    some = select(content.c.request_id).where(those).limit(REMOVED_ROWS_MAX)
    removed = 0
    while True:
        with database.reading() as connection:
            ids = list(connection.scalars(some))
        if not ids:
            return removed
        with database.writing() as connection:
            gone = content.delete().where(content.c.request_id.in_(ids))
            removed += connection.execute(gone).rowcount


def seal_of(vault: Vault) -> Seal:
    """What contents are sealed with."""
    return vault.derive("content")


def reseal(connection: sqlalchemy.Connection, before: Vault, after: Vault) -> int:
    """Seal contents under `after` that open with `before`; returns how many did."""
    old, new, done, last = seal_of(before), seal_of(after), 0, ""
    some = select(content.c.request_id, content.c.key_id, content.c.sealed)
    some = some.order_by(content.c.request_id).limit(RESEALED_ROWS)
    while rows := connection.execute(some.where(content.c.request_id > last)).all():
        last = rows[-1].request_id
        for row in rows:
            about = _about(row.request_id, row.key_id)
            with contextlib.suppress(StoreError):  # nobody could read it before, either
                closed = new.seal(about, old.open(about, row.sealed))
                mine = content.update().where(content.c.request_id == row.request_id)
                done += connection.execute(mine.values(sealed=closed)).rowcount
    return done


def _about(request_id: str, key_id: str) -> bytes:
    """What a sealed content belongs to: it opens nowhere else."""
    return f"{request_id}\0{key_id}".encode()


def _found(
    connection: sqlalchemy.Connection, request_id: str, key_id: str
) -> sqlalchemy.Row[Any] | None:
    mine = (content.c.request_id == request_id) & (content.c.key_id == key_id)
    query = select(content, _until).join(key, key.c.id == content.c.key_id).where(mine)
    return connection.execute(query).one_or_none()
