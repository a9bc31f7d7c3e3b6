"""Stores, ledgers and requests for tests: real files in a temporary folder, or, where POSTGRES is
set in the environment, a database for each home in that cluster (tests/stores/conftest.py)."""

import contextlib
import functools
import hashlib
import os
import pathlib
import tempfile
import time
import weakref
from collections.abc import AsyncIterator
from typing import Any

import sqlalchemy

from baton.admission.issue import import_key
from baton.config import Settings
from baton.ledger.entries import Intent, Payer
from baton.ledger.holds import Outcome
from baton.ledger.prices import PriceBook
from baton.ledger.settle import Ledger, open_ledger
from baton.semantics.events import Usage
from baton.stores import migrate
from baton.stores.base import KeyRecord, PriceRecord
from baton.stores.book import Store, book_path, open_store
from baton.stores.database import Place
from baton.stores.tables import party
from tests.servers import create_database

PRICE = PriceRecord(version=0, model="m", effective_us=1, input_pico=1_000, output_pico=2_000)
"""1 nano-USD a prompt token, 2 a completion token."""


POSTGRES = "BATON_TEST_POSTGRES"
"""The URL of a cluster's own database, for those tests that run on PostgreSQL as well."""
TEMPLATE = "migrated"


def settings(home: pathlib.Path, **options: Any) -> Settings:
    return Settings(home=str(home), **{"database_url": database_url(home), **options})


def database_url(home: pathlib.Path) -> str:
    """Of the database that stands for this home; "" where books are files."""
    cluster = os.environ.get(POSTGRES)
    if not cluster:
        return ""
    name = "home" + hashlib.sha256(str(home).encode()).hexdigest()[:16]
    return create_database(cluster, name, _migrated(cluster))


def new_store(home: pathlib.Path) -> Store:
    """The store of a home; a new one starts from an empty book that was migrated once. Its
    connections are closed when nobody has it any more (sqlite3 warns of others from 3.13 on)."""
    given = settings(home)
    if not given.database_url and not book_path(home).exists():
        book_path(home).write_bytes(_empty_book())
    store = open_store(given)
    database = store.database  # which may be used longer than the store
    for engine in (database._engine, database._reads):
        weakref.finalize(database, engine.dispose)
    return store


def book_of(store: Store) -> Place:
    return store.database.place


@functools.cache
def _migrated(cluster: str) -> str:
    """A migrated database to copy new ones from."""
    migrate.bring_up(sqlalchemy.make_url(create_database(cluster, TEMPLATE)))
    return TEMPLATE


@functools.cache
def _empty_book() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        open_store(Settings(home=folder)).close()
        return book_path(pathlib.Path(folder)).read_bytes()


def new_key(store: Store, name: str = "k", **options: Any) -> KeyRecord:
    return import_key(store, name, f"sk-test-{name:_<40}", "test", **options)


def payer(record: KeyRecord) -> Payer:
    limited = () if record.budget_nano is None else (record.account,)
    return Payer(record.id, record.account, limited, (), record.name)


def intent(record: KeyRecord, request_id: str = "r", **fields: Any) -> Intent:
    """Ten prompt tokens and up to ten more: a hold of 30 nano-USD at PRICE."""
    values: dict[str, Any] = {
        "request_id": request_id,
        "payer": payer(record),
        "model": "m",
        "prompt_tokens_max": 10,
        "completions": 1,
        "max_tokens": 10,
        "created_us": time.time_ns() // 1000,
    }
    return Intent(**{**values, **fields})


class _Told:
    usage = Usage(10, 0)


TOLD = _Told()
"""A running answer that knows its prompt, of ten tokens."""


def outcome(completion_tokens: int = 10, **fields: Any) -> Outcome:
    """Ten prompt tokens and so many more."""
    usage = Usage(prompt_tokens=10, completion_tokens=completion_tokens)
    return Outcome(**{"usage": usage, "upstream": "u", **fields})


@contextlib.asynccontextmanager
async def ledger_of(store: Store) -> AsyncIterator[Ledger]:
    ledger = await open_ledger(store, PriceBook(store.prices.all()))
    try:
        yield ledger
    finally:
        await ledger.close()


def named_before(store: Store, party_id: str, name: str) -> None:
    """As an account may have been named when names might have a '/'."""
    with store.parties._database.writing() as connection:
        connection.execute(party.update().where(party.c.id == party_id).values(name=name))
