"""Four processes, one budget for 100 requests: exactly 100 pass, whatever the timing."""

import asyncio
import multiprocessing
import os
import pathlib
import subprocess
import sys
from multiprocessing.synchronize import Barrier

from baton.errors import RequestError
from baton.stores import audit
from baton.stores.book import book_path
from tests.bookkeeping import PRICE, intent, ledger_of, new_key, new_store, outcome

PROCESSES, ATTEMPTS, ROOM = 4, 125, 100


async def race(home: pathlib.Path, name: str, start: Barrier) -> None:
    """Wait for the others, then ask for everything at once; prints how many passed."""
    store = new_store(home)
    (key,) = store.keys.all()
    passed = 0

    async def attempt(number: int) -> None:
        nonlocal passed
        try:
            hold = await ledger.hold(intent(key, f"{name}-{number}"))
        except RequestError as error:
            if error.code == "insufficient_quota":
                return
            raise
        await ledger.durable(hold.ticket)
        passed += 1
        await ledger.durable(ledger.settle(hold, outcome(10)))

    async with ledger_of(store) as ledger:
        await asyncio.to_thread(start.wait)
        async with asyncio.TaskGroup() as tasks:
            for number in range(ATTEMPTS):
                tasks.create_task(attempt(number))
    os.write(1, f"{passed}\n".encode())


def racer(home: pathlib.Path, name: str, start: Barrier) -> None:
    asyncio.run(race(home, name, start))


def test_exactly_the_budget_passes(tmp_path: pathlib.Path) -> None:
    """The sum over all processes is the budget: no request more, none less."""
    store = new_store(tmp_path)
    store.prices.set(PRICE, "test")
    key = new_key(store, budget_nano=ROOM * 30)
    racers = subprocess.run(
        [sys.executable, __file__, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[2])},
        check=True,
    )
    counts = [int(line) for line in racers.stdout.split()]
    assert (PROCESSES, ROOM) == (len(counts), sum(counts)), counts
    account = store.accounts.get(key.account)
    assert (ROOM * 30, 0) == (account.posted_nano, account.leased_nano)
    assert [] == audit.faults(book_path(tmp_path))


if __name__ == "__main__":
    started = multiprocessing.get_context("fork")
    start = started.Barrier(PROCESSES)
    arguments = [(pathlib.Path(sys.argv[1]), f"{number}", start) for number in range(PROCESSES)]
    children = [started.Process(target=racer, args=each) for each in arguments]
    for child in children:
        child.start()
    for child in children:
        child.join()
