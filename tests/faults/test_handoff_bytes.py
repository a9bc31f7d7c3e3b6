"""Cut at every byte: the upstream's answer is broken behind each byte of it in turn, and the caller
has the very answer that an undisturbed run gives: text, joined chunks, offsets, logprobs,
finish_reason and usage.

Both upstreams compute the same function of all tokens so far. The bytes are those of the wire:
chunked encoding, server-sent events; half frames and half characters are all among the cuts. For
every byte of many answers they come without a socket (`wire_in_memory.py`), else through a proxy.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest
import uvloop

from baton.handing import Bounds
from baton.relay import Relay
from baton.routing.budget import Budget
from baton.routing.health import Health
from baton.routing.plan import Plan
from baton.semantics.events import Usage
from baton.sites import Site
from baton.upstreams.base import Upstream
from baton.upstreams.endpoint import TransportLimits
from baton.upstreams.registry import build
from tests.fakes import word_model
from tests.fakes.fake_completions import FakeCompletions
from tests.faults.fault_proxy import NOISE, FaultProxy, Kind, Trouble, trouble_of
from tests.faults.wire_in_memory import Cut, MemoryServer
from tests.test_handing import plan, shown, whole
from tests.upstreams.test_http import KEY, Record

STALL_S = 0.05
CUTS: tuple[Kind, ...] = ("fin", "rst")
PIECES = (8 * 1024, 8 * 1024, 8 * 1024, 600, 90)
"""Bytes that come at once."""
Shown = tuple[list[dict[str, Any]], Usage]
TOKENS_MANY = 8
"""So that the fifty answers have some hundred thousand bytes in all."""
SHORT: dict[str, dict[str, Any]] = {
    "text": {"max_tokens": 3},
    "logprobs": {"max_tokens": 2, "logprobs": 1},
    "samples": {"max_tokens": 2, "n": 2},
    "echo": {"max_tokens": 2, "echo": True, "logprobs": 0},
    "stop": {"max_tokens": 12, "stop": ["zzz", "ße the"], "seed": 7},
    "multi-byte": {"max_tokens": 3, "prompts": [" größe 日本"], "seed": 8},
}


def scripted(dice: random.Random, tokens_max: int = 20) -> dict[str, Any]:
    """A request of some shape."""
    prompt = "".join(dice.choices(word_model.WORDS[1:], k=dice.randint(1, 6)))
    fields: dict[str, Any] = {
        "prompts": [prompt] * dice.choice([1, 1, 2]),
        "max_tokens": dice.randint(3, tokens_max),
        "temperature": dice.choice([0.0, 1.0]),
        "n": dice.choice([1, 1, 2]),
        "echo": dice.random() < 0.3,
        "logprobs": dice.choice([None, None, 0, 2]),
    }
    if dice.random() < 0.3:
        fields["stop"] = dice.sample(word_model.WORDS[1:], 3)
    elif dice.random() < 0.3 and not fields["echo"]:  # with which vLLM tells no ids to go on from
        fields["prompts"] = [word_model.encode(prompt)]
    return fields


def over(first: Any, second: Any) -> Relay:
    """A relay over two upstreams: the first is asked first."""
    sites = {"a": Site("a", first), "b": Site("b", second, priority=1)}
    retries = Budget(tokens_min=1e9, tokens_max=1e9)  # every answer breaks
    return Relay(sites, retries, Bounds(wait_s=1.0))


async def answer(relay: Relay, asked: Plan) -> Shown:
    """What a caller has. Nobody is passed over for what was before."""
    for name in ("a", "b"):
        site = relay.site(name)
        assert site is not None
        site.health = Health()
    found, deltas = await whole(relay, asked)
    usage = found.usage
    if asked.request.echo or isinstance(asked.request.prompts[0], str):
        # vLLM tells no ids with an echo: a choice that ended is counted by its text. A text that
        # another one went on from is divided anew, and what that says of the prompt an estimate.
        usage = msgspec.structs.replace(usage, estimated=False)
    return shown(asked, deltas), usage


def asked(fields: dict[str, Any]) -> Plan:
    return plan("a", "b", **{"seed": 5, **fields})


def fakes() -> Iterator[FakeCompletions]:
    for _ in range(2):
        fake = FakeCompletions("vllm")
        fake.seeded = False
        yield fake


async def cut_everywhere(fields: dict[str, Any], dice: random.Random) -> int:
    """How many cuts there are; each leaves no trace."""
    first, second = map(MemoryServer, fakes())
    upstreams: list[Upstream] = [first.upstream("a"), second.upstream("b")]
    relay, request = over(*upstreams), asked(fields)
    calm = await answer(relay, request)
    while True:
        hits = first.hits
        cut = Cut(hits, dice.random() < 0.5, dice.choice(PIECES))
        first.arm(cut)
        assert calm == await answer(relay, request), cut
        if first.hits == hits:
            break
    for upstream in upstreams:
        await upstream.close()
    return hits


@pytest.mark.parametrize("case", SHORT)
def test_cut_at_every_byte(case: str) -> None:
    """Streams of each kind, by FIN and by RST."""
    assert uvloop.run(cut_everywhere(SHORT[case], random.Random(case))) > 500


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(50))
def test_cut_at_every_byte_of_many(seed: int) -> None:
    """Fifty streams of all shapes."""
    dice = random.Random(seed)
    assert uvloop.run(cut_everywhere(scripted(dice, TOKENS_MANY), dice)) > 300


class Pair:
    """Over sockets: the first upstream breaks as the proxy is told."""

    def __init__(self, relay: Relay, proxy: FaultProxy) -> None:
        self.relay, self.proxy = relay, proxy

    async def answer(self, asked: Plan, trouble: Trouble | None) -> Shown:
        """What a caller has, with that trouble in the first upstream's answer."""
        self.proxy.arm(trouble)
        return await answer(self.relay, asked)


@contextlib.asynccontextmanager
async def pair() -> AsyncIterator[Pair]:
    limits = TransportLimits(stall_timeout_s=STALL_S, first_byte_timeout_s=STALL_S)
    async with (
        FakeCompletions("vllm", key=KEY) as one,
        FakeCompletions("vllm", key=KEY) as two,
        FaultProxy(one.port) as proxy,
    ):
        one.seeded = two.seeded = False
        first = build(Record(proxy.url, "vllm", "a"), limits)
        second = build(Record(two.url, "vllm", "b"), limits)
        try:
            yield Pair(over(first, second), proxy)
        finally:
            await first.close()
            await second.close()


async def cut_here_and_there(fields: dict[str, Any], dice: random.Random, step: int) -> int:
    """How many answers were cut, each some bytes behind the one before."""
    request, place = asked(fields), 0
    async with pair() as both:
        calm = await both.answer(request, None)
        while True:
            hits = both.proxy.hits
            kind = dice.choice(CUTS)
            assert calm == await both.answer(request, Trouble(kind, place)), (kind, place)
            if both.proxy.hits == hits:
                return hits
            place += dice.randint(1, 2 * step)


@pytest.mark.parametrize("case", SHORT)
def test_cuts_through_sockets(case: str) -> None:
    """The same over real ones, at every twentieth byte or so."""
    assert uvloop.run(cut_here_and_there(SHORT[case], random.Random(case), 20)) > 20


async def break_anyhow(seed: int, times: int) -> None:
    dice = random.Random(seed)
    async with pair() as both:
        for _ in range(times):
            request = asked(scripted(dice))
            calm = await both.answer(request, None)
            trouble = trouble_of(dice, 3000)
            assert calm == await both.answer(request, trouble), (request, trouble)


def test_other_troubles() -> None:
    """Silence, a server that is gone, noise in a frame, slowness: the same answer."""
    asyncio.run(break_anyhow(1, 30))


@pytest.mark.soak
def test_other_troubles_often() -> None:
    """Many of them."""
    for seed in range(20):
        asyncio.run(break_anyhow(seed, 100))


def test_noise_is_no_text() -> None:
    """What the proxy puts into a frame can be part of no honest answer."""
    with pytest.raises(UnicodeDecodeError):
        bytes([NOISE]).decode()
