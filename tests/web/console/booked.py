"""Requests on the ledger of a running site, as if they had been relayed."""

import asyncio
import time
from typing import Any

from baton.ledger.entries import Timings
from baton.stores.base import KeyRecord
from baton.stores.book import Store
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
