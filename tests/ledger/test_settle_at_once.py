"""Holds that need no waiting: the same as those that may wait; or none, and nothing is done."""

import asyncio
import pathlib
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from baton.errors import RequestError
from baton.ledger import settle
from baton.ledger.entries import Intent
from baton.ledger.holds import Hold
from baton.ledger.prices import AMOUNT_NANO_MAX
from baton.ledger.settle import Ledger
from baton.stores.base import Allowance, KeyRecord, PriceRecord, StoreUnavailable
from tests.bookkeeping import PRICE, TOLD, intent, ledger_of, new_key, new_store, outcome, payer
from tests.ledger.machine_process import Watched
from tests.ledger.test_journal import until

HELD = 30
"""Of `intent` at PRICE, nano-USD; `outcome()` costs all of it."""


def run(home: pathlib.Path, scenario: Callable[..., object], **options: Any) -> None:
    store = new_store(home)
    store.prices.set(PRICE, "test")
    key = new_key(store, **options)

    async def inside() -> None:
        async with ledger_of(store) as ledger:
            await scenario(ledger, key)  # type: ignore[misc]

    asyncio.run(inside())


def price_of(ledger: Ledger) -> PriceRecord:
    return ledger.prices.customer("m", time.time_ns() // 1000)


def test_the_same_hold(tmp_path: pathlib.Path) -> None:
    """As `hold` makes it: amount, price and row; it ends in the same way."""

    async def scenario(ledger: Ledger, key: KeyRecord) -> None:
        asked = intent(key)
        waited = await ledger.hold(asked)
        at_once = ledger.hold_at_once(asked, price_of(ledger))
        assert at_once is not None
        assert (HELD, waited.price) == (at_once.amount, at_once.price)
        assert waited.row == at_once.row
        for each in (waited, at_once):
            ledger.settle(each, outcome(4))
        assert waited.end == at_once.end

    run(tmp_path, scenario)


@pytest.mark.parametrize("alone", [True, False])
def test_only_what_the_lease_has(tmp_path: pathlib.Path, alone: bool) -> None:
    """Nothing is lent at first; then as many as fit, to the nano-USD, whichever way; and what they
    leave is there again. Alike where it is known that one budget in money is all."""

    async def scenario(ledger: Ledger, key: KeyRecord) -> None:
        price = price_of(ledger)
        pays = msgspec.structs.replace(payer(key), money_alone=alone)

        def asked(**fields: Any) -> Intent:
            return intent(key, payer=pays, **fields)

        assert ledger.hold_at_once(asked(), price) is None
        ledger.release(await ledger.hold(asked()), 500)
        held: list[Hold] = []
        while (hold := ledger.hold_at_once(asked(), price)) is not None or len(held) < 3:
            held.append(hold or await ledger.hold(asked()))
        assert 3 == len(held)
        with pytest.raises(RequestError) as refused:
            await ledger.hold(asked())
        assert 429 == refused.value.status
        ledger.release(held[0], 500)
        ledger.settle(held[1], outcome(0))
        again = ledger.hold_at_once(asked(), price)
        assert again is not None
        assert ledger.hold_at_once(asked(), price) is None
        small = ledger.hold_at_once(asked(prompt_tokens_max=19, max_tokens=0), price)
        assert small is not None
        assert ledger.hold_at_once(asked(prompt_tokens_max=1, max_tokens=1), price) is None
        for each in (held[2], again, small):
            ledger.settle(each, outcome(10))

    run(tmp_path, scenario, budget_nano=3 * HELD)


@pytest.mark.parametrize(
    "price",
    [
        msgspec.structs.replace(PRICE, free=Allowance(amount=5)),
        msgspec.structs.replace(PRICE, input_pico=AMOUNT_NANO_MAX * 1000),
    ],
)
def test_not_what_has_to_be_asked_or_refused(tmp_path: pathlib.Path, price: PriceRecord) -> None:
    """Free of charge, perhaps; and more than there can be."""

    async def scenario(ledger: Ledger, key: KeyRecord) -> None:
        assert ledger.hold_at_once(intent(key), price) is None
        assert ledger.hold_at_once(intent(key), price_of(ledger)) is not None

    run(tmp_path, scenario)


def test_not_where_the_last_commit_failed(tmp_path: pathlib.Path) -> None:
    """Its own has to be waited for: an upstream might work in vain."""

    async def scenario(ledger: Ledger, key: KeyRecord) -> None:
        price = price_of(ledger)
        ledger._journal.failing = True
        assert ledger.hold_at_once(intent(key), price) is None
        ledger._journal.failing = False
        assert ledger.hold_at_once(intent(key), price) is not None

    run(tmp_path, scenario)


def test_after_the_end(tmp_path: pathlib.Path) -> None:
    """A journal that is closed takes none, and nothing is kept; one that was made just before ends
    without being told of, as others do."""

    async def scenario(ledger: Ledger, key: KeyRecord) -> None:
        price = price_of(ledger)
        before, late = made(ledger, key), made(ledger, key)
        await ledger._journal.close()
        assert ledger.hold_at_once(intent(key), price) is None
        with pytest.raises(RequestError) as refused:
            await ledger.hold(intent(key))
        assert 503 == refused.value.status
        assert ledger.checkpoint(late, 64, TOLD)
        for hold in (before, late):
            ticket = ledger.settle(hold, outcome(4))
            with pytest.raises(StoreUnavailable):
                await ledger.durable(ticket)

    run(tmp_path, scenario)


def made(ledger: Ledger, key: KeyRecord, name: str = "r") -> Hold:
    hold = ledger.hold_at_once(intent(key, name), price_of(ledger))
    assert hold is not None
    return hold


def test_a_short_one_is_never_written(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its end stands alone, though commits leave meanwhile; one with a checkpoint is written."""
    monkeypatch.setattr(settle, "BRIEF_S", 60.0)

    async def scenario(ledger: Ledger, key: KeyRecord) -> None:
        watched = ledger._journal._file = Watched(ledger._journal._file)
        short, seen = made(ledger, key, "short"), made(ledger, key, "seen")
        assert ledger.checkpoint(seen, 64, TOLD)
        await ledger.durable(seen.ticket)
        assert ledger.checkpoint(seen, 128, TOLD)
        for hold in (short, seen):
            await ledger.durable(ledger.settle(hold, outcome(4)))
        assert ["seen"] == [row.request_id for row in watched.holds.values()]
        assert {seen.ticket} == set(watched.checkpoints)
        assert {"short", "seen"} == {row.hold.request_id for row in watched.ends.values()}

    run(tmp_path, scenario)


def test_a_long_one_is_written_by_itself(tmp_path: pathlib.Path) -> None:
    """Whatever comes behind it, and though nobody asks."""

    async def scenario(ledger: Ledger, key: KeyRecord) -> None:
        watched = ledger._journal._file = Watched(ledger._journal._file)
        first, second = made(ledger, key, "first"), made(ledger, key, "second")
        ledger.settle(made(ledger, key, "between"), outcome(4))
        await until(lambda: len(watched.holds) == 2)
        assert {first.ticket, second.ticket} == set(watched.holds)
        for hold in (first, second):
            await ledger.durable(ledger.settle(hold, outcome(4)))
        assert 3 == len(watched.ends)

    run(tmp_path, scenario)


def test_those_that_are_left_at_the_end(tmp_path: pathlib.Path) -> None:
    """Are written, and interrupted at the next start: each is on the ledger once."""

    async def scenario(ledger: Ledger, key: KeyRecord) -> None:
        ended = made(ledger, key, "ended")
        made(ledger, key, "left")
        ledger.settle(ended, outcome(4))

    run(tmp_path, scenario)
    rows = {row.request_id: row.state for row in new_store(tmp_path).usage.requests(10)}
    assert {"ended": "settled", "left": "interrupted"} == rows
