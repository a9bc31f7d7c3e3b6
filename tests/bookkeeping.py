"""Stores, ledgers and requests for tests: real files in a temporary folder."""

import contextlib
import functools
import pathlib
import tempfile
import time
from collections.abc import AsyncIterator
from typing import Any

from baton.admission.issue import import_key
from baton.config import Settings
from baton.ledger.entries import Intent, Payer
from baton.ledger.prices import PriceBook
from baton.ledger.settle import Ledger, Outcome, open_ledger
from baton.semantics.events import Usage
from baton.stores.base import KeyRecord, PriceRecord
from baton.stores.book import Store, book_path, open_store

PRICE = PriceRecord(version=0, model="m", effective_us=1, input_pico=1_000, output_pico=2_000)
"""1 nano-USD a prompt token, 2 a completion token."""


def settings(home: pathlib.Path, **options: Any) -> Settings:
    return Settings(home=str(home), **options)


def new_store(home: pathlib.Path) -> Store:
    """The store of a home; a new one starts from an empty book that was migrated once."""
    if not book_path(home).exists():
        book_path(home).write_bytes(_empty_book())
    return open_store(settings(home))


@functools.cache
def _empty_book() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        open_store(settings(pathlib.Path(folder))).close()
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
        "prompt_tokens": 10,
        "completions": 1,
        "max_tokens": 10,
        "created_us": time.time_ns() // 1000,
    }
    return Intent(**{**values, **fields})


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
