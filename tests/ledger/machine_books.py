"""The books that the machine of the ledger runs on: a file, or a database emptied each time."""

import contextlib
import functools
import os
import pathlib
import tempfile
from typing import Literal

import msgspec
from sqlalchemy import text

from baton.config import Settings
from baton.ledger.fold import recover_lost
from baton.stores.base import KeyRecord
from baton.stores.book import Store, book_path, open_store
from baton.stores.journals import Tenure
from baton.stores.refusals import metadata
from tests.bookkeeping import PRICE, new_key, new_store

Kind = Literal["local", "shared"]


class FileBook:
    """SQLite."""

    def open(self, home: pathlib.Path, limit: int) -> tuple[Store, list[KeyRecord]]:
        """A fresh book with a price, a key with that limit and one without."""
        book, keys = _made()
        book_path(home).write_bytes(book)
        store = new_store(home)
        return store, _limited(store, list(keys), limit)

    def bury(self, store: Store, held: Tenure) -> None:
        """Its process is gone: whoever takes its slot over notices."""


class ServerBook:
    """PostgreSQL, with journals on disk or within it."""

    def __init__(self, url: str, journal: Kind) -> None:
        self._url, self._journal = url, journal

    def open(self, home: pathlib.Path, limit: int) -> tuple[Store, list[KeyRecord]]:
        given = Settings(home=str(home), database_url=self._url, journal=self._journal)
        store = open_store(given)
        names = ", ".join(table.name for table in metadata.sorted_tables)
        with store.database.writing() as connection:
            connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))
        store.prices.set(PRICE, "test")
        keys = [new_key(store, "limited", budget_nano=0), new_key(store, "free")]
        return store, _limited(store, keys, limit)

    def bury(self, store: Store, held: Tenure) -> None:
        """Its process is gone: its tenure expires, and somebody notices."""
        if store.shared_journal:
            late = text(
                "UPDATE tenure SET expires_us = 1 WHERE journal = :number AND epoch = :epoch"
            )
            with store.database.writing() as connection:
                connection.execute(late, {"number": held.number, "epoch": held.epoch})
            recover_lost(store)


def fast_folder() -> str | None:
    """A folder in memory, where there is one: a crash here is lost memory, not lost power."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _limited(store: Store, keys: list[KeyRecord], limit: int) -> list[KeyRecord]:
    change = text("UPDATE account SET limit_nano = :limit WHERE limit_nano = 0")
    with store.database.writing() as connection:
        connection.execute(change, {"limit": limit})
    return [msgspec.structs.replace(keys[0], budget_nano=limit), keys[1]]


@functools.cache
def _made() -> tuple[bytes, tuple[KeyRecord, ...]]:
    """Made once."""
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
        with contextlib.closing(new_store(pathlib.Path(folder))) as store:
            store.prices.set(PRICE, "test")
            keys = (new_key(store, "limited", budget_nano=0), new_key(store, "free"))
        return book_path(store.home).read_bytes(), keys
