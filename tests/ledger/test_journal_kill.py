"""Acknowledged means durable exactly once: a writer is killed with SIGKILL at random moments.

The child runs a whole ledger, prints each id after its acknowledgement, and is killed. Then a new
process opens the home: every acknowledged charge stands in the book once, nothing stays open.
"""

import asyncio
import os
import pathlib
import random
import signal
import subprocess
import sys

from baton.stores import audit
from baton.stores.book import book_path
from tests.bookkeeping import PRICE, TOLD, intent, ledger_of, new_key, new_store, outcome

KILLS = int(os.environ.get("BATON_KILLS", "10"))
WRITERS = 16
BUDGET_NANO = 10**12


async def work(home: pathlib.Path, life: int) -> None:
    """The child: hold, acknowledge, checkpoint, settle, acknowledge; until it is killed."""
    store = new_store(home)
    (key,) = store.keys.all()

    async def requests(writer: int) -> None:
        for number in range(1_000_000):
            name = f"{life}-{writer}-{number}"
            hold = await ledger.hold(intent(key, name, max_tokens=200))
            await ledger.durable(hold.ticket)
            os.write(1, f"H {name}\n".encode())
            ledger.checkpoint(hold, 64, TOLD)
            await asyncio.sleep(0)
            ticket = ledger.settle(hold, outcome(100))
            await ledger.durable(ticket)
            os.write(1, f"S {name}\n".encode())

    async with ledger_of(store) as ledger, asyncio.TaskGroup() as tasks:
        for writer in range(WRITERS):
            tasks.create_task(requests(writer))


def nursery(home: pathlib.Path) -> None:
    """Fork a child for each line on stdin, so that only one process pays for the imports."""
    for life in sys.stdin:
        child = os.fork()
        if not child:
            asyncio.run(work(home, int(life)))
        os.write(1, f"P {child}\n".encode())
        os.waitpid(child, 0)
        os.write(1, b"E\n")


def killed_life(children: subprocess.Popen[bytes], life: int) -> dict[str, set[str]]:
    """Start a child, kill it some time after it began to work; what it acknowledged, by letter."""
    assert children.stdin is not None
    assert children.stdout is not None
    children.stdin.write(f"{life}\n".encode())
    children.stdin.flush()
    wanted = random.Random(life).randint(5, 300)
    acknowledged: dict[str, set[str]] = {letter: set() for letter in "HSP"}
    for number, line in enumerate(iter(children.stdout.readline, b"E\n")):
        letter, _, name = line.decode().strip().partition(" ")
        if letter in acknowledged:  # not a line of the log
            acknowledged[letter].add(name)
        if number >= wanted and acknowledged["P"]:
            os.kill(int(acknowledged["P"].pop()), signal.SIGKILL)
            wanted = sys.maxsize  # what it wrote until it died is still read
    return acknowledged


def test_killed_writer_loses_nothing(tmp_path: pathlib.Path) -> None:
    """After each kill: acknowledged ⇒ on the ledger once, with its charge; the books are right."""
    store = new_store(tmp_path)
    store.prices.set(PRICE, "test")
    key = new_key(store, budget_nano=BUDGET_NANO)
    held: set[str] = set()
    settled: set[str] = set()
    with subprocess.Popen(
        [sys.executable, __file__, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[2])},
    ) as children:
        for life in range(KILLS):
            acknowledged = killed_life(children, life)
            held |= acknowledged["H"]
            settled |= acknowledged["S"]

    async def reopen() -> None:
        async with ledger_of(store):
            pass

    asyncio.run(reopen())
    with store.database.reading() as connection:
        query = "SELECT request_id, state, charge FROM request"
        rows = [tuple(row) for row in connection.exec_driver_sql(query)]
    book = {name: (state, charge) for name, state, charge in rows}
    assert len(book) == len(rows), "no request is there twice"
    assert len(settled) > KILLS
    assert set() == held - book.keys()
    assert {("settled", 210)} == {book[name] for name in settled}
    for name, (state, charge) in book.items():
        assert (state, charge) in {("settled", 210), ("interrupted", 138), ("interrupted", 0)}, name
    account = store.accounts.get(key.account)
    assert (sum(charge for _, charge in book.values()), 0) == (
        account.posted_nano,
        account.leased_nano,
    )
    assert [] == audit.faults(book_path(tmp_path))


if __name__ == "__main__":
    nursery(pathlib.Path(sys.argv[1]))
