"""Leases: spend in memory, ask the book when short, give back what stands idle."""

import asyncio
import pathlib
from collections.abc import Mapping

import pytest

from baton.ledger.leases import Leases
from baton.stores.accounts import Accounts
from baton.stores.book import Store
from tests.bookkeeping import new_key, new_store


def leased(store: Store, account: str) -> int:
    return store.accounts.get(account).leased_nano


def test_take_is_all_or_nothing(tmp_path: pathlib.Path) -> None:
    """A hold is taken from every account or from none (I7)."""
    store = new_store(tmp_path)
    rich = new_key(store, "rich", budget_nano=1_000).account
    poor = new_key(store, "poor", budget_nano=10).account

    async def run() -> None:
        leases = Leases(store.accounts, 1)
        assert poor == await leases.acquire((rich, poor), 20)
        assert await leases.acquire((rich,), 1_000) is None, "nothing of it was spent"
        assert await leases.acquire((poor,), 10) is None
        assert poor == await leases.acquire((poor,), 1)

    asyncio.run(run())


def test_concurrent_askers_share_a_question(tmp_path: pathlib.Path) -> None:
    """Of many who ask at once exactly as many pass as fit, in few transactions."""
    store = new_store(tmp_path)
    account = new_key(store, budget_nano=105).account
    questions: list[dict[str, int]] = []

    class Counting(Accounts):
        """The store's accounts, with every question written down."""

        def lend(
            self, journal: int, wants: Mapping[str, int], epoch: int | None = None
        ) -> dict[str, int]:
            questions.append(dict(wants))
            return super().lend(journal, wants, epoch)

    accounts = Counting(store.database)

    async def run() -> list[str | None]:
        leases = Leases(accounts, 1)
        return await asyncio.gather(*(leases.acquire((account,), 10) for _ in range(50)))

    passed = asyncio.run(run())
    assert 10 == passed.count(None)
    assert [10, 490] == [wants[account] for wants in questions], "the first alone, then the rest"


def test_unspent_is_available_again(tmp_path: pathlib.Path) -> None:
    """What a hold did not need is spent by the next one without asking."""
    store = new_store(tmp_path)
    account = new_key(store, budget_nano=100).account

    async def run() -> None:
        leases = Leases(store.accounts, 1)
        assert await leases.acquire((account,), 100) is None
        leases.finish((account,), 90)
        assert leases.take((account,), 90)
        assert not leases.take((account,), 1)

    asyncio.run(run())


def test_idle_goes_back(tmp_path: pathlib.Path) -> None:
    """What nobody needed between two looks returns to the book; what was in use stays."""
    store = new_store(tmp_path)
    account = new_key(store, budget_nano=1_000).account

    async def run() -> None:
        leases = Leases(store.accounts, 1)
        assert await leases.acquire((account,), 10) is None
        granted = leased(store, account)
        assert granted == 120, "an eighth of what remains, in whole holds"
        await leases.give_back(leases.idle())
        assert granted == leased(store, account), "it was asked for since the last look"
        assert leases.take((account,), 50)
        leases.finish((account,), 50)
        await leases.give_back(leases.idle())
        assert granted - 60 == leased(store, account)
        await leases.give_back(leases.idle())
        assert 10 == leased(store, account), "the hold that is still open"

    asyncio.run(run())


def test_grant_outlives_who_asked(tmp_path: pathlib.Path) -> None:
    """A caller that leaves while the book is asked loses nothing of what is granted."""
    store = new_store(tmp_path)
    account = new_key(store, budget_nano=10).account

    async def run() -> None:
        leases = Leases(store.accounts, 1)
        asking = asyncio.get_running_loop().create_task(leases.acquire((account,), 10))
        await asyncio.sleep(0)  # it begins
        await asyncio.sleep(0)  # its question begins
        assert leases._open
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await leases.close()
        assert leases.take((account,), 10)

    asyncio.run(run())
