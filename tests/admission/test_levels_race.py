"""Budgets for 100 requests at three levels, met by 500 at once: exactly 100 pass."""

import asyncio
import multiprocessing
import os
import pathlib
import subprocess
import sys
from multiprocessing.synchronize import Barrier

import pytest

from baton.admission import levels
from baton.errors import RequestError
from baton.ledger.entries import Intent, Payer
from baton.ledger.holds import Hold
from baton.ledger.settle import Ledger
from baton.stores import audit, windows
from baton.stores.base import BudgetRecord, PartyRecord, Unit
from baton.stores.book import Store, book_path
from tests.bookkeeping import PRICE, intent, ledger_of, new_key, new_store, outcome

PROCESSES, REQUESTS, ROOM = 8, 500, 100
NOON_US = 1_795_348_800_000_000  # 2026-11-22T12:00:00Z
DAY_US = 86_400_000_000
UNITS: tuple[Unit, ...] = ("nano_usd", "tokens")
EACH: dict[Unit, int] = {"nano_usd": 30, "tokens": 20}
"""What one request holds, and then uses: 10 tokens in, 10 out, at PRICE."""


def planted(store: Store, unit: Unit) -> None:
    """An organisation, a team and a user with a day's budget for ROOM requests each; two keys."""
    store.prices.set(PRICE, "test")
    budget = BudgetRecord(amount=ROOM * EACH[unit], unit=unit, span="day", zone="Asia/Kathmandu")
    parent = ""
    for kind in ("organisation", "team", "user"):
        record = PartyRecord(id=kind, kind=kind, name=kind, parent=parent, budgets=(budget,))
        store.parties.add(record, "test")
        parent = kind
    for name in ("one", "other"):
        new_key(store, name, owner=parent)


def payer(store: Store, number: int, at_us: int) -> Payer:
    keys = store.keys.all()
    key = keys[number % len(keys)]
    assert key.owner is not None
    of = levels.levels(key, store.parties.lineage(key.owner))
    found, _ = levels.payer(key, of, at_us)
    assert 3 == len(found.limited)
    return found


async def passed(ledger: Ledger, asked: list[Intent]) -> list[str]:
    """Ask for all at once; the ids of those that passed. They end only when all were decided."""
    held: list[Hold] = []
    refused: list[RequestError] = []

    async def attempt(each: Intent) -> None:
        try:
            hold = await ledger.hold(each)
        except RequestError as error:
            return refused.append(error)
        await ledger.durable(hold.ticket)
        return held.append(hold)

    async with asyncio.TaskGroup() as tasks:
        for each in asked:
            tasks.create_task(attempt(each))
    assert {("insufficient_quota", True, True)} >= {  # what others hold is not used up yet
        (error.code, "for the day" in error.message, "retry-after" in dict(error.headers))
        for error in refused
    }
    for hold in held:
        await ledger.durable(ledger.settle(hold, outcome(10)))
    return [hold.intent.request_id for hold in held]


def spent(store: Store, unit: Unit, at_us: int) -> list[int]:
    """What stands on the three levels' accounts of that day."""
    budget = BudgetRecord(amount=0, unit=unit, span="day", zone="Asia/Kathmandu")
    names = [
        windows.account(f"{kind}:{kind}", budget, at_us)
        for kind in ("organisation", "team", "user")
    ]
    found = store.accounts.some(names)
    assert [0, 0, 0] == [found[name].leased_nano for name in names]
    return [found[name].posted_nano for name in names]


@pytest.mark.parametrize("unit", UNITS)
def test_over_the_border_of_two_windows(tmp_path: pathlib.Path, unit: Unit) -> None:
    """Requests of two days in one crowd, in one process: each day lets its own 100 through, from
    its first request on, and is charged for them, whenever they end."""
    store = new_store(tmp_path)
    planted(store, unit)
    key = store.keys.all()[0]
    days = [(at_us, payer(store, 0, at_us)) for at_us in (NOON_US, NOON_US + DAY_US)]
    asked = []
    for number in range(2 * REQUESTS):
        at_us, given = days[number % 2]
        asked.append(intent(key, f"{number}", payer=given, created_us=at_us))

    async def run() -> list[str]:
        async with ledger_of(store) as ledger:
            return await passed(ledger, asked)

    through = asyncio.run(run())
    assert [ROOM, ROOM] == [sum(int(name) % 2 == day for name in through) for day in (0, 1)]
    for day in (0, 1):
        assert [ROOM * EACH[unit]] * 3 == spent(store, unit, NOON_US + day * DAY_US)
    assert [] == audit.faults(book_path(tmp_path))


@pytest.mark.parametrize("unit", UNITS)
def test_exactly_the_budget_passes(tmp_path: pathlib.Path, unit: Unit) -> None:
    """500 requests of two keys, in eight processes, against 100 of their user, their team and their
    organisation: exactly 100 pass, and all three are charged for them."""
    store = new_store(tmp_path)
    planted(store, unit)
    racers = subprocess.run(
        [sys.executable, __file__, str(tmp_path), str(PROCESSES)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[2])},
        check=True,
    )
    counts = [int(line) for line in racers.stdout.split()]
    assert (PROCESSES, ROOM) == (len(counts), sum(counts)), counts
    assert [ROOM * EACH[unit]] * 3 == spent(store, unit, NOON_US)
    assert [] == audit.faults(book_path(tmp_path))


async def race(home: pathlib.Path, name: str, start: Barrier) -> None:
    store = new_store(home)
    payers = [payer(store, number, NOON_US) for number in (0, 1)]
    key = store.keys.all()[0]
    asked = [
        intent(key, f"{name}-{number}", payer=payers[number % 2], created_us=NOON_US)
        for number in range(REQUESTS // start.parties)
    ]
    async with ledger_of(store) as ledger:
        await asyncio.to_thread(start.wait)
        os.write(1, f"{len(await passed(ledger, asked))}\n".encode())


def racer(home: pathlib.Path, name: str, start: Barrier) -> None:
    asyncio.run(race(home, name, start))


def test_free_models_do_not_escape_quotas(tmp_path: pathlib.Path) -> None:
    """What costs nothing still counts its tokens."""
    store = new_store(tmp_path)
    planted(store, "tokens")
    key, given = store.keys.all()[0], payer(store, 0, NOON_US)
    free = [
        intent(key, f"{number}", payer=given, model="free", created_us=NOON_US)
        for number in range(ROOM + 5)
    ]

    async def run() -> int:
        async with ledger_of(store) as ledger:
            return len(await passed(ledger, free))

    assert ROOM == asyncio.run(run())


if __name__ == "__main__":
    forked = multiprocessing.get_context("fork")
    start = forked.Barrier(int(sys.argv[2]))
    arguments = [(pathlib.Path(sys.argv[1]), f"{n}", start) for n in range(int(sys.argv[2]))]
    children = [forked.Process(target=racer, args=each) for each in arguments]
    for child in children:
        child.start()
    for child in children:
        child.join()
