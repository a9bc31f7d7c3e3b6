"""Reports over what was folded."""

import asyncio
import datetime
import pathlib

import pytest

from baton.ledger.holds import Outcome
from baton.semantics.events import Usage
from baton.stores import audit
from baton.stores.base import Missing, StoreError
from baton.stores.usage import Filter
from tests.bookkeeping import PRICE, book_of, intent, ledger_of, new_key, new_store, outcome

DAY_US = 86_400_000_000


def test_sums_and_requests(tmp_path: pathlib.Path) -> None:
    """By key, model, upstream and day; single requests newest first, found by id, paged by time."""
    store = new_store(tmp_path)
    store.prices.set(PRICE, "test")
    first, second = new_key(store, "first"), new_key(store, "second")

    async def run() -> None:
        async with ledger_of(store) as ledger:
            for number in range(4):
                key = (first, second)[number % 2]
                wanted = intent(
                    key, f"r{number}", created_us=(number + 1) * DAY_US, user="somebody"
                )
                hold = await ledger.hold(wanted)
                ledger.settle(hold, outcome(4, finish_reason="stop", fills="echo,n"))

    asyncio.run(run())
    by_key = {row.key_id: (row.requests, row.charge_nano) for row in store.usage.sums(["key_id"])}
    assert {first.id: (2, 36), second.id: (2, 36)} == by_key
    assert [("u", "m")] == [(r.upstream, r.model) for r in store.usage.sums(["upstream", "model"])]
    third = Filter(since=datetime.date(1970, 1, 4), until=datetime.date(1970, 1, 4))
    assert [1] == [row.requests for row in store.usage.sums(only=third)]
    assert ["r3", "r2", "r1", "r0"] == [row.request_id for row in store.usage.requests()]
    assert ["r1"] == [row.request_id for row in store.usage.requests(1, before_us=3 * DAY_US)]
    assert ["r3", "r1"] == [row.request_id for row in store.usage.requests(key_id=second.id)]
    row = store.usage.request("r2")
    assert ("somebody", "stop", "echo,n", False) == (
        *(row.user, row.finish_reason),
        *(row.fills, row.stream),
    )
    with pytest.raises(Missing):
        store.usage.request("unknown")


def test_empty_book(tmp_path: pathlib.Path) -> None:
    """Nothing used: one row of zeros in all, none by anything."""
    store = new_store(tmp_path)
    (total,) = store.usage.sums()
    assert (0, 0, 0) == (total.requests, total.charge_nano, total.prompt_tokens)
    assert [] == store.usage.sums(["day", "model"])
    assert [] == store.usage.sums(["end_user", "organisation"])


def test_sums_by_end_user(tmp_path: pathlib.Path) -> None:
    """What callers wrote in `user`, from a roll-up of its own; without one a request is in none."""
    store = new_store(tmp_path)
    store.prices.set(PRICE, "test")
    key = new_key(store)

    async def run() -> None:
        async with ledger_of(store) as ledger:
            for number, user in enumerate(["a", "b", "a", None]):
                hold = await ledger.hold(intent(key, f"r{number}", user=user))
                usage = Usage(10, 4, cached_tokens=6, estimated=True)
                ledger.settle(hold, Outcome(usage=usage, upstream="u"))

    asyncio.run(run())
    found = store.usage.sums(["end_user"])
    assert [("a", 2, 36, 12, 2), ("b", 1, 18, 6, 1)] == [
        (row.end_user, row.requests, row.charge_nano, row.cached_tokens, row.estimated)
        for row in found
    ]
    assert [2] == [row.requests for row in store.usage.sums(only=Filter(end_user="a"))]
    with pytest.raises(StoreError, match="day and key"):
        store.usage.sums(["end_user", "model"])
    store.database.close()
    assert [] == audit.faults(book_of(store))
