"""Copying a book: everything arrives, numbers go on after it, and nothing is put over anything."""

import asyncio
import contextlib
import pathlib
from typing import Any

import pytest
import sqlalchemy

from baton.semantics.events import Usage
from baton.stores import audit, backup
from baton.stores.base import StoreError, UpstreamRecord
from baton.stores.book import Store, book_path, open_store
from baton.stores.copy import copy_book
from baton.stores.database import Place, place
from tests.bookkeeping import PRICE, intent, ledger_of, new_key, new_store, outcome, settings
from tests.servers import Postgres
from tests.stores.test_contents import CONTENT, NOW_US, heard


def used_store(home: pathlib.Path) -> Store:
    """With keys, a secret, a price and requests; one has a character that only SQLite stores."""
    store = new_store(home)
    store.prices.set(PRICE, "test")
    secret = UpstreamRecord(name="u", url="http://u", dialect="openai", models={}, secret="sk-x")
    store.upstreams.add(secret, "test")
    asyncio.run(spend(store, "first", user="nul \0 in it"))
    [key] = store.keys.all()
    store.keys.update(key.id, "test", keep_content_days=3)
    store.contents.keep([heard(key)])
    return store


async def spend(store: Store, name: str, **fields: Any) -> None:
    key = new_key(store, name, budget_nano=10_000)
    lost = (("u", Usage(10, 1)), ("v", Usage(11, 3)))
    async with ledger_of(store) as ledger:
        for number in range(3):
            hold = await ledger.hold(intent(key, f"{name}-{number}", **fields))
            end = outcome(4, spent=lost if number else ())
            await ledger.durable(ledger.settle(hold, end))


@pytest.fixture
def server(cluster: Postgres) -> Place:
    return sqlalchemy.make_url(cluster.database())


def test_there_and_back(tmp_path: pathlib.Path, server: sqlalchemy.URL) -> None:
    """SQLite to PostgreSQL, more requests there, and back: nothing is lost or counts twice."""
    home, back = tmp_path / "home", tmp_path / "back"
    home.mkdir()
    back.mkdir()
    used_store(home).close()
    counts = copy_book(book_path(home), server)
    assert (3, 1, 1) == (counts["request"], counts["key"], counts["price"])
    assert 4 == counts["attempt"]
    moved = open_store(settings(home, database_url=server.render_as_string(hide_password=False)))
    assert CONTENT == moved.contents.read("r", moved.keys.all()[0].id, "test", NOW_US)[1]
    assert "sk-x" == moved.upstreams.get("u", secrets=True).secret
    assert {"nul \ufffd in it"} == {row.user for row in moved.usage.requests()}
    asyncio.run(spend(moved, "second"))
    assert 6 == len(moved.usage.requests())
    assert [] == audit.faults(server)
    moved.close()
    copy_book(server, book_path(back))
    assert [] == audit.faults(book_path(back))
    (back / "master.key").write_bytes((home / "master.key").read_bytes())
    with contextlib.closing(new_store(back)) as store:
        assert 6 == len(store.usage.requests())
        assert CONTENT == store.contents.read("r", store.keys.all()[0].id, "test", NOW_US)[1]


def test_sums_beyond_64_bits(tmp_path: pathlib.Path, server: Place) -> None:
    """A book whose times and numbers sum up to more arrives, too: five thousand requests do."""
    store = used_store(tmp_path)
    asyncio.run(spend(store, "late", created_us=2**62))
    store.close()
    assert 6 == copy_book(book_path(tmp_path), server)["request"]
    assert 6 == copy_book(server, tmp_path / "back.db")["request"]


def test_a_used_book_is_not_written_over(tmp_path: pathlib.Path, server: Place) -> None:
    """A target with anything in it stays as it is."""
    used_store(tmp_path).close()
    copy_book(book_path(tmp_path), server)
    with pytest.raises(StoreError, match="not empty"):
        copy_book(book_path(tmp_path), server)


def test_what_is_no_book_is_not_copied(tmp_path: pathlib.Path, server: Place) -> None:
    """A source without this schema is refused, and the target left alone."""
    with pytest.raises(StoreError, match="no book"):
        copy_book(tmp_path / "nothing.db", server)


def test_a_backup_of_a_server_is_a_file(tmp_path: pathlib.Path, server: sqlalchemy.URL) -> None:
    """The backup of a home whose book is on PostgreSQL has it as SQLite, and can be restored."""
    url = server.render_as_string(hide_password=False)
    store = open_store(settings(tmp_path / "home", database_url=url))
    asyncio.run(spend(store, "first"))
    backup.backup(tmp_path / "home", tmp_path / "copy", book=server)
    assert [] == backup.check(tmp_path / "copy")
    with contextlib.closing(new_store(tmp_path / "copy")) as restored:
        assert store.keys.all() == restored.keys.all()
        assert 3 == len(restored.usage.requests())
    store.close()


def test_places(tmp_path: pathlib.Path) -> None:
    """A URL names a server, none the file."""
    assert tmp_path == place("", tmp_path)
    assert isinstance(place("postgresql://h/d", tmp_path), sqlalchemy.URL)
