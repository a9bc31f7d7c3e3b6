"""The calls of an attempt."""

import asyncio

import msgspec

from baton.fills.host import Host
from baton.fills.source import gather
from baton.routing.work import NOTHING, Work
from baton.semantics.events import Call, Delta, Logprobs, Usage, UsageReported
from baton.upstreams.base import Capabilities, Vocabulary
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


class Letters:
    """A vocabulary in which every character is a token."""

    async def counts(self, texts: list[str], *, start: bool) -> list[int] | None:
        return [len(text) for text in texts]

    async def text(self, ids: list[int]) -> str:
        return "x" * len(ids)

    async def measure(self, text: str, tokens_max: int) -> tuple[int, int] | None:
        return len(text), min(len(text), tokens_max)


def test_a_chats_prompt_is_not_counted_by_its_text() -> None:
    """More is sent than that: what was reported or guessed of it, wrapping and all, holds."""

    async def told(native: Capabilities) -> Usage:
        work, call = Work(counted=True), msgspec.structs.replace(CALL, prompts=["p"], n=1)
        reported = UsageReported(Usage(300, 0, estimated=True))
        upstream = Read([[reported], *end("four")], native=native)
        source = await Host(upstream, work, None).open(call)
        await gather(source)
        return source.usage

    chats = Capabilities(wrapping_tokens=999, exact_usage=True)
    assert Usage(300, 4, estimated=True) == asyncio.run(told(chats))
    plain = Capabilities(exact_usage=True)
    assert Usage(1, 4, estimated=True) == asyncio.run(told(plain))


class Read(Scripted):
    """An upstream whose models have one."""

    def vocabulary(self, model: str) -> Vocabulary | None:
        return Letters()


def measured(native: Capabilities, work: Work, **fields: object) -> tuple[str, Usage]:
    """What is seen of twenty letters, and what they count."""
    call = msgspec.structs.replace(CALL, prompts=["p"], n=1, **fields)

    async def run() -> tuple[str, Usage]:
        upstream = Read([[Delta(0, "x" * 10), Delta(0, "y" * 10, "stop")]], native=native)
        source = await Host(upstream, work, None).open(call)
        return "".join(delta.text for delta in await gather(source)), source.usage

    return asyncio.run(run())


def test_a_vocabulary_measures_what_nothing_else_tells() -> None:
    """A server that is trusted has some slack; logprobs and an echo of ids are not measured."""
    rough, counted = msgspec.structs.replace(EXACT, bounded=False), Work(counted=True)
    assert ("x" * 5, 5) == told(measured(EXACT, counted))
    assert ("x" * 10 + "y" * 10, 20) == told(measured(EXACT, counted, max_tokens=20))
    bounded = Work(counted=True, tokens_max=18)
    assert ("x" * 10 + "y" * 8, 18) == told(measured(rough, bounded, max_tokens=18))
    assert 20 == len(measured(EXACT, counted, max_tokens=18)[0])
    assert 20 == len(measured(EXACT, counted, logprobs=0)[0])
    assert "" == measured(EXACT, Work(counted=True, tokens_max=0))[0]
    assert 20 == len(measured(EXACT, NOTHING)[0])


def told(found: tuple[str, Usage]) -> tuple[str, int]:
    return found[0], found[1].completion_tokens


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
