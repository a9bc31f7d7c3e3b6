"""Sums over time: every span has them, percentiles come out of buckets, short spans end."""

import asyncio
import pathlib

import sqlalchemy

from baton.ledger.entries import Timings
from baton.stores import migrate
from baton.stores.book import Store
from baton.stores.database import Database
from baton.stores.traffic import (
    BOUNDS_US,
    KEPT_S,
    PRUNED_EVERY_S,
    SPANS_S,
    Traffic,
    bucket_of,
    merged,
    quantile_us,
)
from tests.bookkeeping import PRICE, intent, ledger_of, new_key, new_store, outcome

HOUR_S = 3_600
FOREVER_S = 2**40


def ask(store: Store, *at_s: int) -> None:
    """One stream of five tokens at each of these times: the first one after 40 ms, then 2 ms."""
    timings = Timings(None, 1_000, 40_000, 48_000)
    streams(store, [(second, 5, 200, timings) for second in at_s])


def streams(store: Store, told: list[tuple[int, int, int, Timings]]) -> None:
    """Each with its second, tokens, status and timings."""
    store.prices.set(PRICE, "test")
    key = new_key(store)

    async def run() -> None:
        async with ledger_of(store) as ledger:
            for number, (second, tokens, status, timings) in enumerate(told):
                wanted = intent(key, f"r{number}", created_us=second * 10**6, stream=True)
                end = outcome(tokens, status=status, handoffs=1, timings=timings)
                ledger.settle(await ledger.hold(wanted), end)

    asyncio.run(run())


def test_every_span_has_all(tmp_path: pathlib.Path) -> None:
    store = new_store(tmp_path)
    ask(store, HOUR_S + 1, HOUR_S + 59, HOUR_S + 61, 2 * HOUR_S)
    minutes = store.traffic.slots(60, 0, FOREVER_S)
    assert [HOUR_S, HOUR_S + 60, 2 * HOUR_S] == [slot.start_s for slot in minutes]
    assert [2, 1, 1] == [slot.requests for slot in minutes]
    for span_s in SPANS_S:
        slots = store.traffic.slots(span_s, 0, FOREVER_S)
        assert 4 == sum(slot.requests for slot in slots)
        assert (40, 20, 4) == (
            sum(slot.prompt_tokens for slot in slots),
            sum(slot.completion_tokens for slot in slots),
            sum(slot.handoffs for slot in slots),
        )
        first, gap = merged(s.first for s in slots), merged(s.gap for s in slots)
        assert (4, 16) == (first[bucket_of(40_000)], gap[bucket_of(2_000)])
        assert (4, 16) == (sum(first), sum(gap))
    assert [HOUR_S] == [slot.start_s for slot in store.traffic.slots(HOUR_S, HOUR_S, 2 * HOUR_S)]
    charged = sum(row.charge_nano for row in store.usage.sums())
    assert charged == sum(slot.charge for slot in minutes) > 0


def test_minutes_are_dropped_and_days_are_not(tmp_path: pathlib.Path) -> None:
    store = new_store(tmp_path)
    ask(store, 0)
    later_s = KEPT_S[60] + PRUNED_EVERY_S
    asyncio.run(_again(store, later_s))
    assert [later_s] == [slot.start_s for slot in store.traffic.slots(60, 0, FOREVER_S)]
    assert 2 == sum(slot.requests for slot in store.traffic.slots(86_400, 0, FOREVER_S))
    with store.database.reading() as connection:
        query = sqlalchemy.text("SELECT count(*) FROM latency WHERE span_s = 60 AND start_s = 0")
        assert 0 == connection.scalar(query)


async def _again(store: Store, at_s: int) -> None:
    [key] = store.keys.find("k")
    async with ledger_of(store) as ledger:
        hold = await ledger.hold(intent(key, "again", created_us=at_s * 10**6))
        ledger.settle(hold, outcome(5))


def test_percentiles() -> None:
    counts = [0] * (len(BOUNDS_US) + 1)
    assert quantile_us(counts, 0.5) is None
    counts[bucket_of(1_000)] = 10
    assert 700 < (quantile_us(counts, 0.5) or 0) < 1_000
    counts[-1] = 10
    assert BOUNDS_US[-1] == quantile_us(counts, 0.99)


def test_the_migration_sums_what_is_there(tmp_path: pathlib.Path) -> None:
    """As if it had been folded with the table, times at the borders of buckets included."""
    store = new_store(tmp_path)
    borders = (0, 99, 100, 101, 1_000, 60_000_000, 60_000_001)
    told = [(n, n, 200, Timings(None, 1, us, 3 * us)) for n, us in enumerate(borders, 1)]
    told += [(HOUR_S, 5, 500, told[3][3]), (80_000, 5, 200, Timings(None, 1, None, 9))]
    streams(store, [*told, (80_001, 5, 200, Timings(None, 1, 9, 8))])
    book = store.database.place
    before = [store.traffic.slots(span_s, 0, FOREVER_S) for span_s in SPANS_S]
    assert len(borders) + 3 == sum(slot.requests for slot in before[0])
    assert len(borders) + 1 == sum(sum(slot.first) for slot in before[0])
    store.close()
    migrate.move(book, "0006")
    migrate.bring_up(book)
    database = Database(book)
    again = Traffic(database)
    assert before == [again.slots(span_s, 0, FOREVER_S) for span_s in SPANS_S]
    database.close()
