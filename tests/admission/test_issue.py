"""Making keys: shown once, found again, bootstrapped once."""

import concurrent.futures
import pathlib

import pytest

from baton.admission import issue, keys
from baton.stores.base import Duplicate, StoreError
from tests.bookkeeping import new_store, settings

FIRST, ADMIN = "sk-first-key-of-a-script-01", "sk-admin-key-of-a-script-01"


def test_created_key_is_found_by_its_value(tmp_path: pathlib.Path) -> None:
    """The value that is returned is the key; the record tells what it looks like and may do."""
    store = new_store(tmp_path)
    record, value = issue.create(store, "team", "operator", models=["m"], requests_per_minute=5)
    assert record == store.keys.by_digest(keys.digest(value))
    assert (value[:8], value[-4:]) == (record.head, record.tail)
    assert ("team", ("m",), 5, "user") == (
        *(record.name, record.models),
        *(record.requests_per_minute, record.role),
    )
    assert value != issue.create(store, "team", "operator")[1]


def test_import_by_value_and_by_digest(tmp_path: pathlib.Path) -> None:
    """A key from another relay works, known by its value or only by its SHA-256; once."""
    store = new_store(tmp_path)
    by_value = issue.import_key(store, "a", FIRST, "test")
    by_digest = issue.import_key(store, "b", keys.digest(ADMIN).hex(), "test")
    assert by_value == store.keys.by_digest(keys.digest(FIRST))
    assert by_digest == store.keys.by_digest(keys.digest(ADMIN))
    with pytest.raises(Duplicate):
        issue.import_key(store, "c", keys.digest(FIRST).hex(), "test")


@pytest.mark.parametrize(
    "value", ["", "sk-short", "password-password-password", "sk-bt-" + "x" * 28]
)
def test_what_is_no_key(tmp_path: pathlib.Path, value: str) -> None:
    """It is refused with what would do, without repeating it."""
    store = new_store(tmp_path)
    with pytest.raises(StoreError, match="SHA-256 in hex") as refused:
        issue.import_key(store, "a", value, "test")
    assert not value or value not in str(refused.value)


def test_first_start_mints_both_keys_once(tmp_path: pathlib.Path) -> None:
    """The first start tells both values; later ones tell nothing and make nothing."""
    store = new_store(tmp_path)
    made = issue.bootstrap(store, settings(tmp_path))
    assert made.key is not None
    assert made.admin_key is not None
    roles = {record.role: record.digest for record in store.keys.all()}
    assert {"user": keys.digest(made.key), "admin": keys.digest(made.admin_key)} == roles
    assert issue.Bootstrap(None, None) == issue.bootstrap(store, settings(tmp_path))


def test_values_from_the_settings(tmp_path: pathlib.Path) -> None:
    """Set values are taken, also when they are set later; what is stored is not told again."""
    store = new_store(tmp_path)
    issue.bootstrap(store, settings(tmp_path))
    given = settings(tmp_path, bootstrap_key=FIRST, admin_key=ADMIN)
    assert issue.Bootstrap(FIRST, ADMIN) == issue.bootstrap(store, given)
    assert issue.Bootstrap(None, None) == issue.bootstrap(store, given)
    assert 4 == len(store.keys.all())
    stored = store.keys.by_digest(keys.digest(ADMIN))
    assert stored is not None
    assert "admin" == stored.role


def test_several_bootstrap_at_once(tmp_path: pathlib.Path) -> None:
    """Set values are stored once, however many processes start."""
    store = new_store(tmp_path)
    given = settings(tmp_path, bootstrap_key=FIRST, admin_key=ADMIN)
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda _: issue.bootstrap(store, given), range(4)))
    assert 1 == sum(each.key is not None for each in made)
    assert 2 == len(store.keys.all())


@pytest.mark.parametrize("setting", ["bootstrap_key", "admin_key"])
def test_impossible_value_stops_the_start(tmp_path: pathlib.Path, setting: str) -> None:
    """A bootstrap value that is no key is told by its setting, not replaced by another; nothing is
    stored, not even the other key, which nobody would be told."""
    store = new_store(tmp_path)
    with pytest.raises(StoreError, match=f"^BATON_{setting.upper()} is no key: a key is"):
        issue.bootstrap(store, settings(tmp_path, **{setting: "secret"}))
    assert [] == store.keys.all()


def test_rotating_makes_a_new_value(tmp_path: pathlib.Path) -> None:
    """The key stays who it is; its new value is ours and is shown once."""
    store = new_store(tmp_path)
    before, old = issue.create(store, "k", "test", models=["a"])
    after, value = issue.rotate(store, before.id, "test", 7)
    assert keys.plausible(value)
    assert old != value
    assert after == store.keys.by_digest(keys.digest(value)) == store.keys.get(before.id)
    assert (before.id, before.models, before.digest, 7) == (
        *(after.id, after.models),
        *(after.previous_digest, after.previous_until_us),
    )
    assert value.startswith(after.head)
