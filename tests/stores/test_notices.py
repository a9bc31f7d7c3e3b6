"""Notices: which accounts have reached a threshold, and what becomes of each."""

import pathlib
from collections.abc import Iterator

import pytest

from baton.stores import windows
from baton.stores.base import BudgetRecord
from baton.stores.book import Store
from baton.stores.tables import account, budget
from tests.bookkeeping import new_store
from tests.collecting import left_to_the_collector

NOW_US = 1_764_000_000_000_000
DAY_US = 86_400_000_000
DAILY = BudgetRecord(amount=100, unit="tokens", span="day", zone="UTC")


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Store:
    return new_store(tmp_path)


def put(store: Store, name: str, limit: int | None, posted: int) -> None:
    with store.database.writing() as connection:
        values = {"id": name, "limit_nano": limit, "posted_nano": posted}
        connection.execute(account.insert().values(**values))


def test_thresholds_are_exact(store: Store) -> None:
    """The least amount that is so many percent or more, also of the greatest limits."""
    for limit in (1, 3, 99, 100, 101, 2**62):
        for percent in (50, 80, 100):
            least = -(-limit * percent // 100)
            put(store, f"under {limit} {percent}", limit, least - 1)
            put(store, f"at {limit} {percent}", limit, least)
    put(store, "unlimited", None, 10**9)
    put(store, "nothing", 0, 0)
    store.notices.make((80,), NOW_US)
    bodies = [each.body for each in store.notices.due(NOW_US, 1_000)]
    for limit in (1, 3, 99, 100, 101, 2**62):
        assert any(f'"at {limit} 80"' in body for body in bodies)
        assert not any(f'"under {limit} 80"' in body for body in bodies)
    assert not any("unlimited" in body or "nothing" in body for body in bodies)


def test_only_windows_that_are_under_way(store: Store) -> None:
    """Yesterday's is not told of, today's is, and tomorrow's will be anew."""
    with store.database.writing() as connection:
        fields = {"id": windows.budget_id("team:t", DAILY), "subject": "team:t"}
        connection.execute(
            budget.insert().values(**fields, unit="tokens", span="day", zone="UTC", amount=100)
        )
    names = [windows.account("team:t", DAILY, NOW_US + shift * DAY_US) for shift in (-1, 0, 1)]
    for name in names:
        put(store, name, 100, 60)
    put(store, "team:gone/day@2026-01-01", 100, 60)
    assert 1 == store.notices.make((50,), NOW_US)
    [told] = store.notices.due(NOW_US)
    assert f'"{names[1]}","unit":"tokens"' in told.body
    assert 0 == store.notices.make((50,), NOW_US)


def test_what_becomes_of_a_notice(store: Store) -> None:
    """Due until it is delivered or given up; a failed one when its time comes."""
    for name in ("a", "b"):
        put(store, name, 10, 10)
    notices = store.notices
    assert 2 == notices.make((100,), NOW_US)
    first, second = notices.due(NOW_US)
    notices.delivered(first.id, NOW_US)
    notices.failed(second.id, "status 500", NOW_US + 5)
    assert [] == notices.due(NOW_US + 4)
    [again] = notices.due(NOW_US + 5)
    assert (second.id, 1) == (again.id, again.attempts)
    notices.failed(second.id, "status 500", None)
    assert [] == notices.due(NOW_US + 10**9)


def test_the_duty(store: Store) -> None:
    """One process has it, until it leaves or its time is over."""
    notices = store.notices
    taken = [notices.take("a", 0, 10), notices.take("b", 9, 20), notices.take("a", 9, 12)]
    assert [True, False, True] == taken
    assert notices.take("b", 12, 20)
    notices.leave("a")
    assert not notices.take("a", 13, 20)
    notices.leave("b")
    assert notices.take("a", 13, 20)


def test_looking_leaves_nothing_to_the_collector(store: Store) -> None:
    """A worker looks every few seconds."""
    put(store, "under", 100, 1)
    assert 0 == left_to_the_collector(lambda: store.notices.make((50, 80), NOW_US))


def test_who_lost_the_duty_while_it_makes_them(store: Store) -> None:
    """Many take longer than the duty lasts: another process makes them meanwhile, and each is made
    once; neither of the two fails."""
    for number in range(3):
        put(store, f"key:{number}", 100, 90)
    made: list[int] = []

    class Percents(tuple[int, ...]):
        """Between the first and the second of them the other process is there."""

        def __iter__(self) -> Iterator[int]:
            yield 50
            made.append(store.notices.make((50, 80), NOW_US))
            yield 80

    made.append(store.notices.make(Percents(), NOW_US))
    assert [6, 0] == made
    assert 6 == len(store.notices.due(NOW_US))
