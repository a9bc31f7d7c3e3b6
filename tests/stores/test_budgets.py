"""Budgets in the book: a window's account opens when it is first asked, and follows its budget."""

import concurrent.futures
import pathlib
import struct
import time
import zoneinfo
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from baton.stores import budgets, windows
from baton.stores.base import BudgetRecord, PartyRecord, Span, StoreError
from baton.stores.book import Store
from tests.bookkeeping import new_key, new_store

DAY = BudgetRecord(amount=100, span="day")
DAY_S = 86_400
TOKENS = BudgetRecord(amount=50, unit="tokens", span="total")


def now_us() -> int:
    return time.time_ns() // 1000


def test_windows_open_when_asked(tmp_path: pathlib.Path) -> None:
    """The first lease of a window opens its account with the budget's limit; each window has its
    own, and what has no budget grants nothing."""
    store = new_store(tmp_path)
    store.parties.add(PartyRecord(id="t", kind="organisation", name="t", budgets=(DAY,)), "test")
    names = [f"organisation:t/day@2026-11-2{number}" for number in (2, 3)]
    assert {} == store.accounts.some(names)
    assert {names[0]: 60, names[1]: 100, "organisation:x/day@2026-11-22": 0} == store.accounts.lend(
        1, {names[0]: 60, names[1]: 130, "organisation:x/day@2026-11-22": 5}
    )
    found = store.accounts.some(names)
    assert [(100, 60), (100, 100)] == [
        (found[name].limit_nano, found[name].leased_nano) for name in names
    ]
    assert {names[0]: 40} == store.accounts.lend(2, {names[0]: 60})


def test_an_open_window_follows_its_budget(tmp_path: pathlib.Path) -> None:
    """A lowered budget lends no more at once, a raised one lends the difference, without one there
    is no limit."""
    store = new_store(tmp_path)
    key = new_key(store, budgets=(DAY, TOKENS))
    assert (DAY, TOKENS) == store.keys.get(key.id).budgets
    day, total = (windows.account(key.account, each, now_us()) for each in (DAY, TOKENS))
    assert f"tokens:{key.account}/total" == total
    assert {day: 80, total: 50} == store.accounts.lend(1, {day: 80, total: 60})

    def lowered(amount: int) -> int:
        changed = BudgetRecord(amount=amount, span="day")
        store.keys.update(key.id, "test", budgets=(changed,))
        return store.accounts.lend(2, {day: 10})[day]

    assert [0, 0, 5, 110] == [lowered(amount) for amount in (10, 80, 85, 1_000)]
    store.keys.update(key.id, "test", budgets=())
    assert {day: 10**9, total: 10**9} == store.accounts.lend(3, {day: 10**9, total: 10**9})
    store.keys.update(key.id, "test", budgets=(TOKENS,))
    assert 50 == store.accounts.get(total).limit_nano, "it counts on from where it was"


def test_a_budget_that_is_taken_away_before_its_window_is_asked(tmp_path: pathlib.Path) -> None:
    """Who has read it before still names it, for up to a second: it limits nobody any more. One
    that stays, or is another's, is not opened for that."""
    store = new_store(tmp_path)
    key = new_key(store, budgets=(DAY, TOKENS))
    day, total = (windows.account(key.account, each, now_us()) for each in (DAY, TOKENS))
    store.keys.update(key.id, "test", budgets=(TOKENS,))
    assert {day} == set(store.accounts.some([day, total]))
    assert {day: 80, total: 50} == store.accounts.lend(1, {day: 80, total: 60})
    store.keys.update(key.id, "test", budgets=(DAY, TOKENS))
    assert {day: 20} == store.accounts.lend(2, {day: 80}), "what was lent counts, where it is back"


def test_a_budget_that_is_taken_away_as_its_window_ends(
    tmp_path: pathlib.Path, turning: BudgetRecord
) -> None:
    """The next one is named by those who do not know yet: it limits nobody either."""
    store = new_store(tmp_path)
    key = new_key(store, budgets=(turning,))
    store.keys.update(key.id, "test", budgets=())
    later = windows.account(key.account, turning, now_us() + budgets.LATE_US)
    assert {later: 80} == store.accounts.lend(1, {later: 80})


@pytest.fixture
def turning(tmp_path: pathlib.Path) -> Iterator[BudgetRecord]:
    """A budget in whose time zone a day is over in two seconds."""
    offset_s = -(int(time.time()) + 2) % DAY_S
    offset_s -= DAY_S if offset_s > DAY_S // 2 else 0
    zone = b"TZif" + bytes(16) + struct.pack(">6l", 0, 0, 0, 0, 1, 4)
    (tmp_path / "Turning").write_bytes(zone + struct.pack(">lbb", offset_s, 0, 0) + b"TST\0")
    zoneinfo.reset_tzpath((str(tmp_path),))
    yield BudgetRecord(amount=100, span="day", zone="Turning")
    zoneinfo.reset_tzpath()
    zoneinfo.ZoneInfo.clear_cache(only_keys=["Turning"])


def test_a_window_that_opens_while_its_budget_is_changed(tmp_path: pathlib.Path) -> None:
    """It has the new limit, whichever comes first."""
    store = new_store(tmp_path)
    key = new_key(store, budgets=(DAY,))
    day = windows.account(key.account, DAY, now_us())
    with concurrent.futures.ThreadPoolExecutor() as pool:
        with store.database.writing() as connection:
            budgets.put(connection, key.account, [BudgetRecord(amount=5, span="day")])
            lent = pool.submit(store.accounts.lend, 1, {day: 80})
            while store.database.on_server and not (lent.done() or somebody_waits(store)):
                """It asks before the change is there for all to see."""
        assert {day: 5} == lent.result()
    assert 5 == store.accounts.get(day).limit_nano


def test_a_change_and_a_lease_do_not_wait_for_each_other(tmp_path: pathlib.Path) -> None:
    """Both take accounts in the order of their names, however the budgets are given: else the
    server would end one of them."""
    store = new_store(tmp_path)
    key = new_key(store, budgets=(DAY, TOKENS))
    names = sorted(windows.account(key.account, each, now_us()) for each in (DAY, TOKENS))
    store.accounts.lend(1, dict.fromkeys(names, 1))
    store.keys.update(key.id, "test", budgets=())
    with concurrent.futures.ThreadPoolExecutor() as pool:
        with store.database.writing(alone=False) as connection:
            taken = text("UPDATE account SET posted_nano = 7 WHERE id = :name")
            connection.execute(taken, {"name": names[0]})
            changed = pool.submit(store.keys.update, key.id, "test", budgets=(TOKENS, DAY))
            while store.database.on_server and not somebody_waits(store):
                """It comes to the account that is taken."""
            connection.execute(taken, {"name": names[1]})
        assert (TOKENS, DAY) == changed.result().budgets
    found = [store.accounts.get(name) for name in names]
    assert [(100, 7), (50, 7)] == [(each.limit_nano, each.posted_nano) for each in found]


def somebody_waits(store: Store) -> bool:
    with store.database.reading() as connection:
        waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(connection.scalar(waiting))


@pytest.mark.parametrize("span", ["day", "week", "month"])
def test_a_zone_further_west(tmp_path: pathlib.Path, span: Span) -> None:
    """The window that was under way there comes again here: it has the budget's limit then, also
    where the budget was taken away in between."""
    store = new_store(tmp_path)
    east, west = (
        BudgetRecord(amount=100, span=span, zone=zone)
        for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago")
    )
    key = new_key(store, budgets=(east,))
    under_way = windows.account(key.account, east, now_us())
    assert {under_way: 60} == store.accounts.lend(1, {under_way: 60})
    for budgets_then in ((west,), (), (west,)):
        store.keys.update(key.id, "test", budgets=budgets_then)
        expected = 100 if budgets_then else None
        assert expected == store.accounts.get(under_way).limit_nano
    assert {under_way: 40} == store.accounts.lend(2, {under_way: 10**9})


def test_nonsense_is_refused() -> None:
    """A zone that does not exist; two of one unit and span."""
    with pytest.raises(StoreError, match="no time zone 'Mars'"):
        budgets.check([BudgetRecord(amount=1, zone="Mars")])
    with pytest.raises(StoreError, match="two budgets"):
        budgets.check([DAY, BudgetRecord(amount=5, span="day", zone="Asia/Tokyo")])
    budgets.check([DAY, TOKENS, BudgetRecord(amount=1, unit="tokens", span="day")])
