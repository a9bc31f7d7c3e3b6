"""Requests on the ledger of a running site, as if they had been relayed."""

import asyncio
import time
from typing import Any

from baton.ledger.entries import Timings
from baton.semantics.events import Prompt
from baton.stores.base import KeyRecord
from baton.stores.book import Store
from baton.stores.contents import Content, Heard
from tests.bookkeeping import PRICE, intent, ledger_of, outcome

TIMINGS = Timings(500, 1_000, 40_000, 48_000)


def book(store: Store, record: KeyRecord, *request_ids: str, **fields: Any) -> None:
    """Streams of five tokens; `fields` are of the outcome, `model` and `user` of the intent."""
    store.prices.set(PRICE, "test")
    asked = {name: fields.pop(name) for name in ("model", "user") if name in fields}
    given = {"status": 200, "timings": TIMINGS, "handoffs": 1, "attempts": 2, **fields}

    async def run() -> None:
        async with ledger_of(store) as ledger:
            for request_id in request_ids:
                now_us = time.time_ns() // 1000
                wanted = intent(record, request_id, created_us=now_us, stream=True, **asked)
                ledger.settle(await ledger.hold(wanted), outcome(5, **given))

    asyncio.run(run())


def keep(
    store: Store, record: KeyRecord, request_id: str, prompt: Prompt, *answers: str, **fields: Any
) -> None:
    """A request whose content is kept; the key must want that."""
    book(store, record, request_id)
    content = {
        "prompts": [prompt],
        "suffix": None,
        "completions": dict(enumerate(answers)),
        "cut_at_bytes": None,
        "bytes": 10,
        **fields,
    }
    heard = Heard(
        request_id=request_id,
        key_id=record.id,
        created_us=time.time_ns() // 1000,
        content=Content(**content),
    )
    assert 1 == store.contents.keep([heard])
