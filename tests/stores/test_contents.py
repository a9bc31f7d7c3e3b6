"""Kept contents: of keys that want it, sealed, for their days, and nobody reads them unseen."""

import contextlib
import pathlib
from typing import Any

import msgspec
import pytest
import sqlalchemy

from baton.stores import contents
from baton.stores.base import KeyRecord, Missing, Unfit
from baton.stores.book import Store, book_path
from baton.stores.contents import Content, Contents, Heard, Kept
from baton.stores.kept_tables import content
from baton.stores.sums import DAY_US
from baton.stores.vault import Seal
from tests.bookkeeping import new_key, new_store

NOW_US = 1_800_000_000_000_000
PROMPT = "a canaryprompt that nobody shall find"
CONTENT = Content(
    prompts=[PROMPT, [1, 2, 2**31]],
    suffix="rest \0 of it",
    completions={0: "canaryanswer", 3: "\u202eb"},
    cut_at_bytes=None,
    bytes=77,
)


def heard(key: KeyRecord, request_id: str = "r", **fields: Any) -> Heard:
    given = {"request_id": request_id, "key_id": key.id, "created_us": NOW_US, "content": CONTENT}
    return Heard(**{**given, **fields})


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Store:
    return new_store(tmp_path)


@pytest.fixture
def key(store: Store) -> KeyRecord:
    return new_key(store, keep_content_days=3)


def readable(store: Store, request_id: str, key: KeyRecord, at_us: int) -> bool:
    return store.contents.about(request_id, key.id, at_us) is not None


def rows(store: Store) -> int:
    with store.database.reading() as connection:
        query = sqlalchemy.select(sqlalchemy.func.count()).select_from(content)
        return int(connection.scalar(query) or 0)


def test_what_is_kept_is_read(store: Store, key: KeyRecord) -> None:
    """Whole, as it was, until its days are over; writing it twice keeps it once."""
    assert 1 == store.contents.keep([heard(key)])
    assert 1 == store.contents.keep([heard(key)])
    until = Kept(until_us=NOW_US + 3 * DAY_US, bytes=77)
    assert until == store.contents.about("r", key.id, NOW_US)
    assert (until, CONTENT) == store.contents.read("r", key.id, "somebody", NOW_US)
    assert store.contents.about("r", key.id, until.until_us) is None
    with pytest.raises(Missing):
        store.contents.read("r", key.id, "somebody", until.until_us)
    assert 1 == rows(store)


def test_each_reading_is_in_the_log(store: Store, key: KeyRecord) -> None:
    """With who read what; looking whether there is something is none, nor is finding nothing."""
    store.contents.keep([heard(key)])
    before = store.changes.latest()
    store.contents.about("r", key.id, NOW_US)
    for request_id, key_id in (("other", key.id), ("r", "key_other")):
        with pytest.raises(Missing):
            store.contents.read(request_id, key_id, "somebody", NOW_US)
    assert [] == store.changes.since(before)
    store.contents.read("r", key.id, "key:admin", NOW_US)
    [entry] = store.changes.since(before)
    assert ("key:admin", "content", "r", "read") == (
        *(entry.actor, entry.kind),
        *(entry.object_id, entry.action),
    )
    assert {"key": key.id} == msgspec.json.decode(entry.detail)


def test_off_is_the_default(store: Store, key: KeyRecord) -> None:
    """Of a key that did not opt in nothing is kept; of one beside it in the same batch it is."""
    other = new_key(store, "other")
    assert 0 == other.keep_content_days
    assert 0 == store.contents.keep([heard(other)])
    assert 1 == store.contents.keep([heard(other, "a"), heard(key, "b")])
    assert 1 == rows(store)


def test_switching_it_off_removes_all(
    store: Store, key: KeyRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In steps; what was still on its way is not kept any more, what others have is."""
    monkeypatch.setattr(contents, "REMOVED_ROWS_MAX", 2)
    other = new_key(store, "other", keep_content_days=1)
    store.contents.keep([heard(key, f"r{n}") for n in range(5)] + [heard(other, "theirs")])
    store.keys.update(key.id, "test", keep_content_days=0)
    assert 1 == rows(store)
    assert 0 == store.contents.keep([heard(key, "late")])
    assert not readable(store, "r0", key, NOW_US)
    assert readable(store, "theirs", other, NOW_US)


def test_what_cannot_be_removed_at_once_is_not_readable(
    store: Store, key: KeyRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the removal is cut short, the next pruning does the rest."""
    store.contents.keep([heard(key)])
    monkeypatch.setattr(contents, "forget", lambda database, key_id: None)
    store.keys.update(key.id, "test", keep_content_days=0)
    assert 1 == rows(store)
    assert not readable(store, "r", key, NOW_US)
    assert 1 == store.contents.prune(NOW_US)
    assert 0 == rows(store)


def test_fewer_days_hold_for_what_is_there(store: Store, key: KeyRecord) -> None:
    """More days do not: callers were told how long when they asked."""
    store.contents.keep([heard(key)])
    store.keys.update(key.id, "test", keep_content_days=30)
    assert not readable(store, "r", key, NOW_US + 3 * DAY_US)
    store.keys.update(key.id, "test", keep_content_days=1)
    assert readable(store, "r", key, NOW_US + DAY_US - 1)
    assert not readable(store, "r", key, NOW_US + DAY_US)
    assert 0 == store.contents.prune(NOW_US + DAY_US - 1)
    assert 1 == store.contents.prune(NOW_US + DAY_US)


def test_pruning(store: Store, key: KeyRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    """Goes by each content's own time, in steps; a revoked key's stay for their days."""
    monkeypatch.setattr(contents, "REMOVED_ROWS_MAX", 2)
    old = [heard(key, f"old{n}", created_us=NOW_US - n) for n in range(5)]
    store.contents.keep([*old, heard(key, "young", created_us=NOW_US + 1)])
    store.keys.revoke(key.id, "test")
    assert 0 == store.contents.prune(NOW_US)
    assert 5 == store.contents.prune(NOW_US + 3 * DAY_US)
    assert readable(store, "young", key, NOW_US + 3 * DAY_US)


def test_it_opens_where_it_belongs_alone(store: Store, key: KeyRecord) -> None:
    """Moved to another request, or under another master key, it does not open, and nobody has read
    it; answers for idempotency keys are sealed under another key."""
    store.contents.keep([heard(key, "a")])
    with store.database.writing() as connection:
        connection.execute(content.update().values(request_id="b"))
    before = store.changes.latest()
    with pytest.raises(Unfit, match="another master key"):
        store.contents.read("b", key.id, "somebody", NOW_US)
    store.contents.keep([heard(key, "c")])
    for seal in (Seal(b"\1" * 32, "content"), store.idempotency.seal):
        with pytest.raises(Unfit):
            Contents(store.database, seal).read("c", key.id, "somebody", NOW_US)
    assert before == store.changes.latest()


def test_nothing_of_it_is_in_the_file(tmp_path: pathlib.Path, key: KeyRecord, store: Store) -> None:
    """Not a word, on the disk of this machine."""
    store.contents.keep([heard(key)])
    with contextlib.suppress(FileNotFoundError):  # the book may be on a server
        found = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
        assert found or not book_path(tmp_path).exists()
        assert [] == [
            text for text in (b"canaryprompt", b"canaryanswer") if text in b"".join(found)
        ]
    with store.database.reading() as connection:
        stored = b"".join(connection.scalars(sqlalchemy.select(content.c.sealed)))
    assert stored
    assert b"canary" not in stored
