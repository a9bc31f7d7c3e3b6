"""What the ledger costs: python -m bench.ledger_bench [--requests N] [--concurrent N] [--rounds N]

Each request takes a hold on a limited account, waits until it is durable (before the first byte),
settles, and waits again (before the last). Then the same at a fixed rate, where each comes alone:
what the ledger adds to a request that is answered whole (a hold without a wait, a settle with one)
and to one that is streamed (both). Books and journals are on a disk, with fsync; PostgreSQL is the
one installed here, on the same machine. Prints one JSON object a line: the median round by rate,
with the spread of all rounds.
"""

import argparse
import asyncio
import gc
import json
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator

from baton.config import Settings
from baton.ledger.settle import Ledger
from baton.stores.base import KeyRecord
from baton.stores.book import Store, open_store
from baton.worker import GC_ALLOCATIONS
from tests.bookkeeping import PRICE, intent, ledger_of, new_key, outcome
from tests.servers import postgres

PLACE = "/var/tmp"
WARM_REQUESTS = 500
PACED_PER_S, PACED_REQUESTS = 500, 1_000


async def round_of(store: Store, requests: int, concurrent: int) -> dict[str, float]:
    """One round: requests a second, CPU of this process, and waits of single requests."""
    (key,) = store.keys.all()
    waits: list[float] = []

    async def caller(numbers: Iterator[int]) -> None:
        for number in numbers:
            began_s = time.perf_counter()
            hold = await ledger.hold(intent(key, f"r{number}"))
            await ledger.durable(hold.ticket)
            await ledger.durable(ledger.settle(hold, outcome(4)))
            waits.append(time.perf_counter() - began_s)

    async def load(count: int) -> None:
        numbers = iter(range(count))
        async with asyncio.TaskGroup() as callers:
            for _ in range(concurrent):
                callers.create_task(caller(numbers))

    async with ledger_of(store) as ledger:
        await load(WARM_REQUESTS)
        waits.clear()
        began_s, cpu_s = time.perf_counter(), time.process_time()
        await load(requests)
        took_s, used_s = time.perf_counter() - began_s, time.process_time() - cpu_s
        whole = await paced(ledger, key, streamed=False)
        streamed = await paced(ledger, key, streamed=True)
    return {
        "requests_per_s": round(requests / took_s),
        "cpu_us": round(used_s / requests * 1e6, 1),
        "p50_ms": at(waits, 50),
        "p99_ms": at(waits, 99),
        "whole_p50_ms": at(whole, 50),
        "whole_p99_ms": at(whole, 99),
        "streamed_p50_ms": at(streamed, 50),
        "streamed_p99_ms": at(streamed, 99),
    }


async def paced(ledger: Ledger, key: KeyRecord, *, streamed: bool) -> list[float]:
    """What the ledger adds to each of some requests that come at a fixed rate, seconds."""
    loop, waits = asyncio.get_running_loop(), []

    async def one(number: int) -> None:
        began_s = time.perf_counter()
        hold = await ledger.hold(intent(key, f"{'s' if streamed else 'w'}{number}"))
        if streamed:
            await ledger.durable(hold.ticket)
        await ledger.durable(ledger.settle(hold, outcome(4)))
        waits.append(time.perf_counter() - began_s)

    async with asyncio.TaskGroup() as requests:
        due_s = loop.time()
        for number in range(PACED_REQUESTS):
            due_s += 1 / PACED_PER_S
            await asyncio.sleep(due_s - loop.time())
            requests.create_task(one(number))
    return waits


def at(waits: list[float], percent: int) -> float:
    """A percentile, in milliseconds."""
    return round(sorted(waits)[len(waits) * percent // 100] * 1e3, 3)


def measured(kind: str, settings: Settings, options: argparse.Namespace) -> dict[str, object]:
    """The median round of this kind of book."""
    store = open_store(settings)
    store.prices.set(PRICE, "bench")
    new_key(store, budget_nano=10**15)
    gc.freeze()  # as a worker does
    gc.set_threshold(GC_ALLOCATIONS, 20, 50)
    rounds = [
        asyncio.run(round_of(store, options.requests, options.concurrent))
        for _ in range(options.rounds)
    ]
    store.close()
    rates = [each["requests_per_s"] for each in rounds]
    middle = next(each for each in rounds if each["requests_per_s"] == statistics.median_low(rates))
    return {"book": kind, "concurrent": options.concurrent, **middle, "all": sorted(rates)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.ledger_bench")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--concurrent", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(dir=PLACE) as folder,
        postgres(durable=True, place=PLACE) as server,
    ):
        home = pathlib.Path(folder)
        kinds = {
            "sqlite": Settings(home=str(home / "sqlite")),
            "postgresql": Settings(home=str(home / "local"), database_url=server.database()),
            "postgresql, shared journal": Settings(
                home=str(home / "shared"), database_url=server.database(), journal="shared"
            ),
        }
        for kind, settings in kinds.items():
            print(json.dumps(measured(kind, settings, options)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
