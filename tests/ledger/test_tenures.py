"""Renewing a tenure: who is not heard stops spending, who was given up ends."""

import asyncio
import pathlib
import time

import pytest

from baton.errors import RequestError
from baton.ledger.leases import awake_or_not_s
from baton.ledger.settle import Ledger
from baton.ledger.tenures import TEND_S, Renewal
from baton.stores import journals
from baton.stores.base import KeyRecord
from baton.stores.book import Store, open_store
from baton.stores.journals import Term
from tests.bookkeeping import PRICE, intent, ledger_of, new_key, new_store, outcome, settings
from tests.servers import Postgres

DEADLINE_S = 20.0


@pytest.fixture
def store(tmp_path: pathlib.Path, cluster: Postgres) -> Store:
    opened = open_store(settings(tmp_path, database_url=cluster.database()))
    opened.prices.set(PRICE, "test")
    return opened


async def spend(ledger: Ledger, key: KeyRecord) -> None:
    hold = await ledger.hold(intent(key))
    await ledger.durable(ledger.settle(hold, outcome()))


async def until_refused(ledger: Ledger, key: KeyRecord) -> RequestError:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            await spend(ledger, key)
        except RequestError as error:
            return error
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def test_who_is_not_heard_stops_spending(store: Store) -> None:
    """After a term without renewal limited requests are refused with 503, others not; heard again
    all go on."""
    limited, free = new_key(store, "limited", budget_nano=10**6), new_key(store, "free")
    store.term = Term(process_s=0.3, book_s=60.0)

    async def run() -> None:
        async with ledger_of(store) as ledger:
            ledger._tending.cancel()  # as if no renewal came through
            assert 503 == (await until_refused(ledger, limited)).status
            await spend(ledger, free)
            store.term = ledger._renewal._term = Term(process_s=30.0, book_s=60.0)
            assert await ledger._renewal.tend()
            await spend(ledger, limited)

    asyncio.run(run())
    store.close()


def test_who_slept_over_its_term_spends_nothing(store: Store) -> None:
    """The loop's own clock stood still, so nothing has lapsed by it: not a request is let through,
    whichever way it asks, before the book is heard."""
    key, slept_s = new_key(store, budget_nano=10**6), 0.0
    store.term = Term(process_s=30.0, book_s=60.0)

    def clock_s() -> float:
        return awake_or_not_s() + slept_s

    async def run() -> None:
        nonlocal slept_s
        async with ledger_of(store) as ledger:
            await spend(ledger, key)
            ledger._tending.cancel()
            ledger._leases._clock_s = ledger._renewal._clock_s = clock_s
            assert ledger.hold_at_once(intent(key, "before"), PRICE) is not None
            slept_s = 30.0
            assert not ledger._leases.lapsed
            assert ledger.hold_at_once(intent(key, "after"), PRICE) is None
            with pytest.raises(RequestError) as raised:
                await ledger.hold(intent(key, "after"))
            assert 503 == raised.value.status
            assert await ledger._renewal.tend()
            await spend(ledger, key)

    asyncio.run(run())
    store.close()


def test_how_often(store: Store) -> None:
    """Several times a term, and at least as often as idle leases go back."""

    async def run() -> list[float]:
        found = []
        async with ledger_of(store) as ledger:
            for term_s in (12.0, 600.0):
                ledger._renewal._term = Term(process_s=term_s, book_s=900.0)
                found.append(ledger._renewal.every_s)
        return found

    store.term = Term(process_s=30.0, book_s=900.0)
    assert [2.0, TEND_S] == asyncio.run(run())
    store.close()


def test_a_book_of_one_process_is_always_heard(tmp_path: pathlib.Path) -> None:
    """Its journals are files, which are locked: nothing is renewed, and idle leases go back."""

    async def run() -> None:
        async with ledger_of(new_store(tmp_path)) as ledger:
            assert (TEND_S, True) == (ledger._renewal.every_s, await ledger._renewal.tend())
            assert (False, False) == (ledger._renewal.lost, ledger._leases.lapsed)

    asyncio.run(run())


def test_a_fault_of_ours_does_not_end_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """One renewal that fails so is one that did not come through: the next one does."""
    key = new_key(store, budget_nano=10**6)
    store.term = Term(process_s=0.6, book_s=60.0)
    clear_up, rounds = Renewal._clear_up, 0

    def odd_at_first(self: Renewal) -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            raise ValueError("odd")
        clear_up(self)

    monkeypatch.setattr(Renewal, "_clear_up", odd_at_first)

    async def run() -> None:
        async with ledger_of(store) as ledger:
            deadline = time.monotonic() + DEADLINE_S
            while rounds < 10:  # some terms
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)
            await spend(ledger, key)

    asyncio.run(run())
    store.close()


def test_who_was_given_up_says_so_once(store: Store) -> None:
    """The worker is told to end; what it had not posted is posted by its next process."""
    key = new_key(store, budget_nano=10**6)
    store.term = Term(process_s=0.6, book_s=60.0)
    told: list[str] = []

    async def run() -> None:
        async with ledger_of(store) as ledger:
            await spend(ledger, key)
            ledger.on_lost = lambda: told.append("lost")
            given_up = Term(process_s=0.0, book_s=-1.0)
            journals.renew(store.database, ledger._opened.held, given_up)
            journals.give_up_lost(store.database)
            deadline = time.monotonic() + DEADLINE_S
            while not told:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)
            assert 503 == (await until_refused(ledger, key)).status

    async def again() -> None:
        async with ledger_of(store):
            pass

    asyncio.run(run())
    asyncio.run(again())
    assert ["lost"] == told
    assert 1 == len(store.usage.requests())
    assert 0 == store.accounts.get(key.account).leased_nano
    store.close()
