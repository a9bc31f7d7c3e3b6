"""Leases between two questions: what is spent without the book, and what is asked of it."""

import asyncio
import functools
import pathlib
import threading
from collections.abc import Mapping

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from baton.ledger.leases import Leases
from baton.stores.accounts import Accounts
from tests.bookkeeping import new_key, new_store

STEPS = st.lists(
    st.tuples(st.sampled_from(["take", "put back", "look", "lapse"]), st.integers(0, 60))
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(STEPS)
@example([("look", 0), ("take", 60), ("put back", 60), ("look", 0)])
@example([("look", 0), ("take", 60), ("put back", 60), ("take", 10), ("look", 0)])
def test_a_lone_budget_in_money_is_as_any_other(
    tmp_path: pathlib.Path, steps: list[tuple[str, int]]
) -> None:
    """Its shorter way takes, gives back and stands idle alike."""
    accounts = new_store(tmp_path).accounts

    async def run() -> None:
        usual, short, left = Leases(accounts, 1), Leases(accounts, 1), 100
        for leases in (usual, short):
            leases.finish(("key:k",), left)
        for what, amount in steps:
            if what == "take":
                taken = usual.take(("key:k",), amount)
                assert taken == short.take_money("key:k", amount)
                assert taken == (not usual.lapsed and amount <= left)
                left -= amount * taken
            elif what == "put back":
                usual.finish(("key:k",), amount)
                short.put_back("key:k", amount)
                left += amount
            elif what == "look":
                idle = usual.idle()
                assert idle == short.idle()
                left -= idle.get("key:k", 0)
            else:
                usual.lapsed = short.lapsed = not usual.lapsed

    asyncio.run(run())


def test_an_account_without_anything_is_forgotten(tmp_path: pathlib.Path) -> None:
    """Once it is looked for what is idle, and the others are looked at all the same."""
    accounts = new_store(tmp_path).accounts

    async def run() -> None:
        leases = Leases(accounts, 1)
        assert leases.take(("empty",), 0)
        leases.finish(("full",), 5)
        assert [{}, {"full": 5}, {}] == [leases.idle(), leases.idle(), leases.idle()]
        assert {} == leases._balances

    asyncio.run(run())


def test_what_is_there_is_not_asked_for(tmp_path: pathlib.Path) -> None:
    """A question names what lacks alone, and there is none where nothing does."""
    store = new_store(tmp_path)
    account = new_key(store, budget_nano=1_000).account
    questions: list[dict[str, int]] = []

    class Exact(Accounts):
        """The store's accounts, which lend what was asked for and no more."""

        def lend(
            self, journal: int, wants: Mapping[str, int], epoch: int | None = None
        ) -> dict[str, int]:
            questions.append(dict(wants))
            return dict(wants)

    async def run() -> None:
        leases = Leases(Exact(store.database), 1)
        leases.finish((account,), 30)
        for amount in (10, 50, 10):
            assert await leases.acquire((account,), amount) is None
            assert [] == leases.short((account,), 0, 0)
        leases.finish((account, "other"), 20)
        leases.finish((account,), 1)
        assert ["other"] == leases.short((account, "other"), 21, 0)

    asyncio.run(run())
    assert [{account: 30}, {account: 10}] == questions


def test_what_was_withdrawn_before_its_turn_is_asked_for_again(tmp_path: pathlib.Path) -> None:
    """What was granted to one who waits may be recalled before, or go back as idle: it is in the
    book, so nobody is refused for it."""
    store = new_store(tmp_path)
    key = new_key(store, budget_nano=100)
    alone = (key.account,)

    async def run() -> list[object]:
        leases = Leases(store.accounts, 1)
        recall = leases.give_back(functools.partial(leases.recalled, key.id))
        asking = (leases.acquire(alone, 10) for _ in range(3))
        return await asyncio.gather(next(asking), next(asking), recall, *asking)

    assert [None] * 4 == asyncio.run(run())


def test_what_another_took_before_its_turn_is_asked_for_again(tmp_path: pathlib.Path) -> None:
    """Requests that find enough take it without waiting, also what was granted to one who waits:
    that one is refused where the book has no more, and not before."""
    store = new_store(tmp_path)
    alone = (new_key(store, budget_nano=50).account,)

    async def quick(leases: Leases) -> str | None:
        refused = await leases.acquire(alone, 10)
        assert leases.take(alone, 10)
        return refused

    async def run() -> list[str | None]:
        leases = Leases(store.accounts, 1)
        first = await asyncio.gather(
            leases.acquire(alone, 5), quick(leases), leases.acquire(alone, 10)
        )
        more = await asyncio.gather(*(leases.acquire(alone, each) for each in (5, 10, 10)))
        return [*first, *more]

    # 35 are spent when the second three come.
    assert [None] * 5 + [alone[0]] == asyncio.run(run())


@pytest.mark.parametrize("returned", [False, True])
def test_who_leaves_takes_no_answer_along(tmp_path: pathlib.Path, returned: bool) -> None:
    """Those who wait share a question. Where who asked it has left, the others wait for its answer
    all the same: none is told that the book is away, or that it has no more, also where something
    goes back meanwhile."""
    store = new_store(tmp_path)
    key = new_key(store, budget_nano=30)
    alone = (key.account,)
    asked, left = threading.Event(), threading.Event()

    class Slow(Accounts):
        """The store's accounts, whose answer to the second question is on its way for long."""

        def lend(
            self, journal: int, wants: Mapping[str, int], epoch: int | None = None
        ) -> dict[str, int]:
            granted = super().lend(journal, wants, epoch)
            if granted == {key.account: 20}:
                asked.set()
                left.wait(10)
            return granted

    async def run() -> list[str | BaseException | None]:
        leases = Leases(Slow(store.database), 1)
        loop = asyncio.get_running_loop()
        first, asking, sharing = (loop.create_task(leases.acquire(alone, 10)) for _ in range(3))
        await first
        await asyncio.to_thread(asked.wait, 10)
        asking.cancel()
        await asyncio.wait([asking])
        recall = functools.partial(leases.recalled, key.id)
        going = [leases.give_back(recall)] if returned else []
        others = asyncio.gather(sharing, *going, leases.acquire(alone, 10), return_exceptions=True)
        for _ in range(3):
            await asyncio.sleep(0)  # their turns come
        left.set()
        return await others

    assert {None} == set(asyncio.run(run()))
