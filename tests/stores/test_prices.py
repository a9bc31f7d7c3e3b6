"""Prices in the book: never changed, numbered, dated."""

import pathlib
import time

from baton.stores.base import PriceRecord
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
