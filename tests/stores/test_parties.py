"""Parties in the book: found by id and name, changed and closed with a trace, walled off."""

import pathlib
from typing import Any

import msgspec
import pytest

from baton.stores.base import (
    BudgetRecord,
    Duplicate,
    Missing,
    PartyKind,
    PartyRecord,
    StoreError,
    Unfit,
)
from baton.stores.book import Store
from baton.stores.parties import CHANGEABLE
from tests.bookkeeping import named_before, new_store

FULL: dict[str, Any] = {
    "name": "renamed",
    "expires_us": 2_000_000_000_000_000,
    "models": ("a", "b"),
    "networks": ("10.0.0.0/8", "::1"),
    "requests_per_minute": 60,
    "tokens_per_minute": 6_000,
    "requests_at_once": 4,
    "budgets": (
        BudgetRecord(amount=7, span="day", zone="Asia/Kathmandu"),
        BudgetRecord(amount=10**6, unit="tokens", span="month"),
    ),
}


def party(kind: PartyKind, named: str, parent: str = "", **fields: Any) -> PartyRecord:
    record = PartyRecord(id=f"{kind}_{named}", kind=kind, name=named, parent=parent)
    return msgspec.structs.replace(record, **fields)


def planted(store: Store) -> dict[str, PartyRecord]:
    """Two organisations, a team of each, a user of each team."""
    found = {}
    for name in ("one", "two"):
        records = [
            party("organisation", name),
            party("team", name, f"organisation_{name}"),
            party("user", name, f"team_{name}"),
        ]
        for record in records:
            store.parties.add(record, "test")
            found[record.id] = record
    return found


def test_what_goes_in_comes_out(tmp_path: pathlib.Path) -> None:
    """Every field survives, by id and name, in the list and in the lineage."""
    store = new_store(tmp_path)
    full = party("organisation", "full", **{**FULL, "name": "full"})
    store.parties.add(full, "test")
    assert full == store.parties.get(full.id)
    assert [full] == store.parties.find("full") == store.parties.find(full.id, "organisation")
    assert [] == store.parties.find("full", "team")
    parties = planted(store)
    assert 7 == len(store.parties.all())
    assert {"team_one", "team_two"} == {each.id for each in store.parties.all("team")}
    lineage = store.parties.lineage("user_one")
    assert ["user_one", "team_one", "organisation_one"] == [each.id for each in lineage]
    assert parties["team_one"] == lineage[1]
    with pytest.raises(Missing):
        store.parties.lineage("gone")


def test_every_changeable_field_changes(tmp_path: pathlib.Path) -> None:
    """An update changes what it names, and the log has what was and what is."""
    store = new_store(tmp_path)
    before = planted(store)["team_one"]
    seq = store.changes.latest()
    assert FULL.keys() == CHANGEABLE
    changed = store.parties.update("team_one", "operator", **FULL)
    assert msgspec.structs.replace(before, **FULL) == changed == store.parties.get("team_one")
    (change,) = store.changes.since(seq)
    assert ("operator", "team", "team_one", "update") == (
        *(change.actor, change.kind),
        *(change.object_id, change.action),
    )
    told = msgspec.json.decode(change.detail)
    assert {"name": "one", "requests_per_minute": None} == {
        name: told["before"][name] for name in ("name", "requests_per_minute")
    }
    assert FULL.keys() == told["after"].keys()
    with pytest.raises(Missing):
        store.parties.update("gone", "operator", name="x")
    with pytest.raises(Duplicate):
        store.parties.update("organisation_one", "operator", name="two")


def test_nothing_reaches_beyond_its_party(tmp_path: pathlib.Path) -> None:
    """Within one organisation, or one team, another's parties are not there."""
    store = new_store(tmp_path)
    planted(store)
    assert {"team_one", "user_one"} == store.parties.reach("team_one")
    for within in ("organisation_one", "team_one"):
        assert "user_one" == store.parties.get("user_one", within).id
        assert {"user_one"} == {each.id for each in store.parties.all("user", within)}
        with pytest.raises(Missing):
            store.parties.get("user_two", within)
        with pytest.raises(Missing):
            store.parties.update("user_two", "x", within, name="mine")
        with pytest.raises(Missing):
            store.parties.close("user_two", "x", within)
    with pytest.raises(Missing):
        store.parties.get("organisation_one", "team_one")
    assert store.parties.get("user_two").closed_us is None


def test_closing(tmp_path: pathlib.Path) -> None:
    """A closed party stays closed at its first time, and takes nobody in."""
    store = new_store(tmp_path)
    planted(store)
    closed = store.parties.close("organisation_one", "test")
    assert closed.closed_us is not None
    seq = store.changes.latest()
    assert closed == store.parties.close("organisation_one", "test")
    assert seq == store.changes.latest(), "nothing changed"
    with pytest.raises(StoreError, match="closed"):
        store.parties.add(party("user", "late", "team_one"), "test")


@pytest.mark.parametrize(
    ("record", "error"),
    [
        (party("team", "x"), StoreError),
        (party("organisation", "x", "organisation_one"), StoreError),
        (party("team", "x", "team_one"), StoreError),
        (party("user", "x", "user_one"), StoreError),
        (party("user", "x", "gone"), Missing),
        (party("team", "one", "organisation_one", id="other"), Duplicate),
        (party("organisation", "x", budgets=(BudgetRecord(amount=1, zone="Mars"),)), StoreError),
        (party("organisation", "x", budgets=(BudgetRecord(amount=1),) * 2), StoreError),
    ],
)
def test_what_cannot_be(
    tmp_path: pathlib.Path, record: PartyRecord, error: type[Exception]
) -> None:
    """A parent of the wrong kind or none, a name taken, a senseless budget: nothing is stored."""
    store = new_store(tmp_path)
    planted(store)
    there, seq = store.parties.all(), store.changes.latest()
    with pytest.raises(error):
        store.parties.add(record, "test")
    assert (there, seq) == (store.parties.all(), store.changes.latest())


def test_a_name_is_a_part_of_a_path(tmp_path: pathlib.Path) -> None:
    """So none gets a '/' or a control character; one that has it keeps it."""
    store = new_store(tmp_path)
    for name in ("a/b", "/", "a\x00", "a\nb", "a\x7f", "a\x85", "a\u2028"):
        with pytest.raises(Unfit, match=r"no ('/'|control characters)"):
            store.parties.add(party("organisation", name), "test")
    store.parties.add(party("organisation", "Größe 1 – 部门 (a.b)"), "test")
    [there] = store.parties.all()
    with pytest.raises(Unfit):
        store.parties.update(there.id, "test", name="a/b")
    assert [there] == store.parties.all()
    named_before(store, there.id, "a/b")
    assert "a/b" == store.parties.update(there.id, "test", name="a/b", tokens_per_minute=1).name
