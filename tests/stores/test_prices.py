"""Prices in the book: never changed, numbered, dated."""

import pathlib
import time
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton.ledger.prices import PriceBook
from baton.stores.base import Allowance, Missing, PriceDetails, PriceRecord, Unfit
from baton.stores.book import Store
from baton.stores.prices import marked_up
from tests.bookkeeping import new_store


def test_versions_and_dates(tmp_path: pathlib.Path) -> None:
    """Each price gets the next number; without a date it holds from now on."""
    store = new_store(tmp_path)
    before_us = time.time_ns() // 1000
    now = store.prices.set(PriceRecord(version=0, model="m", effective_us=0, input_pico=3), "test")
    dated = PriceRecord(
        version=0,
        model="m",
        upstream="u",
        effective_us=77,
        input_pico=1,
        cached_input_pico=2,
        output_pico=3,
        request_nano=4,
    )
    later = store.prices.set(dated, "test")
    assert (1, 2) == (now.version, later.version)
    assert before_us <= now.effective_us <= time.time_ns() // 1000
    assert [now, later] == store.prices.all() == list(store.catalogue().prices)
    assert ["price", "price"] == [change.kind for change in store.changes.since(0)]
    assert 2 == store.catalogue().version


DETAILED = PriceRecord(
    version=0,
    model="m",
    upstream="u",
    effective_us=50,
    input_pico=1_001,
    cached_input_pico=3,
    output_pico=10,
    request_nano=5,
    details=PriceDetails(reasoning_pico=15, audio_input_pico=0),
)


def test_a_price_from_now_is_not_behind_one_that_was_from_now(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the clock was set back by an hour: it would hold for that hour only, and is refused
    with a sentence. With a date it is set, and so is that of another model, and a cost; a price
    that was planned is no reason."""
    store, clock = new_store(tmp_path), time.time_ns
    now = cost(0, 1)
    customers = msgspec.structs.replace(now, upstream=None)
    dear = msgspec.structs.replace(customers, input_pico=2)
    planned_us = clock() // 1000 + 10**12
    store.prices.set(msgspec.structs.replace(dear, effective_us=planned_us), "op")
    first = store.prices.set(customers, "op")
    second = store.prices.set(dear, "op")
    assert first.effective_us <= second.effective_us
    monkeypatch.setattr(time, "time_ns", lambda: clock() - 3_600 * 10**9)
    with pytest.raises(Unfit, match=r"set from 20..-.*Z on, which is yet to come.*set back\?"):
        store.prices.set(customers, "op")
    store.prices.set(now, "op")
    store.prices.set(msgspec.structs.replace(customers, model="other"), "op")
    after_us = second.effective_us + 1
    third = store.prices.set(msgspec.structs.replace(customers, effective_us=after_us), "op")
    book = PriceBook(store.prices.all())
    assert [third, second] == [book.customer(now.model, at) for at in (after_us, after_us - 1)]
    monkeypatch.undo()
    store.prices.set(customers, "op")
    store.close()


def test_details_come_back(tmp_path: pathlib.Path) -> None:
    """Kinds of tokens keep their prices, 0 and none apart."""
    store = new_store(tmp_path)
    assert [store.prices.set(DETAILED, "test")] == store.prices.all()
    assert DETAILED.details == store.prices.all()[0].details


def test_a_markup_follows_its_cost(tmp_path: pathlib.Path) -> None:
    """Its amounts are the cost's, scaled and rounded half up, now and whenever the cost changes;
    until a price is set that follows nothing."""
    store = new_store(tmp_path)
    follow = PriceRecord(version=0, model="m", effective_us=60, markup_bp=12_500, markup_of="u")
    with pytest.raises(Missing):
        store.prices.set(follow, "test")
    store.prices.set(DETAILED, "test")
    marked = store.prices.set(follow, "test")
    assert (1_251, 4, 13, 6) == (
        marked.input_pico,
        marked.cached_input_pico,
        marked.output_pico,
        marked.request_nano,
    )
    assert PriceDetails(reasoning_pico=19, audio_input_pico=0) == marked.details
    assert (60, 12_500, "u", None) == (
        marked.effective_us,
        marked.markup_bp,
        marked.markup_of,
        marked.upstream,
    )
    store.prices.set(msgspec.structs.replace(DETAILED, effective_us=70, input_pico=2_000), "test")
    assert (70, 2_500, 4) == (
        (last := store.prices.all()[-1]).effective_us,
        last.input_pico,
        last.version,
    )
    store.prices.set(PriceRecord(version=0, model="m", effective_us=80, input_pico=1), "test")
    store.prices.set(msgspec.structs.replace(DETAILED, effective_us=90), "test")
    assert "u" == store.prices.all()[-1].upstream


def paid(store: Store, *at_us: int) -> list[int]:
    book = PriceBook(store.prices.all())
    return [book.customer("m", each).input_pico for each in at_us]


def cost(at_us: int, pico: int) -> PriceRecord:
    return PriceRecord(version=0, model="m", upstream="u", effective_us=at_us, input_pico=pico)


def markup(at_us: int, points: int) -> PriceRecord:
    return PriceRecord(version=0, model="m", effective_us=at_us, markup_bp=points, markup_of="u")


def test_a_markup_follows_costs_of_later_dates(tmp_path: pathlib.Path) -> None:
    """Also those that were set before it; a markup of a later date follows what is set now."""
    store = new_store(tmp_path)
    for record in (cost(10, 100), cost(50, 1_000), cost(70, 2_000), markup(20, 12_000)):
        store.prices.set(record, "test")
    assert [0, 120, 120, 1_200, 2_400] == paid(store, 15, 20, 49, 50, 70)
    store.prices.set(markup(60, 20_000), "test")
    assert [1_200, 2_000, 4_000] == paid(store, 59, 60, 70)
    store.prices.set(cost(40, 500), "test")
    assert [120, 600, 1_200, 2_000, 4_000] == paid(store, 39, 40, 50, 60, 70)
    store.prices.set(cost(55, 3_000), "test")
    assert [1_200, 3_600, 6_000, 4_000] == paid(store, 54, 55, 60, 70)


def test_a_new_price_ends_what_followed(tmp_path: pathlib.Path) -> None:
    """What a replaced markup made of later costs is not charged; what was planned otherwise is."""
    store = new_store(tmp_path)
    for record in (cost(10, 100), markup(20, 12_000), cost(50, 1_000), cost(70, 2_000)):
        store.prices.set(record, "test")
    store.prices.set(markup(30, 15_000), "test")
    assert [120, 150, 1_500, 3_000] == paid(store, 29, 30, 50, 70)
    store.prices.set(markup(60, 11_000), "test")
    store.prices.set(PriceRecord(version=0, model="m", effective_us=40, input_pico=7), "test")
    assert [150, 7, 7, 1_100, 2_200] == paid(store, 39, 40, 50, 60, 70)


def test_allowances_are_kept(tmp_path: pathlib.Path) -> None:
    """A price keeps its allowance, also where it follows a cost that changes; a cost has none."""
    store, free = new_store(tmp_path), Allowance(amount=5, unit="requests", span="week")
    store.prices.set(DETAILED, "test")
    with pytest.raises(Unfit):
        store.prices.set(msgspec.structs.replace(DETAILED, free=free), "test")
    follow = PriceRecord(
        version=0, model="m", effective_us=60, markup_bp=12_500, markup_of="u", free=free
    )
    store.prices.set(follow, "test")
    store.prices.set(msgspec.structs.replace(DETAILED, effective_us=70), "test")
    assert [None, free, None, free] == [each.free for each in store.prices.all()]


def test_all_or_none(tmp_path: pathlib.Path) -> None:
    """Of several prices none is set when one cannot be."""
    store = new_store(tmp_path)
    orphan = PriceRecord(version=0, model="m", effective_us=1, markup_bp=1, markup_of="nowhere")
    with pytest.raises(Missing):
        store.prices.set_all([DETAILED, orphan], "test")
    assert ([], 0) == (store.prices.all(), store.changes.latest())


@given(st.integers(0, 10**12), st.integers(0, 100_000))
def test_markup_rounds_once(pico: int, points: int) -> None:
    """Each amount is off the exact product by half a unit at most."""
    cost = PriceRecord(version=1, model="m", upstream="u", effective_us=1, input_pico=pico)
    exact = Fraction(pico * points, 10_000)
    assert abs(marked_up(cost, points).input_pico - exact) <= Fraction(1, 2)
