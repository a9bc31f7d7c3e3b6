"""Leases between two questions: what is spent without the book, and what is asked of it."""

import asyncio
import pathlib
from collections.abc import Mapping

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
