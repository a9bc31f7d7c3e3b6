"""Another master key: all that is sealed opens with it, and with nothing else any more."""

import contextlib
import pathlib
from collections.abc import Iterator

import msgspec
import pytest

from baton.stores import journals, rekey
from baton.stores.base import KeyRecord, StoreError, Unfit, Unsealable
from baton.stores.book import Store
from baton.stores.contents import RESEALED_ROWS
from baton.stores.journals import Term
from baton.stores.master import FILE_NAME, NEXT_NAME, create, master_key, read
from baton.stores.rekey import Resealed, reseal
from baton.stores.vault import Vault
from tests.bookkeeping import book_of, new_key, new_store
from tests.stores.test_contents import CONTENT, NOW_US, heard
from tests.stores.test_idempotency import CLAIM, MUCH, PLACE, claim
from tests.stores.test_upstreams import FULL, PLAIN

NEXT, OTHER = bytes(range(32)), bytes(32)
MANY = msgspec.structs.replace(PLAIN, name="many", more_secrets=("b",), headers={"x": "c"})


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Store:
    found = new_store(tmp_path)
    for record in (PLAIN, FULL, MANY):
        found.upstreams.add(record, "test")
    return found


@pytest.fixture
def present(store: Store) -> bytes:
    return master_key("", store.home)


@contextlib.contextmanager
def under(store: Store, master: bytes) -> Iterator[Store]:
    """The book as a process with that master key sees it."""
    with contextlib.closing(Store(store.home, Vault(master), book_of(store))) as opened:
        yield opened


def readable(store: Store, request_id: str, key: KeyRecord) -> bool:
    try:
        _, found = store.contents.read(request_id, key.id, "test", NOW_US)
    except Unfit:
        return False
    return found == CONTENT


def test_everything_opens_with_the_next_key(store: Store, present: bytes) -> None:
    """Provider keys, further ones and headers, contents of every step; what cannot be carried over
    is gone, and the log of changes tells it without a word of a key."""
    key = new_key(store, keep_content_days=3)
    ids = [f"r{number}" for number in range(RESEALED_ROWS + 1)]
    store.contents.keep([heard(key, each) for each in ids])
    store.idempotency.begin(CLAIM)
    store.idempotency.keep(PLACE, "a", "r", b"answer", MUCH)
    store.idempotency.charged(PLACE, "a")
    told = Resealed(upstreams=2, contents=len(ids), answers_forgotten=1)
    assert told == reseal(store.database, present, NEXT, "op")
    with under(store, NEXT) as after:
        assert [FULL, MANY, PLAIN] == after.upstreams.all(secrets=True)
        assert all(readable(after, each, key) for each in ids)
        assert "mine" == after.idempotency.begin(claim(owner="b"))
    with pytest.raises(Unsealable):
        store.upstreams.get("far", secrets=True)
    assert not readable(store, "r0", key)
    entry = store.changes.newest_first(kind=rekey.KIND)[0]
    assert ("op", "update", "") == (entry.actor, entry.action, entry.detail)


def test_again_is_as_once(store: Store, present: bytes) -> None:
    """A change that broke off behind its transaction is begun anew; what came since is carried."""
    key = new_key(store, keep_content_days=3)
    reseal(store.database, present, NEXT, "op")
    with under(store, NEXT) as after:
        after.contents.keep([heard(key, "new")])
        late = msgspec.structs.replace(FULL, name="late")
        store.upstreams.add(late, "test")  # by one that had the earlier key
        told = Resealed(upstreams=1, contents=0, answers_forgotten=0)
        assert told == reseal(store.database, present, NEXT, "op")
        assert late == after.upstreams.get("late", secrets=True)
        assert FULL == after.upstreams.get("far", secrets=True)
        assert readable(after, "new", key)


def test_a_wrong_key_changes_nothing(store: Store, present: bytes) -> None:
    """Where one provider key opens with neither, all stay as they were; a content that nobody could
    open stands in no change's way."""
    key = new_key(store, keep_content_days=3)
    with under(store, OTHER) as other:
        other.contents.keep([heard(key, "lost")])
        store.upstreams.remove("many", "test")
        other.upstreams.add(MANY, "test")
    with pytest.raises(Unsealable, match="upstream:many"):
        reseal(store.database, present, NEXT, "op")
    assert FULL == store.upstreams.get("far", secrets=True)
    store.upstreams.remove("many", "test")
    told = Resealed(upstreams=1, contents=0, answers_forgotten=0)
    assert told == reseal(store.database, present, NEXT, "op")
    with under(store, OTHER) as other:
        assert readable(other, "lost", key)


def test_not_while_a_process_lives(store: Store, present: bytes) -> None:
    """Nor before the term of one that was lost is over: it would go on with the earlier key."""
    term = Term(process_s=60.0, book_s=90.0)
    held = journals.enter(store.database, "a", "0", term, seal=store.seal)
    with pytest.raises(StoreError, match="stop it on all machines"):
        reseal(store.database, present, NEXT, "op")
    assert FULL == store.upstreams.get("far", secrets=True)
    journals.return_leases(store.database, held, leaving=True)
    assert 2 == reseal(store.database, present, NEXT, "op").upstreams


def test_the_file_is_changed_last(store: Store, present: bytes) -> None:
    """Until then both keys are there, and beginning again goes on with the same; another one is
    refused meanwhile."""
    home = store.home
    fresh = rekey.begin(home, None)
    assert fresh not in (present, NEXT)
    assert present == master_key("", home)
    assert 0o600 == (home / NEXT_NAME).stat().st_mode & 0o777
    assert fresh == rekey.begin(home, None) == rekey.begin(home, fresh)
    with pytest.raises(StoreError, match="finish that one first"):
        rekey.begin(home, NEXT)
    rekey.finish(home)
    assert fresh == master_key("", home) == read(home / FILE_NAME)
    assert not (home / NEXT_NAME).exists()
    assert NEXT == rekey.begin(home, NEXT)


def test_a_damaged_file(tmp_path: pathlib.Path) -> None:
    """Is named, and its content is not told."""
    (tmp_path / NEXT_NAME).write_bytes(b"\xffcanary")
    with pytest.raises(StoreError, match=NEXT_NAME) as refused:
        rekey.begin(tmp_path, None)
    assert "canary" not in str(refused.value)
    create(tmp_path / NEXT_NAME, NEXT)  # what is there stays
    assert b"\xffcanary" == (tmp_path / NEXT_NAME).read_bytes()
