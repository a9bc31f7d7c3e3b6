"""The gate: who asks is known, unknown callers are refused, changes take effect."""

import asyncio
import pathlib
import time

import pytest

from baton.admission import gate as gates
from baton.admission import issue
from baton.admission.gate import Gate, credential
from baton.errors import RequestError
from baton.stores.book import Store
from tests.bookkeeping import new_store


def refusal(gate: Gate, authorization: bytes | None) -> tuple[int, str | None]:
    with pytest.raises(RequestError) as refused:
        asyncio.run(gate.identify(authorization))
    return refused.value.status, refused.value.code


def made(store: Store, **options: object) -> tuple[str, bytes]:
    """A key's id, and what its caller sends."""
    record, value = issue.create(store, "k", "test", **options)
    return record.id, f"Bearer {value}".encode()


def test_known_after_the_first_time(tmp_path: pathlib.Path) -> None:
    """The first request looks the key up, the next ones do not; the scheme's case does not
    matter."""
    store = new_store(tmp_path)
    key_id, shown = made(store, models=["a"])
    gate = Gate(store.keys)
    assert gate.known(shown) is None
    caller = asyncio.run(gate.identify(shown))
    assert key_id == caller.record.id == caller.payer.key_id
    assert caller is gate.known(shown)
    assert (True, False) == (caller.allowed("a"), caller.allowed("b"))
    lower = shown.replace(b"Bearer ", b"bearer  ")
    assert key_id == asyncio.run(gate.identify(lower)).record.id
    store.close()
    assert caller is asyncio.run(gate.identify(shown)), "without the store"


@pytest.mark.parametrize(
    ("shown", "code"),
    [
        (None, "missing_api_key"),
        (b"", "missing_api_key"),
        (b"Bearer", "missing_api_key"),
        (b"Bearer ", "missing_api_key"),
        (b"Basic dXNlcjpwYXNz", "missing_api_key"),
        (b"sk-without-a-scheme-000000", "missing_api_key"),
        (b"Bearer sk-short", "invalid_api_key"),
        (b"Bearer sk-unknown-but-long-enough", "invalid_api_key"),
        (b"Bearer sk-bt-0000000000000000000000000000", "invalid_api_key"),
        (b"Bearer sk-\xff\xfe" + b"x" * 30, "invalid_api_key"),
        (b"Bearer sk-' OR 1=1; --                ", "invalid_api_key"),
        (b"Bearer sk-" + b"x" * 100_000, "invalid_api_key"),
    ],
)
def test_who_is_not_known(tmp_path: pathlib.Path, shown: bytes | None, code: str) -> None:
    """Whatever is shown, the answer is a 401 that says what is missing."""
    assert (401, code) == refusal(Gate(new_store(tmp_path).keys), shown)


def test_malformed_keys_are_not_looked_up(tmp_path: pathlib.Path) -> None:
    """A bad checksum costs no query: it is refused even when the store is away."""
    store = new_store(tmp_path)
    gate = Gate(store.keys)
    (tmp_path / "baton.db").rename(tmp_path / "away.db")
    store.close()
    mistyped = b"Bearer sk-bt-0000000000000000000000000000"
    assert (401, "invalid_api_key") == refusal(gate, mistyped)


def test_revoked_and_expired_keys(tmp_path: pathlib.Path) -> None:
    """A revoked key is refused once the change is told, an expired one at its time."""
    store = new_store(tmp_path)
    key_id, shown = made(store)
    _, expired = made(store, expires_us=time.time_ns() // 1000 - 1)
    gate = Gate(store.keys)
    asyncio.run(gate.identify(shown))
    assert (401, "invalid_api_key") == refusal(gate, expired)
    store.keys.revoke(key_id, "test")
    gate.changed([key_id])
    assert gate.known(shown) is None
    assert (401, "invalid_api_key") == refusal(gate, shown)


def test_cached_key_expires(tmp_path: pathlib.Path) -> None:
    """A key that is at hand is refused from its time on, without a change."""
    store = new_store(tmp_path)
    _, shown = made(store, expires_us=time.time_ns() // 1000 + 60_000_000)
    caller = asyncio.run(Gate(store.keys).identify(shown))
    assert (True, False) == (caller.valid(time.time()), caller.valid(time.time() + 61))


def test_changes_reach_the_caller(tmp_path: pathlib.Path) -> None:
    """After a change the key is read anew; what was used of its rate is not forgotten."""
    store = new_store(tmp_path)
    key_id, shown = made(store, requests_per_minute=2)
    gate = Gate(store.keys)
    caller = asyncio.run(gate.identify(shown))
    for _ in range(2):
        assert "2" == dict(gate.admit_rate(caller, 5.0))["x-ratelimit-limit-requests"]
    with pytest.raises(RequestError) as refused:
        gate.admit_rate(caller, 5.0)
    headers = dict(refused.value.headers)
    assert (429, "30000", "0") == (
        refused.value.status,
        headers["retry-after-ms"],
        headers["x-ratelimit-remaining-requests"],
    )
    store.keys.update(key_id, "test", budget_nano=7)
    gate.changed([key_id])
    again = asyncio.run(gate.identify(shown))
    assert (again.record.account,) == again.payer.limited
    with pytest.raises(RequestError):
        gate.admit_rate(again, 5.0)
    unlimited = asyncio.run(gate.identify(made(store)[1]))
    assert () == gate.admit_rate(unlimited, 5.0)


def test_new_key_works_though_it_was_refused(tmp_path: pathlib.Path) -> None:
    """A key that was tried before it existed works once its creation is told."""
    store = new_store(tmp_path)
    gate = Gate(store.keys)
    value = "sk-tried-too-early-000000000"
    assert (401, "invalid_api_key") == refusal(gate, f"Bearer {value}".encode())
    record = issue.import_key(store, "late", value, "test")
    gate.changed([record.id])
    assert record == asyncio.run(gate.identify(f"Bearer {value}".encode())).record


def test_caches_are_bounded(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many keys come, as many as the cap are kept, the latest used ones."""
    store = new_store(tmp_path)
    monkeypatch.setattr(gates, "CALLERS_MAX", 3)
    monkeypatch.setattr(gates, "REFUSED_MAX", 3)
    gate = Gate(store.keys)
    shown = [made(store)[1] for _ in range(5)]
    for each in shown[:3]:
        asyncio.run(gate.identify(each))
    gate.known(shown[0])
    for each in shown[3:]:
        asyncio.run(gate.identify(each))
    assert [0, 3, 4] == [number for number in range(5) if gate.known(shown[number])]
    for number in range(9):
        refusal(gate, f"Bearer sk-unknown-000000000000-{number}".encode())
    assert 3 == len(gate._refused)


def test_store_away(tmp_path: pathlib.Path) -> None:
    """When keys cannot be looked up, the answer is 503, not 401."""
    store = new_store(tmp_path)
    _, shown = made(store)
    store.close()
    for path in tmp_path.glob("baton.db*"):
        path.unlink()
    (tmp_path / "baton.db").mkdir()
    assert (503, "overloaded") == refusal(Gate(store.keys), shown)


def test_one_extractor_for_all_headers() -> None:
    """Authorization, else x-api-key; never from anywhere else."""
    bearer = (b"authorization", b"Bearer sk-a")
    api_key = (b"x-api-key", b" sk-b ")
    cookie = (b"cookie", b"key=sk-c")
    assert b"Bearer sk-a" == credential([api_key, bearer])
    assert b"Bearer sk-b" == credential([cookie, api_key])
    assert credential([cookie]) is None
