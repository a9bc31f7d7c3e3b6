"""Costs by upstream: a lost attempt's stands where it was lost; charges where requests end."""

import asyncio
import datetime
import pathlib
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from baton.semantics.events import Usage
from baton.stores import archive, audit, migrate
from baton.stores.base import PriceRecord
from baton.stores.book import Store
from baton.stores.sums import DAY_US
from baton.stores.usage import EPOCH, Filter
from tests.bookkeeping import PRICE, book_of, intent, ledger_of, new_key, new_store, outcome

COSTS = [
    PriceRecord(version=0, model="m", upstream=name, effective_us=1, output_pico=pico)
    for name, pico in (("u", 1_000), ("v", 10_000))
]
LOST_AT_U = (("u", Usage(10, 2)), ("v", Usage(12, 3)))
LOST_TWICE = (("v", Usage(10, 1)), ("v", Usage(11, 1)), ("u", Usage(12, 4)))


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[Store]:
    """Three requests on each of two days: whole at u; lost at u, ended at v; lost at v twice, ended
    at u."""
    made = new_store(tmp_path)
    made.prices.set_all([PRICE, *COSTS], "test")
    key = new_key(made)

    async def run() -> None:
        async with ledger_of(made) as ledger:
            for day in (3, 9):
                for n, (ended, spent) in enumerate(
                    (("u", ()), ("v", LOST_AT_U), ("u", LOST_TWICE))
                ):
                    wanted = intent(key, f"r{day}-{n}", created_us=day * DAY_US)
                    how = outcome(5, upstream=ended, spent=spent)
                    ledger.settle(await ledger.hold(wanted), how)

    asyncio.run(run())
    yield made
    made.close()


def test_costs_by_upstream(store: Store) -> None:
    """u: 5 of its own, 2 lost, 4 ended; v: 30 ended, 20 lost. Requests and charges stay where they
    ended; in all, by key or by model, nothing is other than before."""
    found = {row.upstream: row for row in store.usage.sums(["upstream"])}
    assert {"u": 2 * (5 + 2 + 4), "v": 2 * (30 + 20)} == {n: r.cost_nano for n, r in found.items()}
    assert {"u": 4, "v": 2} == {name: row.requests for name, row in found.items()}
    assert {"u": 2 * 40, "v": 2 * 20} == {name: row.charge_nano for name, row in found.items()}
    [total] = store.usage.sums()
    assert (122, 6) == (total.cost_nano, total.requests)
    assert [122] == [row.cost_nano for row in store.usage.sums(["key_id", "model"])]
    assert [] == audit.faults(book_of(store))


def test_one_upstream(store: Store) -> None:
    """Asked for alone, by day, or of another model."""
    day = EPOCH + datetime.timedelta(days=9)
    [one] = store.usage.sums(only=Filter(upstream="v"))
    assert (100, 2) == (one.cost_nano, one.requests)
    by_day = store.usage.sums(["day", "upstream"], Filter(since=day))
    assert [(str(day), "u", 11), (str(day), "v", 50)] == [
        (row.day, row.upstream, row.cost_nano) for row in by_day
    ]
    assert [0] == [row.cost_nano for row in store.usage.sums(only=Filter(upstream="w"))]
    assert [] == store.usage.sums(["upstream"], Filter(model="other"))


def test_what_was_moved_is_audited(store: Store) -> None:
    """An amount that no attempt says, and one that has no other side."""
    for change, sentence in (
        ("cost = CASE upstream WHEN 'u' THEN cost + 1 ELSE cost - 1 END", "attempts say"),
        ("cost = cost + 1", "do not sum to zero"),
    ):
        with store.database.writing() as connection:
            connection.execute(text(f"UPDATE moved_cost SET {change}"))
        [fault] = audit.faults(book_of(store))
        assert sentence in fault


def test_archived_requests_leave_it_behind(store: Store, tmp_path: pathlib.Path) -> None:
    """Reports by upstream are as before, and the book is right."""
    before = store.usage.sums(["day", "upstream"])
    day = EPOCH + datetime.timedelta(days=6)
    archive.archive(store.database, day, EPOCH + datetime.timedelta(days=12), tmp_path / "old.gz")
    assert before == store.usage.sums(["day", "upstream"])
    assert [] == audit.faults(book_of(store))


def test_the_migration_moves_what_was_there(store: Store) -> None:
    """From the attempts that an earlier Baton wrote."""
    before = store.usage.sums(["day", "upstream"])
    place = book_of(store)
    store.close()
    migrate.move(place, "0009")
    migrate.bring_up(place)
    assert before == store.usage.sums(["day", "upstream"])
    assert [] == audit.faults(place)
