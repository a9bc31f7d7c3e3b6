"""The change log: one row a change, in order, without secrets."""

import pathlib

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
