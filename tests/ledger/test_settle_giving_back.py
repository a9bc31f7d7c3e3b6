"""What a ledger gives back of budgets: what nobody holds, and what was held for nobody."""

import asyncio
import pathlib
import time

import pytest

from baton.ledger import tenures
from tests.bookkeeping import PRICE, intent, ledger_of, new_key, new_store, outcome


def test_who_leaves_while_the_disk_is_tried(tmp_path: pathlib.Path) -> None:
    """Has no hold, and nothing is kept of its budget."""
    store = new_store(tmp_path)
    store.prices.set(PRICE, "test")
    key = new_key(store, budget_nano=30)

    async def run() -> None:
        async with ledger_of(store) as ledger:
            ledger.release(await ledger.hold(intent(key, "first")), 502)  # the lease is here now
            ledger._journal.failing = True
            async with asyncio.TaskGroup() as tasks:
                leaving = tasks.create_task(ledger.hold(intent(key, "left")))
                await asyncio.sleep(0)
                leaving.cancel()
            assert leaving.cancelled()
            ledger.settle(await ledger.hold(intent(key, "stays")), outcome())

    asyncio.run(run())
    rows = {row.request_id: (row.state, row.charge, row.status) for row in store.usage.requests()}
    assert ("released", 0, 499) == rows["left"]
    assert ("settled", 30, 200) == rows["stays"]


def test_what_stands_idle_goes_back(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By itself, each time, while the ledger is open."""
    monkeypatch.setattr(tenures, "TEND_S", 0.01)
    store = new_store(tmp_path)
    store.prices.set(PRICE, "test")
    key = new_key(store, budget_nano=3_000)
    deadline = time.monotonic() + 20

    async def run() -> None:
        async with ledger_of(store) as ledger:
            for _ in range(2):
                ledger.release(await ledger.hold(intent(key)), 502)
                while store.accounts.get(key.account).leased_nano:
                    assert time.monotonic() < deadline
                    await asyncio.sleep(0.01)

    asyncio.run(run())


def test_what_is_recalled_goes_back(tmp_path: pathlib.Path) -> None:
    """All that is not held, at once."""
    store = new_store(tmp_path)
    store.prices.set(PRICE, "test")
    key = new_key(store, budget_nano=3_000)

    async def run() -> None:
        async with ledger_of(store) as ledger:
            hold = await ledger.hold(intent(key))
            await ledger.recall(key.id)
            assert 30 == store.accounts.get(key.account).leased_nano
            ledger.settle(hold, outcome())

    asyncio.run(run())
