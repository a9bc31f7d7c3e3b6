"""Another master key: what is sealed in the book is sealed anew under it.

Theory of operation. All of it is one transaction, in which no process that could seal anything
lives: provider keys and kept contents are opened with the key before and sealed under the one
after. Where a value opens with the key after already, an earlier change was broken off behind its
transaction, and there is nothing to do; so whoever changes the key may begin again until it is
done. What opens with neither ends the change, and nothing is changed. Contents are for people to
look at: those that nobody could open before stay as they are.

Answers kept under an Idempotency-Key are forgotten: they are found by a keyed digest of what the
caller sent, which nobody has any more. Sessions of the console end, as their visitors have the
tokens.

Where the key is home/master.key, the new one is written beside it first, then the book is changed,
then the file is put in place (`begin`, `finish`). A break-off in between leaves both keys there.
"""

import os
import pathlib
import secrets

import msgspec
import sqlalchemy
from sqlalchemy import func, select

from baton.stores import contents, journals, master, upstreams
from baton.stores.base import StoreError
from baton.stores.changes import Subject, note
from baton.stores.database import Database
from baton.stores.folders import sync_folder
from baton.stores.kept_tables import idempotency
from baton.stores.vault import Vault

KIND = "master_key"
"""Of the entry in the log of changes."""


class Resealed(msgspec.Struct, frozen=True, kw_only=True):
    """How many of each; those that were under the new key already are not counted."""

    upstreams: int
    contents: int
    answers_forgotten: int
    """That were kept under an Idempotency-Key."""


def reseal(database: Database, before: bytes, after: bytes, actor: str) -> Resealed:
    """Seal all in the book under `after`, 32 bytes as `before`.

    Raises StoreError while a process has a journal in use or in the book, Unsealable where a
    provider key opens with neither; StoreUnavailable. Nothing is changed then."""
    old, new = Vault(before), Vault(after)
    with database.writing() as connection:
        journals.refuse_living(connection)
        done = Resealed(
            upstreams=upstreams.reseal(connection, old, new),
            contents=contents.reseal(connection, old, new),
            answers_forgotten=_forget_answers(connection),
        )
        note(connection, Subject(KIND, "", actor), "update")
    return done


def begin(home: pathlib.Path, given: bytes | None) -> bytes:
    """The next key of a home whose key is a file: what an earlier change left there, else `given`,
    else a random one; written before anything is sealed under it.

    Raises StoreError where an earlier change left another one than the given."""
    path = home / master.NEXT_NAME
    if path.exists():
        left = master.read(path)
        if given not in (None, left):
            raise StoreError(f"{path} was left by a change to another key: finish that one first")
        return left
    fresh = given or secrets.token_bytes(master.MASTER_KEY_BYTES)
    master.create(path, fresh)
    return fresh


def finish(home: pathlib.Path) -> None:
    """The next key is the home's key from now on; the one before is gone."""
    os.replace(home / master.NEXT_NAME, home / master.FILE_NAME)
    sync_folder(home)


def _forget_answers(connection: sqlalchemy.Connection) -> int:
    count = connection.scalar(select(func.count()).select_from(idempotency))
    connection.execute(idempotency.delete())
    return int(count or 0)
