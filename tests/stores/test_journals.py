"""Tenures: one process at a time acts for a journal, and the lost are closed."""

import pathlib

import pytest

from baton.stores import journals
from baton.stores.base import Unsealable
from baton.stores.book import Store
from baton.stores.journals import Fenced, Term
from tests.bookkeeping import new_key, new_store

LONG = Term(process_s=60.0, book_s=120.0)
OVER = Term(process_s=0.0, book_s=-1.0)
"""Over as soon as it begins."""


def leased(store: Store, account: str) -> int:
    return store.accounts.get(account).leased_nano


def test_each_process_gets_the_next_epoch(tmp_path: pathlib.Path) -> None:
    """The same journal has the same number; whoever had it before is refused everything."""
    store = new_store(tmp_path)
    account = new_key(store, budget_nano=100).account
    first = journals.enter(store.database, "a", "0", LONG)
    second = journals.enter(store.database, "a", "0", LONG)
    other = journals.enter(store.database, "b", "1", LONG)
    assert (first.number, first.epoch + 1) == (second.number, second.epoch)
    assert first.number != other.number
    with pytest.raises(Fenced):
        journals.renew(store.database, first, LONG)
    with pytest.raises(Fenced):
        store.accounts.lend(first.number, {account: 10}, first.epoch)
    with pytest.raises(Fenced):
        store.accounts.give_back(first.number, {account: 10}, first.epoch)
    with pytest.raises(Fenced):
        journals.return_leases(store.database, first)
    assert {account: 10} == store.accounts.lend(second.number, {account: 10}, second.epoch)
    journals.renew(store.database, second, LONG)


def test_leases_of_the_lost_come_back(tmp_path: pathlib.Path) -> None:
    """A journal that was not heard of for its term is closed once, with what it had; the living
    are left alone."""
    store = new_store(tmp_path)
    account = new_key(store, budget_nano=100).account
    living = journals.enter(store.database, "living", "0", LONG)
    lost = journals.enter(store.database, "lost", "1", OVER)
    shared = journals.enter(store.database, "shared", "", OVER, shared=True)
    for held in (living, lost, shared):
        store.accounts.lend(held.number, {account: 10}, held.epoch)
    assert {lost.number: 10} == journals.give_up_lost(store.database)
    assert {} == journals.give_up_lost(store.database)
    assert 20 == leased(store, account)
    with pytest.raises(Fenced):
        journals.renew(store.database, lost, LONG)
    back = journals.enter(store.database, "lost", "1", LONG)
    assert (lost.number, lost.epoch + 2) == (back.number, back.epoch)


def test_one_process_takes_a_lost_journal_over(tmp_path: pathlib.Path) -> None:
    """A journal within the book is closed by whoever comes first, and fenced for its process."""
    store = new_store(tmp_path)
    lost = journals.enter(store.database, "shared", "", OVER, shared=True)
    (taken,) = journals.take_over_lost(store.database, LONG)
    assert (lost.number, lost.epoch + 1) == (taken.number, taken.epoch)
    assert [] == journals.take_over_lost(store.database, LONG)
    with pytest.raises(Fenced):
        journals.renew(store.database, lost, LONG)
    journals.return_leases(store.database, taken, leaving=True)
    assert [] == journals.take_over_lost(store.database, LONG)


def test_nodes_have_one_master_key(tmp_path: pathlib.Path) -> None:
    """Another one is refused while a process with the first lives, and changes nothing; the process
    itself may come back with another, and whoever is left once all are gone."""
    store = new_store(tmp_path)
    journals.enter(store.database, "gone", "3", OVER, seal="old")
    first = journals.enter(store.database, "a", "0", LONG, seal="one")
    journals.enter(store.database, "b", "1", LONG, seal="one")
    journals.enter(store.database, "earlier", "2", LONG)
    for identity in ("new", "gone"):
        with pytest.raises(Unsealable, match="give all of them the same BATON_MASTER_KEY"):
            journals.enter(store.database, identity, "4", LONG, seal="two")
    journals.renew(store.database, first, LONG)
    second = journals.enter(store.database, "b", "1", LONG, seal="one")
    for held in (first, second):
        journals.return_leases(store.database, held, leaving=True)
    journals.enter(store.database, "a", "0", LONG, seal="two")
    journals.enter(store.database, "new", "4", LONG, seal="two")
    journals.enter(store.database, "a", "0", LONG, seal="two")
