"""Accounts of free allowances: named for good, limited by the price that holds now."""

import concurrent.futures
import pathlib
import time

from sqlalchemy import text

from baton.stores import allowances, journals
from baton.stores.base import Allowance, PriceRecord
from baton.stores.book import Store
from baton.stores.notices import Notices
from tests.bookkeeping import new_store

MODEL = "Org/model,v1@2"
DAY_US = 86_400_000_000


def price(free: Allowance | None, model: str = MODEL) -> PriceRecord:
    return PriceRecord(version=0, model=model, effective_us=0, free=free)


def test_names() -> None:
    """Unit, payer, model and window; a model's comma, slash and @ do not end any of them."""
    free = Allowance(amount=5, unit="requests", span="day")
    name = allowances.name("key:k", MODEL, free, 3 * DAY_US)
    assert "requests:free/key:k/Org%2Fmodel%2Cv1%402/day@1970-01-04" == name
    assert "tokens:free/key:k/m/total" == allowances.name(
        "key:k", "m", Allowance(amount=5, span="total"), 0
    )
    assert allowances.is_free(f"team:t/day,{name}")
    assert not allowances.is_free("tokens:key:k/day@1970-01-04")


def test_the_limit_is_that_of_the_price_in_force(tmp_path: pathlib.Path) -> None:
    """What is lent follows it: more, less, of another unit, none; nothing is lent beyond it."""
    store = new_store(tmp_path)
    held = journals.enter(store.database, "one", "0")
    free = Allowance(amount=100, unit="requests", span="day")
    name = allowances.name("key:k", MODEL, free, time.time_ns() // 1000)
    told = []
    for given in (
        None,
        free,
        Allowance(amount=8, unit="requests", span="day"),
        Allowance(amount=9),
    ):
        store.prices.set(price(given), "test")
        lent = store.accounts.lend(held.number, {name: 1})[name]
        record = store.accounts.get(name)
        told.append((lent, record.limit_nano))
        if lent:
            store.accounts.give_back(held.number, {name: lent - 6})
    assert [(0, 0), (12, 100), (1, 8), (0, 0)] == told
    store.close()


def test_two_processes_that_begin_one_at_once(tmp_path: pathlib.Path) -> None:
    """Both are lent something of it, whoever of them opens its account."""
    store = new_store(tmp_path)
    store.prices.set(price(Allowance(amount=100, unit="requests", span="day")), "test")
    free = Allowance(amount=100, unit="requests", span="day")
    name = allowances.name("key:k", MODEL, free, time.time_ns() // 1000)
    held = journals.enter(store.database, "one", "0")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        with store.database.writing(alone=False) as connection:
            allowances.follow(connection, name)
            lent = pool.submit(store.accounts.lend, held.number, {name: 1})
            while store.database.on_server and not (lent.done() or somebody_waits(store)):
                """It opens the account before that one is there for all to see."""
        assert {name: 12} == lent.result()
    assert 100 == store.accounts.get(name).limit_nano
    store.close()


def somebody_waits(store: Store) -> bool:
    with store.database.reading() as connection:
        waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(connection.scalar(waiting))


def test_nobody_is_noticed_of_it(tmp_path: pathlib.Path) -> None:
    """An allowance that is used up is no budget that is."""
    store = new_store(tmp_path)
    free = Allowance(amount=5, unit="requests")
    store.prices.set(price(free), "test")
    held = journals.enter(store.database, "one", "0")
    name = allowances.name("key:k", MODEL, free, time.time_ns() // 1000)
    store.accounts.lend(held.number, {name: 5})
    with store.database.writing() as connection:
        connection.exec_driver_sql("UPDATE account SET posted_nano = 5")
    assert 0 == Notices(store.database).make((50, 100), 1)
    store.close()
