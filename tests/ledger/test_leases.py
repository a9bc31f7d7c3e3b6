"""Leases: spend in memory, ask the book when short, give back what stands idle."""

import asyncio
import functools
import gc
import pathlib
import threading
from collections.abc import Mapping

import pytest

from baton.ledger.leases import Leases
from baton.stores.accounts import Accounts
from baton.stores.base import BudgetRecord, StoreUnavailable, Uncertain
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


def test_leases_that_lapse_while_the_book_is_asked(tmp_path: pathlib.Path) -> None:
    """What was granted then is not spent, and nothing is said to be used up."""
    store = new_store(tmp_path)
    account = new_key(store, budget_nano=100).account

    class Late(Accounts):
        """Grants when it is too late."""

        borrower: Leases

        def lend(
            self, journal: int, wants: Mapping[str, int], epoch: int | None = None
        ) -> dict[str, int]:
            self.borrower.lapsed = True
            return super().lend(journal, wants, epoch)

    async def run() -> None:
        accounts = Late(store.database)
        accounts.borrower = leases = Leases(accounts, 1)
        with pytest.raises(StoreUnavailable):
            await leases.acquire((account,), 10)

    asyncio.run(run())


def test_within_reach_is_what_others_hold_too(tmp_path: pathlib.Path) -> None:
    """What falls short here may come back from another process: looked up once a question."""
    store = new_store(tmp_path)
    account = new_key(store, budget_nano=100).account
    looks: list[int] = []

    class Counting(Accounts):
        """The store's accounts, with every look at others written down."""

        def elsewhere(self, journal: int, name: str) -> int:
            looks.append(journal)
            return super().elsewhere(journal, name)

    async def run() -> list[int]:
        here, there = (Leases(Counting(store.database), number) for number in (1, 2))
        assert await there.acquire((account,), 70) is None
        assert account == await here.acquire((account,), 40)
        found = await asyncio.gather(*(here.within_reach(account) for _ in range(9)))
        assert [1] == looks
        assert account == await here.acquire((account,), 101)
        return [*found, await here.within_reach(account), len(looks)]

    assert [100] * 10 + [2] == asyncio.run(run())


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
        await leases.give_back(leases.idle)
        assert granted == leased(store, account), "it was asked for since the last look"
        assert leases.take((account,), 50)
        leases.finish((account,), 50)
        await leases.give_back(leases.idle)
        assert granted - 60 == leased(store, account)
        await leases.give_back(leases.idle)
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


def test_a_failure_that_nobody_waits_for_is_no_error(tmp_path: pathlib.Path) -> None:
    """The caller left while the book was asked, and the book is away: nothing to report."""
    store = new_store(tmp_path)
    account = new_key(store, budget_nano=10).account
    left = threading.Event()

    class Away(Accounts):
        """A book that cannot be reached, as it turns out once the caller has left."""

        def lend(
            self, journal: int, wants: Mapping[str, int], epoch: int | None = None
        ) -> dict[str, int]:
            left.wait(10)
            raise StoreUnavailable("away")

    async def run() -> list[str]:
        reported: list[str] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context["message"]))
        leases = Leases(Away(store.database), 1)
        asking = loop.create_task(leases.acquire((account,), 10))
        await asyncio.sleep(0)  # it begins
        await asyncio.sleep(0)  # its question begins
        questions = list(leases._open)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        left.set()
        await asyncio.wait(questions)
        del questions, asking
        gc.collect()
        return reported

    assert [] == asyncio.run(run())


def test_a_book_that_is_away_says_nothing_about_budgets(tmp_path: pathlib.Path) -> None:
    """All who share a question that was not answered are told so: none that its budget is used
    up."""
    store = new_store(tmp_path)
    account = new_key(store, budget_nano=1_000).account

    class Away(Accounts):
        """A book that cannot be reached."""

        def lend(
            self, journal: int, wants: Mapping[str, int], epoch: int | None = None
        ) -> dict[str, int]:
            raise StoreUnavailable("away")

    async def run() -> list[str | BaseException | None]:
        leases = Leases(Away(store.database), 1)
        asking = (leases.acquire((account,), 10) for _ in range(10))
        return await asyncio.gather(*asking, return_exceptions=True)

    assert [StoreUnavailable] * 10 == [type(each) for each in asyncio.run(run())]


def test_uncertain_returns_are_not_spent_again(tmp_path: pathlib.Path) -> None:
    """What the book may have taken back is lost to this process; what it surely has not, is not."""
    store = new_store(tmp_path)
    account = new_key(store, budget_nano=1_000).account

    class Failing(Accounts):
        """A book that fails in one way."""

        error = StoreUnavailable("away")

        def give_back(
            self, journal: int, amounts: Mapping[str, int], epoch: int | None = None
        ) -> None:
            raise self.error

    async def run() -> None:
        accounts = Failing(store.database)
        leases = Leases(accounts, 1)
        assert await leases.acquire((account,), 10) is None
        leases.idle()
        await leases.give_back(leases.idle)
        assert leases.take((account,), 10), "it has it still"
        leases.finish((account,), 10)
        leases.idle()
        accounts.error = Uncertain("who knows")
        await leases.give_back(leases.idle)
        assert not leases.take((account,), 10)

    asyncio.run(run())


def test_waiting_for_another_account_refuses_nobody(tmp_path: pathlib.Path) -> None:
    """Who waits while the book is asked about others' accounts is in that question too."""
    store = new_store(tmp_path)
    accounts = [new_key(store, name, budget_nano=100).account for name in ("a", "b", "c")]

    async def run() -> list[str | None]:
        leases = Leases(store.accounts, 1)
        return await asyncio.gather(*(leases.acquire((each,), 10) for each in accounts))

    assert [None] * 3 == asyncio.run(run())


def test_tokens_are_taken_from_quotas(tmp_path: pathlib.Path) -> None:
    """An account that counts tokens gives tokens, all others money; of all or of none."""
    store = new_store(tmp_path)
    quota = BudgetRecord(amount=100, unit="tokens")
    money = new_key(store, budget_nano=1_000, budgets=(quota,)).account
    tokens = f"tokens:{money}/total"

    async def run() -> None:
        leases = Leases(store.accounts, 1)
        both = (money, tokens)
        assert await leases.acquire(both, 10, 90) is None
        assert tokens == await leases.acquire(both, 10, 20)
        assert not leases.take(both, 1, 11)
        leases.finish(both, 10, 80)
        assert leases.take(both, 1, 80)
        assert 100 == leased(store, tokens)

    asyncio.run(run())


def test_a_recall_takes_what_is_unspent(tmp_path: pathlib.Path) -> None:
    """Of that key's accounts alone; what a request holds stays with it."""
    store = new_store(tmp_path)
    first, other = (new_key(store, name, budget_nano=8_000) for name in ("first", "other"))

    async def run() -> None:
        leases = Leases(store.accounts, 1)
        for record in (first, other):
            assert await leases.acquire((record.account,), 10) is None
        granted = leased(store, first.account)
        assert granted > 10
        await leases.give_back(functools.partial(leases.recalled, first.id))
        assert [10, granted] == [leased(store, each.account) for each in (first, other)]
        assert {} == leases.recalled(first.id)
        leases.finish((first.account,), 4)
        assert {first.account: 4} == leases.recalled(first.id)

    asyncio.run(run())


def test_what_is_on_its_way_back_is_not_refused(tmp_path: pathlib.Path) -> None:
    """Who asks while idle amounts return waits until they are there, and gets them."""
    store = new_store(tmp_path)
    account = new_key(store, budget_nano=100).account
    leaving, arrived = threading.Event(), threading.Event()

    class Slow(Accounts):
        """The store's accounts, whose returns take as long as the test says."""

        def give_back(
            self, journal: int, amounts: Mapping[str, int], epoch: int | None = None
        ) -> None:
            leaving.set()
            assert arrived.wait(10)
            super().give_back(journal, amounts, epoch)

    async def run() -> None:
        leases = Leases(Slow(store.database), 1)
        assert await leases.acquire((account,), 100) is None
        leases.finish((account,), 100)
        leases.idle()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(leases.give_back(leases.idle))
            assert await asyncio.to_thread(leaving.wait, 10)
            asking = tasks.create_task(leases.acquire((account,), 100))
            await asyncio.sleep(0)
            arrived.set()
        assert asking.result() is None

    asyncio.run(run())
