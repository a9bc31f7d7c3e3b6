"""Keys in the book: found by digest, changed and revoked with a trace, never stored."""

import pathlib
from typing import Any

import msgspec
import pytest

from baton.admission import keys
from baton.admission.issue import imported
from baton.stores.base import (
    BudgetRecord,
    Duplicate,
    KeyRecord,
    Missing,
    Overtaken,
    PartyRecord,
    StoreError,
    Unfit,
)
from baton.stores.keys import CHANGEABLE
from tests.bookkeeping import new_key, new_store

FULL: dict[str, Any] = {
    "role": "admin",
    "expires_us": 2_000_000_000_000_000,
    "models": ("a", "b"),
    "default_model": "a",
    "requests_per_minute": 60,
    "budget_nano": 5 * 10**9,
    "strict": True,
    "deterministic": True,
    "parse_special": False,
    "tokens_per_minute": 6_000,
    "requests_at_once": 3,
    "networks": ("10.0.0.0/8",),
    "keep_content_days": 7,
    "budgets": (BudgetRecord(amount=5, span="month", zone="Europe/Berlin"),),
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
    told = msgspec.json.decode(change.detail)
    assert set(changes) == set(told["after"])
    assert {"k", None} == {told["before"]["name"], told["before"]["requests_per_minute"]}
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


def rotated(record: KeyRecord, value: str, until_us: int) -> KeyRecord:
    fields = {"digest": keys.digest(value), "head": "sk-new", "tail": "2"}
    more = {"previous_digest": record.digest, "previous_until_us": until_us}
    return msgspec.structs.replace(record, **fields, **more)


def test_rotation_keeps_the_value_before(tmp_path: pathlib.Path) -> None:
    """Both values lead to the key, the present one first; of two rotations the last counts; the log
    has no digest."""
    store = new_store(tmp_path)
    first = new_key(store)
    second = store.keys.rotate(rotated(first, "second", 7), "operator")
    assert (first.digest, 7, first.id) == (
        *(second.previous_digest, second.previous_until_us),
        second.id,
    )
    for digest in (first.digest, second.digest):
        assert second == store.keys.by_digest(digest)
    third = store.keys.rotate(rotated(second, "third", 8), "operator")
    assert store.keys.by_digest(first.digest) is None
    assert third == store.keys.by_digest(second.digest)
    other = new_key(store, "other")
    again = rotated(third, "again", 9)
    with pytest.raises(Duplicate):
        store.keys.rotate(msgspec.structs.replace(again, digest=other.digest), "operator")
    log = "".join(change.detail for change in store.changes.since(0))
    assert "hidden" in log
    for record in (first, second, third):
        assert record.digest.hex() not in log
        assert repr(record.digest) not in log
    store.keys.revoke(third.id, "operator")
    with pytest.raises(StoreError, match="revoked"):
        store.keys.rotate(rotated(third, "fourth", 9), "operator")


def test_of_two_rotations_at_once_one_is_done(tmp_path: pathlib.Path) -> None:
    """The value that both saw stays valid for the overlap: a second one would end it at once, and
    the first one's new value was shown to somebody."""
    store = new_store(tmp_path)
    first = new_key(store)
    second = store.keys.rotate(rotated(first, "second", 7), "operator")
    with pytest.raises(Overtaken, match="new value"):
        store.keys.rotate(rotated(first, "third", 8), "operator")
    assert second == store.keys.by_digest(first.digest) == store.keys.by_digest(second.digest)


def test_a_default_model_stays_among_the_models(tmp_path: pathlib.Path) -> None:
    """Whichever of two changes is written last, each of which fitted what its maker saw. What is
    there already does not keep other things from being changed."""
    store = new_store(tmp_path)
    key = new_key(store, models=("a", "b"))
    store.keys.update(key.id, "one", models=("a",))
    with pytest.raises(Unfit, match="default model"):
        store.keys.update(key.id, "another", default_model="b")
    store.keys.update(key.id, "another", default_model="a")
    with pytest.raises(Unfit, match="default model"):
        store.keys.update(key.id, "one", models=("b",))
    older = new_key(store, "older", models=("a",), default_model="b")
    assert "new" == store.keys.update(older.id, "test", name="new").name


def test_what_another_changed_is_not_undone(tmp_path: pathlib.Path) -> None:
    """A change is of what its maker saw: else it is refused, and nothing of it is done."""
    store = new_store(tmp_path)
    key, seen = new_key(store, strict=True), {"budgets": [], "name": "k"}
    day, tokens = BudgetRecord(amount=5, span="day"), BudgetRecord(amount=9, unit="tokens")
    store.keys.update(key.id, "one", None, seen, budgets=(day,))
    with pytest.raises(Overtaken, match="budgets"):
        store.keys.update(key.id, "another", None, seen, name="new", budgets=(tokens,))
    assert ("k", (day,)) == (store.keys.get(key.id).name, store.keys.get(key.id).budgets)
    store.keys.update(key.id, "another", None, seen, name="new", budgets=(day,))
    assert ("new", (day,)) == (store.keys.get(key.id).name, store.keys.get(key.id).budgets)


def test_keys_of_a_party(tmp_path: pathlib.Path) -> None:
    """A key belongs to a party that exists; among given owners, others' keys are not there."""
    store = new_store(tmp_path)
    for name in ("a", "b"):
        store.parties.add(PartyRecord(id=name, kind="organisation", name=name), "test")
    mine, theirs = new_key(store, "mine", owner="a"), new_key(store, "theirs", owner="b")
    new_key(store, "nobody's")
    assert [mine] == store.keys.all(["a"])
    assert 3 == len(store.keys.all())
    assert mine == store.keys.get(mine.id, ["a", "x"])
    with pytest.raises(Missing):
        store.keys.get(theirs.id, ["a"])
    with pytest.raises(Missing):
        store.keys.update(theirs.id, "test", ["a"], name="mine")
    with pytest.raises(Missing):
        store.keys.revoke(theirs.id, "test", ["a"])
    with pytest.raises(Missing):
        new_key(store, "lost", owner="gone")
    assert 3 == len(store.keys.all())


def test_several_at_once(tmp_path: pathlib.Path) -> None:
    """All are there, or, where one of them is stored already, none."""
    store = new_store(tmp_path)
    stored = new_key(store, "stored")
    fresh = [imported(name, f"sk-test-{name:_<40}", **FULL) for name in ("a", "b")]
    with pytest.raises(Duplicate, match="stored already"):
        store.keys.add_all([*fresh, stored], "test")
    assert [stored] == store.keys.all()
    store.keys.add_all(fresh, "test")
    found = sorted(store.keys.all(), key=lambda record: record.name)
    assert [*fresh, stored] == found
