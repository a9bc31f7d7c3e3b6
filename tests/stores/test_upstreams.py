"""Upstreams in the book: whole records, provider keys sealed."""

import contextlib
import pathlib

import pytest

from baton.stores.base import Duplicate, Missing, Overtaken, UpstreamRecord
from tests.bookkeeping import new_store

SECRET = "sk-provider-canary-5f2c9e"
FULL = UpstreamRecord(
    name="far",
    url="https://far.example/v1",
    dialect="openai",
    models={"public": "theirs"},
    secret=SECRET,
    allow_private=False,
    in_flight_max=7,
    first_byte_timeout_s=1.5,
    stall_timeout_s=2.5,
    total_timeout_s=3.5,
    priority=1,
    weight=50,
    fields=("top_k",),
    created_us=5,
)
PLAIN = UpstreamRecord(name="near", url="http://near", dialect="vllm", models={})


def test_what_goes_in_comes_out(tmp_path: pathlib.Path) -> None:
    """Every field survives; the secret only where it is asked for."""
    store = new_store(tmp_path)
    store.upstreams.add(PLAIN, "test")
    store.upstreams.add(FULL, "test")
    assert [FULL, PLAIN] == store.upstreams.all(secrets=True)
    assert [None, None] == [record.secret for record in store.upstreams.all()]
    assert FULL == store.upstreams.get("far", secrets=True)
    assert {"far": FULL, "near": PLAIN} == store.catalogue().upstreams
    with pytest.raises(Duplicate):
        store.upstreams.add(PLAIN, "test")


def test_update_keeps_the_secret(tmp_path: pathlib.Path) -> None:
    """A change of something else leaves the provider key; it is changed and forgotten by name."""
    store = new_store(tmp_path)
    store.upstreams.add(FULL, "test")
    assert 9 == store.upstreams.update("far", "test", weight=9).weight
    assert SECRET == store.upstreams.get("far", secrets=True).secret
    store.upstreams.update("far", "test", secret="sk-other")
    assert "sk-other" == store.upstreams.get("far", secrets=True).secret
    store.upstreams.update("far", "test", secret=None)
    assert store.upstreams.get("far", secrets=True).secret is None
    with pytest.raises(Missing):
        store.upstreams.update("nowhere", "test", weight=1)


def test_what_another_changed_is_not_undone(tmp_path: pathlib.Path) -> None:
    """A change is of what its maker saw: else it is refused, and nothing of it is done."""
    store = new_store(tmp_path)
    store.upstreams.add(FULL, "test")
    seen = {"models": dict(FULL.models), "weight": FULL.weight}
    more = {**FULL.models, "more": "its/own"}
    store.upstreams.update(FULL.name, "one", seen, models=more)
    with pytest.raises(Overtaken, match="models"):
        store.upstreams.update(FULL.name, "another", seen, models={"other": "o"}, weight=7)
    store.upstreams.update(FULL.name, "another", seen, weight=8)
    found = store.upstreams.get(FULL.name)
    assert (more, 8) == (found.models, found.weight)


def test_remove(tmp_path: pathlib.Path) -> None:
    """What is removed is gone; what is not there cannot be."""
    store = new_store(tmp_path)
    store.upstreams.add(PLAIN, "test")
    store.upstreams.remove("near", "test")
    assert [] == store.upstreams.all()
    with pytest.raises(Missing):
        store.upstreams.get("near")
    with pytest.raises(Missing):
        store.upstreams.remove("near", "test")


def test_no_provider_key_is_stored_or_shown(tmp_path: pathlib.Path) -> None:
    """The secret is in no file of the home, in no change log, in no repr."""
    store = new_store(tmp_path)
    store.upstreams.add(FULL, "test")
    store.upstreams.update("far", "test", secret=SECRET + "2", weight=3)
    store.close()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [] == [path for path in files if b"canary" in path.read_bytes()]
    assert "canary" not in repr(FULL)


def test_keys_and_headers_are_sealed(tmp_path: pathlib.Path) -> None:
    """Further keys and header values come back, and stand nowhere in the book or its log."""
    secrets = ("sk-first-0000000", "sk-second-000000", "header-value-0000")
    record = UpstreamRecord(
        name="up",
        url="http://h",
        dialect="openai",
        models={"a": "b"},
        secret=secrets[0],
        more_secrets=secrets[1:2],
        headers={"X-Org": secrets[2]},
    )
    with contextlib.closing(new_store(tmp_path)) as store:
        store.upstreams.add(record, "test")
        assert store.upstreams.get("up", secrets=True) == record
        closed = store.upstreams.get("up")
        assert (closed.secret, closed.more_secrets, closed.headers) == (None, (), {})
        store.upstreams.update("up", "test", headers={"X-Org": secrets[2] + "x"}, weight=3)
        changed = store.upstreams.get("up", secrets=True)
        assert changed.headers == {"X-Org": secrets[2] + "x"}
        assert changed.more_secrets == record.more_secrets
        details = [change.detail for change in store.changes.since(0)]
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for secret in secrets:
        assert secret.encode() not in stored
        assert all(secret not in detail for detail in details)
