"""Places of idempotency keys: who may work on one, and what is found there."""

import asyncio
import pathlib
from typing import Any

import msgspec
import pytest

from baton.stores.base import StoreError
from baton.stores.book import Store
from baton.stores.idempotency import Claim, Place
from baton.stores.vault import Seal
from tests.bookkeeping import PRICE, intent, ledger_of, new_key, new_store, outcome

PLACE = Place("key_1", b"digest")
CLAIM = Claim(place=PLACE, fingerprint=b"f", owner="a", now_us=1_000, lease_us=100, kept_us=10_000)
MUCH = 10**6


def claim(**fields: Any) -> Claim:
    return msgspec.structs.replace(CLAIM, **fields)


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Store:
    return new_store(tmp_path)


def test_one_owner(store: Store) -> None:
    """The first claim has the place; others wait for it while it lives, then take it over."""
    kept = store.idempotency
    assert "mine" == kept.begin(CLAIM)
    assert "busy" == kept.begin(claim(owner="b"))
    kept.renew("a", 2_000)
    assert "busy" == kept.begin(claim(owner="b", now_us=1_999))
    assert "mine" == kept.begin(claim(owner="b", now_us=2_000))
    assert not kept.keep(PLACE, "a", "r", b"answer", MUCH)
    assert kept.keep(PLACE, "b", "r", b"answer", MUCH)


def test_an_answer(store: Store) -> None:
    """Once charged it is found by equal requests for as long as it is kept."""
    kept = store.idempotency
    kept.begin(CLAIM)
    kept.keep(PLACE, "a", "r", b"answer", MUCH)
    assert "busy" == kept.begin(claim(owner="b"))
    kept.charged(PLACE, "a")
    assert b"answer" == kept.begin(claim(owner="b", now_us=10_999))
    assert "mismatch" == kept.begin(claim(fingerprint=b"other"))
    kept.drop(PLACE, "a")
    assert b"answer" == kept.begin(claim(owner="b"))
    assert "mine" == kept.begin(claim(owner="b", now_us=11_000))


def test_a_dropped_place_is_free(store: Store) -> None:
    """Also for another request."""
    kept = store.idempotency
    kept.begin(CLAIM)
    assert "mismatch" == kept.begin(claim(fingerprint=b"other"))
    kept.drop(PLACE, "b")
    assert "busy" == kept.begin(CLAIM)
    kept.drop(PLACE, "a")
    assert "mine" == kept.begin(claim(fingerprint=b"other"))


@pytest.mark.parametrize(
    ("state", "verdict"), [("settled", b"answer"), ("interrupted", "mine"), (None, "busy")]
)
def test_kept_by_one_that_died(
    tmp_path: pathlib.Path, state: str | None, verdict: str | bytes
) -> None:
    """Whether it was charged, the ledger knows: then it is the answer, else it is made anew; until
    the ledger knows, nobody may."""
    store = new_store(tmp_path)
    store.prices.set(PRICE, "test")

    async def run() -> None:
        async with ledger_of(store) as ledger:
            hold = await ledger.hold(intent(new_key(store), "r"))
            await ledger.durable(ledger.settle(hold, outcome(state=state)))

    store.idempotency.begin(CLAIM)
    store.idempotency.keep(PLACE, "a", "r", b"answer", MUCH)
    if state is not None:
        asyncio.run(run())
    assert verdict == store.idempotency.begin(claim(owner="b", now_us=2_000))


def test_limits_of_size(store: Store) -> None:
    """What would exceed a caller's bytes is not kept, but known; another caller has its own."""
    kept = store.idempotency
    other, foreign = Place("key_1", b"other"), Place("key_2", b"digest")
    for place in (PLACE, other, foreign):
        kept.begin(claim(place=place))
        kept.keep(place, "a", "r", b"12345678", 15)
        kept.charged(place, "a")
    found = [kept.begin(claim(place=place)) for place in (PLACE, other, foreign)]
    assert [b"12345678", "not_kept", b"12345678"] == found


def test_prune(store: Store) -> None:
    """What was kept long enough goes, in steps; the rest stays."""
    kept = store.idempotency
    for number in range(201):
        kept.begin(claim(place=Place("key_1", b"%d" % number), kept_us=number))
    assert 201 == kept.prune(1_200)
    kept.begin(CLAIM)
    assert 0 == kept.prune(10_999)
    assert "busy" == kept.begin(CLAIM)


def test_nothing_is_readable(tmp_path: pathlib.Path) -> None:
    """Neither the answer nor what the caller chose is on the disk; a value that was moved to
    another place, or opened with another key, does not open."""
    store = new_store(tmp_path)
    seal = store.idempotency.seal
    place = Place("key_1", seal.digest(b"canary-key"))
    store.idempotency.begin(claim(place=place, fingerprint=seal.digest(b"canary-body")))
    store.idempotency.keep(place, "a", "r", b"canary-answer", MUCH)
    store.close()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [] == [path for path in files if b"canary" in path.read_bytes()]
    sealed = seal.seal(place.about, b"x")
    assert b"x" == seal.open(place.about, sealed)
    for about, value in ((PLACE.about, sealed), (place.about, sealed[:-1]), (place.about, b"")):
        with pytest.raises(StoreError):
            seal.open(about, value)
    with pytest.raises(StoreError):
        Seal(bytes(32), "idempotency").open(place.about, sealed)
