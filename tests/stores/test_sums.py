"""Sums over requests are those of the roll-ups, whatever was archived."""

import asyncio
import pathlib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from baton.ledger.holds import Outcome
from baton.semantics.events import Usage
from baton.stores.carried import COLUMNS, carry
from baton.stores.sums import (
    COUNTS,
    DAY_US,
    GROUPS,
    Sum,
    adding,
    all_sums,
    summed,
    sums,
    totals,
)
from baton.stores.tables import archived, request, usage_day
from tests.bookkeeping import PRICE, intent, ledger_of, new_key, new_store

WORDS = [column.name for column in request.columns if column.type.python_type is str]
End = tuple[Any, Usage | None, int, int]
ends = st.tuples(
    st.sampled_from(["settled", "released", "interrupted"]),
    st.none() | st.builds(Usage, st.integers(0, 9), st.integers(0, 9), st.none() | st.just(1)),
    st.sampled_from([200, 400]),
    st.integers(1, 3),
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(ends, min_size=1, max_size=9), st.integers(0, 9))
def test_sums_are_the_roll_ups(
    tmp_path_factory: pytest.TempPathFactory, found: list[End], moved: int
) -> None:
    """Each count, of any ends, is that which folding summed up; also after some were moved."""
    store = new_store(tmp_path_factory.mktemp("home"))
    store.prices.set(PRICE, "test")
    key = new_key(store)

    async def run() -> None:
        async with ledger_of(store) as ledger:
            for number, (state, usage, status, day) in enumerate(found):
                wanted = intent(key, f"r{number}", created_us=day * DAY_US, stream=day == 2)
                end = Outcome(state=state, usage=usage, status=status, upstream="u")
                ledger.settle(await ledger.hold(wanted), end)

    asyncio.run(run())
    names = [name for name in COUNTS if name in usage_day.c]
    assert {"tokens", "unreleased"} == set(COUNTS) - set(names), "what accounts need besides"
    with store.database.writing() as connection:
        some = request.c.request_id.in_([f"r{number}" for number in range(moved)])
        rows = [dict(row._mapping) for row in connection.execute(sums(some))]
        if rows:
            connection.execute(adding(archived), rows)
            connection.execute(request.delete().where(some))
        there = [dict(row._mapping) for row in connection.execute(all_sums())]
        folded = [dict(row._mapping) for row in connection.execute(usage_day.select())]
    assert [sum(row[name] for row in folded) for name in names] == [
        sum(row[name] for row in there) for name in names
    ]
    store.close()


small = st.integers(0, 3)
rows = st.fixed_dictionaries(
    {
        **{name: small for name in COLUMNS if name not in WORDS},
        **{name: st.none() | small for name in COLUMNS if request.c[name].nullable},
        **{name: st.sampled_from(["", "a"]) for name in WORDS},
        "user": st.none() | st.sampled_from(["", "a"]),
        "created_us": st.integers(0, 3 * DAY_US),
        "status": st.sampled_from([200, 399, 400, 503]),
        "state": st.sampled_from(["settled", "released", "interrupted"]),
        "stream": st.integers(0, 1),
        "hold": st.just(3),
    }
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(rows, max_size=9))
def test_both_ways_agree(tmp_path_factory: pytest.TempPathFactory, given: list[Sum]) -> None:
    """What is summed up on the way to the book is what the book sums up, group by group."""
    store = new_store(tmp_path_factory.mktemp("home"))
    found = [(n, *({**row, "id": n}[name] for name in COLUMNS)) for n, row in enumerate(given)]
    with store.database.writing() as connection:
        carry(connection, found)
        there = [tuple(row) for row in connection.execute(sums())]
    here = totals([each for each, _ in summed(found)], GROUPS, COUNTS)
    assert sorted(there) == here
    store.close()


def test_nothing_is_a_sum_of_nothing(tmp_path: pathlib.Path) -> None:
    """An empty book has no groups."""
    store = new_store(tmp_path)
    with store.database.reading() as connection:
        assert [] == connection.execute(all_sums()).all()
