"""Keys in the book: found by digest, changed and revoked with a trace, never stored."""

import pathlib

import msgspec
import pytest

from baton.admission import keys
from baton.stores.base import Duplicate, KeyRecord, Missing
from baton.stores.keys import CHANGEABLE
from tests.bookkeeping import new_key, new_store

FULL = {
    "role": "admin",
    "expires_us": 2_000_000_000_000_000,
    "models": ("a", "b"),
    "default_model": "a",
    "requests_per_minute": 60,
    "budget_nano": 5 * 10**9,
    "strict": True,
    "deterministic": True,
    "parse_special": False,
}


def test_what_goes_in_comes_out(tmp_path: pathlib.Path) -> None:
    """Every field survives, by digest, id, name and in the list."""
    store = new_store(tmp_path)
    plain, full = new_key(store, "plain"), new_key(store, "full", **FULL)
    for record in (plain, full):
        assert record == store.keys.by_digest(record.digest)
        assert record == store.keys.get(record.id)
        assert [record] == store.keys.find(record.name) == store.keys.find(record.id)
    assert [plain, full] == store.keys.all()
    assert store.keys.by_digest(b"unknown") is None
    assert [] == store.keys.find("unknown")
    with pytest.raises(Missing):
        store.keys.get("unknown")


def test_every_changeable_field_changes(tmp_path: pathlib.Path) -> None:
    """An update changes what it names, and says so in the log; the account follows the budget."""
    store = new_store(tmp_path)
    record = new_key(store)
    changes = {name: value for name, value in FULL.items() if name != "role"} | {"name": "new"}
    assert changes.keys() == CHANGEABLE
    changed = store.keys.update(record.id, "operator", **changes)
    assert msgspec.structs.replace(record, **changes) == changed == store.keys.get(record.id)
    assert FULL["budget_nano"] == store.accounts.get(record.account).limit_nano
    (change,) = store.changes.since(1)
    assert ("operator", "key", record.id, "update") == (
        *(change.actor, change.kind),
        *(change.object_id, change.action),
    )
    assert set(changes) == set(msgspec.json.decode(change.detail))
    with pytest.raises(Missing):
        store.keys.update("unknown", "operator", name="x")


def test_update_checks_types(tmp_path: pathlib.Path) -> None:
    """A value of the wrong type is refused before anything is written."""
    store = new_store(tmp_path)
    record = new_key(store)
    with pytest.raises(msgspec.ValidationError):
        store.keys.update(record.id, "operator", requests_per_minute="many")
    assert record == store.keys.get(record.id)
    assert 1 == store.changes.latest()


def test_revoke_once(tmp_path: pathlib.Path) -> None:
    """A revoked key stays known, with its time; revoking again changes and logs nothing."""
    store = new_store(tmp_path)
    record = new_key(store)
    revoked = store.keys.revoke(record.id, "operator")
    assert revoked.revoked_us is not None
    assert revoked == store.keys.revoke(record.id, "operator") == store.keys.get(record.id)
    assert ["create", "revoke"] == [change.action for change in store.changes.since(0)]


def test_same_key_twice(tmp_path: pathlib.Path) -> None:
    """A key is stored once, under whatever name."""
    store = new_store(tmp_path)
    record = new_key(store)
    again = msgspec.structs.replace(record, id="key_other", name="other")
    with pytest.raises(Duplicate):
        store.keys.add(again, "test")
    assert [record] == store.keys.all()


def test_no_key_is_stored(tmp_path: pathlib.Path) -> None:
    """The bytes of the home hold neither the key nor its random part."""
    store = new_store(tmp_path)
    value = keys.mint(b"0123456789abcdef")
    head, tail = keys.shown(value)
    digest = keys.digest(value)
    record = KeyRecord(id="k", name="n", digest=digest, head=head, tail=tail, created_us=1)
    store.keys.add(record, "test")
    found = [
        p for p in tmp_path.rglob("*") if p.is_file() and value[8:-4].encode() in p.read_bytes()
    ]
    assert [] == found
    store.close()
