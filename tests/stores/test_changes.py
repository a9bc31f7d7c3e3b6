"""The change log: one row a change, in order, without secrets."""

import pathlib

import pytest

from baton.stores.base import BudgetRecord, Overtaken, PartyRecord
from baton.stores.changes import refuse_overtaken
from tests.bookkeeping import PRICE, new_key, new_store


def test_every_change_is_logged_in_order(tmp_path: pathlib.Path) -> None:
    """Readers go on where they stopped, and get no more at once than they ask for."""
    store = new_store(tmp_path)
    assert 0 == store.changes.latest()
    key = new_key(store)
    store.prices.set(PRICE, "operator")
    store.keys.revoke(key.id, "operator")
    expected = [("test", "key", "create"), ("operator", "price", "create")]
    expected.append(("operator", "key", "revoke"))
    found = store.changes.since(0)
    assert expected == [(change.actor, change.kind, change.action) for change in found]
    assert [1, 2, 3] == [change.seq for change in found]
    assert found[1:] == store.changes.since(1)
    assert found[:2] == store.changes.since(0, at_most=2)
    assert 3 == store.changes.latest()


def test_who_was_overtaken() -> None:
    """Who changes what another changed since it was seen, unless to the same; nobody who said
    nothing of what was seen, or changes something else."""
    day, week = BudgetRecord(amount=5, span="day"), BudgetRecord(amount=5, span="week")
    now = PartyRecord(id="t", kind="team", name="n", budgets=(day,), requests_per_minute=6)
    seen = {"name": "n", "budgets": [], "requests_per_minute": 6, "networks": []}
    refuse_overtaken(now, {"budgets": (week,)}, None)
    refuse_overtaken(now, {"budgets": (week,)}, {"name": "x"})
    refuse_overtaken(now, {"name": "new", "requests_per_minute": None}, seen)
    refuse_overtaken(now, {"budgets": (day,)}, seen)
    with pytest.raises(Overtaken, match="'budgets'"):
        refuse_overtaken(now, {"name": "new", "budgets": (week,)}, seen)
