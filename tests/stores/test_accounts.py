"""Accounts: what is granted never exceeds what remains."""

import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton.stores.accounts import grant
from baton.stores.base import Missing
from tests.bookkeeping import new_key, new_store
from tests.collecting import left_to_the_collector

amounts = st.integers(0, 10**6)


@given(amounts, amounts)
def test_grant(remaining: int, want: int) -> None:
    """Never more than remains; all that is wanted if it is there; whole multiples beyond that."""
    granted = grant(remaining, want)
    assert 0 <= granted <= remaining
    assert granted >= min(want, remaining)
    if granted > want:
        assert granted % want == 0
        assert granted <= remaining // 8


def test_leases_count_as_spent(tmp_path: pathlib.Path) -> None:
    """Several journals share a limit: Σ leases never exceeds it, and what comes back is free
    (I8)."""
    store = new_store(tmp_path)
    account = new_key(store, budget_nano=100).account
    assert {account: 60} == store.accounts.lend(1, {account: 60})
    assert {account: 40} == store.accounts.lend(2, {account: 60})
    assert {account: 0} == store.accounts.lend(3, {account: 1})
    store.accounts.give_back(1, {account: 25})
    assert 75 == store.accounts.get(account).leased_nano
    assert {account: 20} == store.accounts.lend(3, {account: 20})


def test_what_others_hold_may_come_back(tmp_path: pathlib.Path) -> None:
    """Elsewhere is what other journals have of the limit as it is now; nothing of an account that
    has none, or is not there."""
    store = new_store(tmp_path)
    key, free = new_key(store, budget_nano=100), new_key(store, "free").account
    store.accounts.lend(1, {key.account: 60, free: 60})
    store.accounts.lend(2, {key.account: 30})
    found = [store.accounts.elsewhere(number, key.account) for number in (1, 2, 3)]
    assert [30, 60, 90] == found
    assert [0, 0] == [store.accounts.elsewhere(2, name) for name in (free, "key:gone")]
    for amount, left in ((100, 60), (70, 40), (20, 0)):
        store.keys.update(key.id, "test", budget_nano=amount)
        assert left == store.accounts.elsewhere(2, key.account), amount


def test_unlimited_and_unknown(tmp_path: pathlib.Path) -> None:
    """Without a limit everything is granted; an account that does not exist grants nothing."""
    store = new_store(tmp_path)
    account = new_key(store).account
    assert {account: 10**12, "key:gone": 0} == store.accounts.lend(
        1, {account: 10**12, "key:gone": 5}
    )
    with pytest.raises(Missing):
        store.accounts.get("key:gone")


def test_returning_more_than_is_left(tmp_path: pathlib.Path) -> None:
    """A lease never goes below nothing, and no lease comes from returning."""
    store = new_store(tmp_path)
    account = new_key(store, budget_nano=100).account
    store.accounts.lend(1, {account: 10})
    store.accounts.give_back(1, {account: 30})
    store.accounts.give_back(2, {account: 30})
    assert 0 == store.accounts.get(account).leased_nano


def test_a_lease_leaves_nothing_to_the_collector(tmp_path: pathlib.Path) -> None:
    """Workers lend and give back every few seconds."""
    store = new_store(tmp_path)
    account = new_key(store, budget_nano=10**6).account

    def lend_and_give_back() -> None:
        granted = store.accounts.lend(1, {account: 5})
        assert granted[account] >= 5
        store.accounts.give_back(1, granted)

    assert 0 == left_to_the_collector(lend_and_give_back)
