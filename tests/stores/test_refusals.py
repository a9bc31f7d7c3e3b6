"""The log of refused requests: written any number of times as once, paged, pruned."""

import pathlib
from typing import Any

import pytest
from sqlalchemy import func, select

from baton.stores import journal_tables, refusals
from baton.stores.base import Missing
from baton.stores.book import Store
from baton.stores.refusals import REMOVED_ROWS_MAX, RefusalFilter, RefusalRecord
from baton.telemetry.refused import Refusal
from tests.bookkeeping import new_store

ALL = RefusalFilter()
MORE = 10_000


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Store:
    return new_store(tmp_path)


def refusal(request_id: str, at_us: int, **fields: Any) -> Refusal:
    values: dict[str, Any] = {
        "key_id": "key_a",
        "route": "POST /v1/completions",
        "model": "m",
        "status": 429,
        "code": "rate_limit_exceeded",
        "param": None,
        "message": "Rate limit reached.",
    }
    return Refusal(request_id=request_id, at_us=at_us, **{**values, **fields})


def names(rows: list[RefusalRecord]) -> list[str]:
    return [each.request_id for each in rows]


def test_it_is_a_table_of_the_book() -> None:
    """Migrations, comparisons and copies of the book see it, and all others."""
    assert refusals.refusal.name in refusals.metadata.tables
    assert refusals.metadata is journal_tables.metadata


def test_what_was_written_is_read(store: Store) -> None:
    """Each field; writing it again, as after a commit of which nobody heard, changes nothing."""
    row = refusal("r", 7, status=404, code=None, param="model", times=12, key_id="", message="é\n")
    for _ in range(2):
        store.refusals.add([row])
    [found] = store.refusals.page(ALL)
    assert found == store.refusals.get("r")
    told = {name: getattr(found, name) for name in Refusal.__struct_fields__}
    assert row == Refusal(**told)
    with pytest.raises(Missing, match="no refused request 'nothing'"):
        store.refusals.get("nothing")


def test_pages_newest_first(store: Store) -> None:
    """By when they were refused, whenever they were written; those of one moment each once."""
    rows = [refusal(f"r{number}", 100 - number // 3) for number in range(10)]
    store.refusals.add(rows[5:])
    store.refusals.add(rows[:5])
    found: list[RefusalRecord] = []
    while page := store.refusals.page(ALL, 4, found[-1].id if found else None):
        found += page
    assert 10 == len(set(names(found)))
    times = [each.at_us for each in found]
    assert sorted(times, reverse=True) == times
    assert [] == store.refusals.page(ALL, 4, 10**9), "of one that is gone"


def test_filters(store: Store) -> None:
    """By keys, also those of nobody; by status and code."""
    store.refusals.add([refusal("a", 1), refusal("b", 2, key_id="key_b", status=400, code=None)])
    store.refusals.add([refusal("c", 3, key_id="", status=401, code="invalid_api_key")])
    for only, expected in (
        (ALL, ["c", "b", "a"]),
        (RefusalFilter(key_ids=("key_a", "key_b")), ["b", "a"]),
        (RefusalFilter(key_ids=("",)), ["c"]),
        (RefusalFilter(key_ids=()), []),
        (RefusalFilter(status=400), ["b"]),
        (RefusalFilter(code="invalid_api_key"), ["c"]),
        (RefusalFilter(code="invalid_api_key", status=400), []),
    ):
        assert expected == names(store.refusals.page(only))


def test_prune(store: Store) -> None:
    """What is too old goes, and of the rest the oldest beyond the number, in steps."""
    many = REMOVED_ROWS_MAX + 10
    store.refusals.add([refusal(f"r{number}", number) for number in range(many + 100)])
    assert many == store.refusals.prune(many, MORE)
    assert 100 == len(store.refusals.page(ALL, MORE))
    assert 0 == store.refusals.prune(many, 100)
    assert 97 == store.refusals.prune(many, 3)
    assert [f"r{many + number}" for number in (99, 98, 97)] == names(store.refusals.page(ALL))
    assert 3 == store.refusals.prune(MORE, 3)
    with store.database.reading() as connection:
        assert 0 == connection.scalar(select(func.count()).select_from(refusals.refusal))
