"""Several processes, one budget for 100 requests: exactly 100 pass, whatever the timing.

On SQLite they are workers of one home; on PostgreSQL they are nodes, each with a home of its own.
"""

import asyncio
import multiprocessing
import os
import pathlib
import subprocess
import sys
from multiprocessing.synchronize import Barrier

import msgspec
import pytest

from baton.config import Settings
from baton.errors import RequestError
from baton.stores import audit
from baton.stores.book import Store, open_store
from tests.bookkeeping import (
    PRICE,
    book_of,
    intent,
    ledger_of,
    new_key,
    new_store,
    outcome,
    settings,
)
from tests.servers import Postgres

ATTEMPTS, ROOM = 500, 100
MASTER_KEY = "ab" * 32
"""Nodes have the same."""


async def race(settings: Settings, name: str, start: Barrier) -> None:
    """Wait for the others, then ask for everything at once; prints how many passed."""
    store = open_store(settings)
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
            for number in range(ATTEMPTS // start.parties):
                tasks.create_task(attempt(number))
    os.write(1, f"{passed}\n".encode())


def racer(settings: Settings, name: str, start: Barrier) -> None:
    asyncio.run(race(settings, name, start))


def raced(*racers: Settings) -> list[int]:
    """How many of each passed; each is a process."""
    done = subprocess.run(
        [sys.executable, __file__],
        input=msgspec.json.encode(racers),
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[2])},
        check=True,
    )
    return [int(line) for line in done.stdout.split()]


def exactly_the_budget(store: Store, *racers: Settings) -> None:
    store.prices.set(PRICE, "test")
    key = new_key(store, budget_nano=ROOM * 30)
    counts = raced(*racers)
    assert (len(racers), ROOM) == (len(counts), sum(counts)), counts
    account = store.accounts.get(key.account)
    assert (ROOM * 30, 0) == (account.posted_nano, account.leased_nano)
    assert [] == audit.faults(book_of(store))
    assert ROOM == len(store.usage.requests(1_000))
    store.close()


@pytest.mark.parametrize("processes", [1, 8])
def test_exactly_the_budget_passes(tmp_path: pathlib.Path, processes: int) -> None:
    """The sum over all workers is the budget: no request more, none less."""
    given = settings(tmp_path)
    exactly_the_budget(new_store(tmp_path), *[given] * processes)


@pytest.mark.parametrize("journal", ["local", "shared"])
def test_exactly_the_budget_passes_on_nodes(
    tmp_path: pathlib.Path, cluster: Postgres, journal: str
) -> None:
    """Likewise on three nodes that share nothing but PostgreSQL."""
    url = cluster.database()
    nodes = [
        settings(tmp_path / name, database_url=url, journal=journal, master_key=MASTER_KEY)
        for name in ("a", "b", "c")
    ]
    exactly_the_budget(open_store(nodes[0]), *nodes)


if __name__ == "__main__":
    given = msgspec.json.decode(sys.stdin.buffer.read(), type=list[Settings])
    started = multiprocessing.get_context("fork")
    start = started.Barrier(len(given))
    children = [
        started.Process(target=racer, args=(each, f"{number}", start))
        for number, each in enumerate(given)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join()
