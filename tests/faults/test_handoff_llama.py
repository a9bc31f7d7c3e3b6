"""Two real llama.cpp servers as replicas: how often a handed over greedy stream is the undisturbed
one, beside its control: a client that resumes by itself from the same text on the same replica.

Re-prompting computes in another shape than decoding did, so near-ties flip on quantised models, for
anybody. What must hold: nothing fails, nothing before the seam differs, and Baton does as well as
the control.
"""

import contextlib
import pathlib
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import uvloop

from baton.handing import Bounds
from baton.relay import Relay
from baton.routing.budget import Budget
from baton.routing.health import Health
from baton.routing.plan import Plan
from baton.semantics.events import Delta
from baton.sites import Site
from baton.upstreams.endpoint import TransportLimits
from baton.upstreams.registry import build
from tests.fakes.scripted import planned
from tests.faults.fault_proxy import FaultProxy, Trouble
from tests.test_handing import whole
from tests.upstreams.test_http import Record

TOKENS = 40
STREAMS = 24
OPENINGS = (
    "In a village at the foot of a mountain there lived an old clockmaker who",
    "import json\nimport pathlib\n\n\nclass Settings:\n    def __init__(self, path):\n",
    "The three most important inventions of the nineteenth century were",
    "Dear Sir or Madam, I am writing to you about the noise that comes from",
    "To bake a good loaf of bread one needs, first of all,",
    "Q: Why is the sky blue?\nA: Because",
)


@contextlib.contextmanager
def servers(model: pathlib.Path) -> Iterator[list[int]]:
    """Two of them; their ports."""
    words = [sys.executable, "-m", "bench.llama_server", str(model), "1", "2", "512"]
    started = [
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for _ in range(2)
    ]
    try:
        ports = []
        for process in started:
            assert process.stdout is not None
            ports.append(int(process.stdout.readline().strip().rsplit(":", 1)[1]))
        yield ports
    finally:
        for process in started:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


@contextlib.asynccontextmanager
async def replicas(ports: list[int]) -> AsyncIterator[tuple[Relay, FaultProxy]]:
    async with FaultProxy(ports[0]) as proxy:
        limits = TransportLimits()
        first = build(Record(proxy.url, "llama-server", "a"), limits)
        second = build(Record(f"http://127.0.0.1:{ports[1]}", "llama-server", "b"), limits)
        sites = {"a": Site("a", first), "b": Site("b", second, priority=1)}
        try:
            yield Relay(sites, Budget(tokens_min=1e9, tokens_max=1e9), Bounds()), proxy
        finally:
            await first.close()
            await second.close()


def request(prompt: str, *names: str, max_tokens: int = TOKENS) -> Plan:
    fields: dict[str, Any] = {"prompts": [prompt], "max_tokens": max_tokens, "temperature": 0.0}
    return planned(*names, **fields)


def text(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


async def compare(ports: list[int]) -> tuple[int, int]:
    """Identical texts handed over, and identical ones resumed by a client."""
    dice, same, control = random.Random(1), 0, 0
    async with replicas(ports) as (relay, proxy):
        for number in range(STREAMS):
            prompt = OPENINGS[number % len(OPENINGS)] + " " * (number // len(OPENINGS))
            _, calm = await whole(relay, request(prompt, "a"))
            site = relay.site("a")
            assert site is not None
            site.health = Health()
            proxy.arm(Trouble(dice.choice(("fin", "rst")), dice.randrange(1500, 6000)))
            hits = proxy.hits
            answer, broken = await whole(relay, request(prompt, "a", "b"))
            proxy.arm(None)
            assert proxy.hits == hits + 1 == hits + answer.handoffs
            lost, *_ = answer.spent
            seam = text(calm[: lost.usage.completion_tokens])
            assert text(broken).startswith(seam), number
            left = TOKENS - lost.usage.completion_tokens
            _, resumed = await whole(relay, request(prompt + seam, "b", max_tokens=left))
            same += text(broken) == text(calm)
            control += seam + text(resumed) == text(calm)
    return same, control


@pytest.mark.soak
def test_real_replicas(default_model: pathlib.Path) -> None:
    """All streams are whole and equal up to the seam; beyond it, no worse than the control."""
    with servers(default_model) as ports:
        same, control = uvloop.run(compare(ports))
    print(f"handed over: {same} of {STREAMS} identical; control: {control} of {STREAMS}")
    assert same >= control - 1
