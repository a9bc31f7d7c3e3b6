"""Workloads of shared prefixes, and what replicas' caches find of them, in simulated time.

Replicas answer for a fixed time, caches never forget, a cache is measured in characters of whole
blocks. `share` is what was found in the cache of the replica that was asked, divided by what one
cache that saw every prompt would have found.
"""

import dataclasses
import random
from collections import Counter
from collections.abc import Callable

from tests.fakes.replicas import World

BLOCK = 64
"""Characters: about 16 tokens."""
REQUESTS = 6000
PER_SECOND = 400
SERVICE_S = 0.25
"""100 under way on average: 25 a replica."""


class Cache:
    """Blocks of prompts that were seen, each with all before it."""

    def __init__(self) -> None:
        self._blocks: set[int] = set()

    def take(self, prompt: str) -> int:
        """How many characters at the beginning were there; all of them are from now on."""
        found, whole, chain = 0, True, 0
        for start in range(0, len(prompt) - BLOCK + 1, BLOCK):
            chain = hash((chain, prompt[start : start + BLOCK]))
            whole = whole and chain in self._blocks
            found += BLOCK * whole
            self._blocks.add(chain)
        return found


def text(generator: random.Random, size: int) -> str:
    return generator.randbytes(size // 2).hex()


def documents(generator: random.Random) -> Callable[[], str]:
    """200 documents of 2,000 to 8,000 characters, asked about as often as Zipf says."""
    found = [text(generator, generator.randrange(2000, 8000)) for _ in range(200)]
    weights = [1 / (rank + 1) for rank in range(len(found))]
    return lambda: generator.choices(found, weights)[0] + text(generator, 300)


def hot_document(generator: random.Random) -> Callable[[], str]:
    """Half of all requests begin with one and the same."""
    hot, others = text(generator, 6000), documents(generator)
    return lambda: hot + text(generator, 300) if generator.random() < 0.5 else others()


def conversations(generator: random.Random) -> Callable[[], str]:
    """One system prompt for all, 300 conversations that grow from turn to turn."""
    system = text(generator, 1500)
    begun: list[str] = [system + text(generator, 400) for _ in range(300)]

    def turn() -> str:
        number = generator.randrange(len(begun))
        begun[number] += text(generator, 200)
        if len(begun[number]) > 8000:
            begun[number] = system + text(generator, 400)
        return begun[number]

    return turn


WORKLOADS = {"documents": documents, "hot document": hot_document, "conversations": conversations}


@dataclasses.dataclass(frozen=True)
class Found:
    """What came of one workload."""

    share: float
    requests: float
    """Of the busiest replica, by the mean."""
    under_way: float
    """Likewise of what ran there at one time, on average, and"""
    under_way_max: float


def simulate(workload: str, names: str = "abcd", *, blind: bool = False) -> Found:
    """Run a workload over replicas of these names; `blind`: the relay is not shown the prompts."""
    prompt_of = WORKLOADS[workload](random.Random(7))
    world = World(names, SERVICE_S)
    caches = {name: Cache() for name in world.replicas}
    one, found, possible = Cache(), 0, 0
    work: Counter[str] = Counter()
    peaks = []
    for _ in range(REQUESTS):
        prompt = prompt_of()
        name = world.ask("" if blind else prompt)
        assert name is not None
        found += caches[name].take(prompt)
        possible += one.take(prompt)
        work[name] += 1
        loads = [replica.in_flight for replica in world.replicas.values()]
        peaks.append(max(loads) * len(loads) / sum(loads))
        world.wait(1 / PER_SECOND)
    warm = peaks[REQUESTS // 10 :]
    return Found(
        share=found / possible,
        requests=max(work.values()) * len(work) / REQUESTS,
        under_way=sum(warm) / len(warm),
        under_way_max=max(warm),
    )
