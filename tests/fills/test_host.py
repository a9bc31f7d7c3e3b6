"""The calls of an attempt."""

import asyncio

import msgspec

from baton.fills.host import Host
from baton.fills.source import gather
from baton.routing.work import NOTHING, Work
from baton.semantics.events import Call, Delta, Logprobs
from baton.upstreams.base import Capabilities
from tests.fakes.scripted import EXACT, Script, Scripted

CALL = Call(model="m", prompts=["p", "q"], max_tokens=5, n=2, seed=1)


def end(text: str) -> Script:
    return [[Delta(0, text, "stop", token_ids=[1])]]


def test_one_call_where_it_fits() -> None:
    """Sent as it is, and kept count of."""
    upstream = Scripted([[Delta(i, str(i), "stop") for i in range(4)]])
    host = Host(upstream, NOTHING, None)
    assert 4 == len(asyncio.run(gather(asyncio.run(host.open(CALL)))))
    assert [CALL] == upstream.calls
    assert 1 == len(host.calls)


def test_as_many_calls_as_it_takes() -> None:
    """Each cut by itself, numbered as one; each has its own seed."""
    upstream = Scripted(*[end(f"{i}.STOP") for i in range(4)])
    work = Work(prompts_max=1, samples_max=1, parallel_max=1, stops=("STOP",))

    async def run() -> list[Delta]:
        return await gather(await Host(upstream, work, None).open(CALL))

    found = asyncio.run(run())
    assert [(i, f"{i}.", "stop") for i in range(4)] == [
        (d.index, d.text, d.finish_reason) for d in found
    ]
    assert [(["p"], 1), (["p"], 2), (["q"], 1), (["q"], 2)] == [
        (call.prompts, call.seed) for call in upstream.calls
    ]


def scored(text: str) -> Delta:
    return Delta(0, text, None, Logprobs([text], [-1.0], [{text: -1.0}], [0]))


def test_scoring_by_what_the_upstream_takes() -> None:
    """In one call without a token; else prompt by prompt, with one token that is dropped."""
    scoring = msgspec.structs.replace(CALL, n=1, max_tokens=0, echo=True, logprobs=0)
    able = msgspec.structs.replace(EXACT, prompt_arrays=True, max_tokens_zero=True)

    async def run(native: Capabilities, scripts: list[Script]) -> tuple[list[Call], list[Delta]]:
        upstream = Scripted(*scripts, native=native)
        found = await gather(await Host(upstream, NOTHING, None).score(scoring))
        return upstream.calls, found

    calls, _ = asyncio.run(run(able, [[[Delta(0, "p", "length"), Delta(1, "q", "length")]]]))
    assert [scoring] == calls
    poor: list[Script] = [
        [[scored("p"), Delta(0, "x", "length")]],
        [[scored("q"), Delta(0, "y", "stop")]],
    ]
    calls, found = asyncio.run(run(EXACT, poor))
    assert [(["p"], 1), (["q"], 1)] == [(call.prompts, call.max_tokens) for call in calls]
    assert ["p", "q"] == ["".join(d.text for d in found if d.index == i) for i in range(2)]
