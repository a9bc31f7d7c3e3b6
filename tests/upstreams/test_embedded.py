"""The embedded upstream on a real engine process (tiny model), also when that dies."""

import asyncio
import contextlib
import pathlib
from collections.abc import Callable, Coroutine, Iterator

import msgspec
import pytest
import uvloop

from baton.engine.wire import Generate
from baton.errors import RequestError
from baton.semantics.events import Call, Delta, Event, UsageReported
from baton.upstreams.base import Begun, Upstream, UpstreamError, UpstreamStream, queued_s
from baton.upstreams.embedded import EmbeddedStream, EmbeddedUpstream
from tests.engine.process import EngineProcess, engine_process
from tests.fakes import tiny_gguf

BAN = {tiny_gguf.EOS: -100.0, tiny_gguf.FIM_PAD: -100.0}
DEADLINE_S = 20.0


@pytest.fixture(scope="module")
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tiny_gguf.write(tmp_path_factory.mktemp("model") / "tiny.gguf")


@pytest.fixture(scope="module")
def engine(
    tiny_file: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EngineProcess]:
    options = ("--sequences", "4", "--queue-max", "3")
    with engine_process(tiny_file, tmp_path_factory.mktemp("engine"), *options) as running:
        yield running


def call(prompt: str = "abc", max_tokens: int = 5, **fields: object) -> Call:
    return Call(
        model="m",
        prompts=[prompt],
        max_tokens=max_tokens,
        logit_bias=BAN,
        **fields,  # type: ignore[arg-type]
    )


def run(socket: str, test: Callable[[EmbeddedUpstream], Coroutine[None, None, None]]) -> None:
    async def inside() -> None:
        upstream = EmbeddedUpstream("embedded", socket)
        async with asyncio.timeout(DEADLINE_S):
            try:
                await test(upstream)
            finally:
                await upstream.close()

    uvloop.run(inside())


async def whole(stream: UpstreamStream) -> list[Event]:
    found: list[Event] = []
    while events := await stream.read():
        found += events
    return found


def test_it_is_an_upstream(engine: EngineProcess) -> None:
    """Deltas, then the exact usage, then nothing; the fingerprint and the prompt's length."""

    async def test(upstream: EmbeddedUpstream) -> None:
        as_upstream: Upstream = upstream
        stream = await as_upstream.open(call(n=2))
        assert isinstance(stream, EmbeddedStream)
        assert 3 == stream.prompt_tokens
        events = await whole(stream)
        assert () == await stream.read()
        *deltas, reported = events
        assert all(isinstance(delta, Delta) for delta in deltas)
        assert isinstance(reported, UsageReported)
        assert (3, 10) == (reported.usage.prompt_tokens, reported.usage.completion_tokens)
        assert stream.finished is not None
        assert [[3]] == stream.finished.splits
        assert (await upstream.describe()).fingerprint == upstream.fingerprint

    run(engine.socket, test)


def test_connections_are_used_again(engine: EngineProcess) -> None:
    """One after the other on one connection, side by side on several; none is busy at the end."""

    async def test(upstream: EmbeddedUpstream) -> None:
        for _ in range(3):
            await whole(await upstream.open(call()))
        assert 1 == len(upstream._idle)
        streams = [await upstream.open(call(seed=seed)) for seed in range(4)]
        assert 4 == upstream.in_flight
        await asyncio.gather(*map(whole, streams))
        assert (0, 4) == (upstream.in_flight, len(upstream._idle))

    run(engine.socket, test)


def test_tokens(engine: EngineProcess) -> None:
    """Tokenizer calls, with the caller's faults as RequestError."""

    async def test(upstream: EmbeddedUpstream) -> None:
        assert [120, 121] == (await upstream.tokenize("xy", add_special=False)).ids
        assert "xy" == await upstream.detokenize([120, 121])
        with pytest.raises(RequestError) as caught:
            await upstream.detokenize([-1])
        assert 400 == caught.value.status

    run(engine.socket, test)


def test_the_callers_fault(engine: EngineProcess) -> None:
    """A refusal comes from `open`, with OpenAI's fields."""

    async def test(upstream: EmbeddedUpstream) -> None:
        with pytest.raises(RequestError, match="maximum context length is 512 tokens") as caught:
            await upstream.open(call(max_tokens=1000))
        assert (400, "context_length_exceeded") == (caught.value.status, caught.value.code)
        await whole(await upstream.open(call()))

    run(engine.socket, test)


def test_a_full_queue(engine: EngineProcess) -> None:
    """429 with retry-after; leaving makes room again."""

    async def test(upstream: EmbeddedUpstream) -> None:
        running = [await upstream.open(call(n=4, max_tokens=400))]
        await running[0].read()
        running += [await upstream.open(call()) for _ in range(3)]
        with pytest.raises(RequestError) as caught:
            await upstream.open(call())
        assert (429, "overloaded") == (caught.value.status, caught.value.code)
        assert 1 <= int(dict(caught.value.headers)["retry-after"])
        for stream in running:
            stream.close()
            stream.close()
        await until_idle(upstream)
        await whole(await upstream.open(call()))
        told = await upstream.describe()
        assert 0 < told.steps == sum(told.step.counts) <= told.batch_tokens
        assert 0 < told.prompts == sum(told.queue.counts)
        assert 0 < told.kept_tokens <= told.sequences_max * told.context_tokens_max

    run(engine.socket, test)


def test_waiting_is_told(engine: EngineProcess) -> None:
    """Of a call that came while others had all places: until its first step; known at its end."""

    async def test(upstream: EmbeddedUpstream) -> None:
        running = await upstream.open(call(n=4, max_tokens=60))
        waiting = await upstream.open(call())
        assert 0.0 == queued_s(waiting)
        await asyncio.gather(whole(running), whole(waiting))
        assert queued_s(running) < queued_s(waiting)
        assert 0.0 < queued_s(waiting) < DEADLINE_S

    run(engine.socket, test)


async def until_idle(upstream: EmbeddedUpstream) -> None:
    """The engine reports that nothing runs any more."""
    while (found := await upstream.describe()).running or found.waiting:
        pass


def test_closing_cancels(engine: EngineProcess) -> None:
    """Also when a read is cancelled; the engine has nothing left to do."""

    async def test(upstream: EmbeddedUpstream) -> None:
        stream = await upstream.open(call(max_tokens=400))
        await stream.read()
        stream.close()
        stream = await upstream.open(call(n=100, max_tokens=400))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(whole(stream), 0.05)
        assert 0 == upstream.in_flight
        await until_idle(upstream)

    run(engine.socket, test)


def test_what_is_not_read_is_not_received(engine: EngineProcess) -> None:
    """A reader that waits holds the engine back after a few hundred kilobytes, not for ever."""

    async def test(upstream: EmbeddedUpstream) -> None:
        stream = await upstream.open(call(n=3, max_tokens=500, logprobs=100))
        await stream.read()
        before, still = -1, 0
        while still < 5:
            await asyncio.sleep(0.02)
            now = (await upstream.describe()).generated_tokens
            still, before = (still + 1, now) if now == before else (0, now)
        assert (await upstream.describe()).running > 0
        events = await whole(stream)
        assert 3 == sum(isinstance(e, Delta) and e.finish_reason == "length" for e in events)

    run(engine.socket, test)


def test_a_replay_goes_on(engine: EngineProcess) -> None:
    """With the seed and the ids of a cut stream the rest is the same, to the byte."""

    async def test(upstream: EmbeddedUpstream) -> None:
        asked = call("abc" * 30, max_tokens=20, temperature=1.0, deterministic=True)
        stream = await upstream.open(asked)
        deltas = [event for event in await whole(stream) if isinstance(event, Delta)]
        assert stream.finished is not None
        ids = [token for delta in deltas[:9] for token in delta.token_ids or ()]
        seeded = call(
            "abc" * 30, 20, temperature=1.0, deterministic=True, seed=stream.accepted.seed
        )
        request = Generate(seeded, replay=[ids])
        again = await whole(await upstream.generate(request))
        assert deltas[9:] == [event for event in again if isinstance(event, Delta)]

    run(engine.socket, test)


def test_a_replay_of_several_prompts(engine: EngineProcess) -> None:
    """Each goes on with its own chances, also where nobody gave a seed."""

    async def test(upstream: EmbeddedUpstream) -> None:
        asked = call("abc" * 30, max_tokens=12, temperature=1.0, deterministic=True)
        asked = msgspec.structs.replace(asked, prompts=asked.prompts * 3)
        stream = await upstream.open(asked)
        ids: list[list[int]] = [[], [], []]
        for event in await whole(stream):
            if isinstance(event, Delta):
                ids[event.index] += event.token_ids or ()
        assert 3 == len({tuple(one) for one in ids})
        begun = Begun([one[:5] for one in ids], [False] * 3)
        rest: list[list[int]] = [[], [], []]
        for event in await whole(await upstream.replay(stream, asked, begun)):
            if isinstance(event, Delta):
                rest[event.index] += event.token_ids or ()
        assert [one[5:] for one in ids] == rest

    run(engine.socket, test)


def test_no_engine(tmp_path: pathlib.Path) -> None:
    """Nothing listens: it may be tried again in a second."""

    async def test(upstream: EmbeddedUpstream) -> None:
        with pytest.raises(UpstreamError) as caught:
            await upstream.open(call())
        error = caught.value
        assert ("connect", "refused", True) == (error.phase, error.kind, error.retryable)
        assert error.retry_after_s is not None

    run(str(tmp_path / "nothing.sock"), test)


def test_the_engine_dies_and_returns(tiny_file: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """A cut stream is an error; pooled connections to the dead engine are replaced silently."""

    async def test(upstream: EmbeddedUpstream) -> None:
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(engine_process(tiny_file, tmp_path))
            streams = [await upstream.open(call(max_tokens=3 + 400 * at)) for at in range(2)]
            await whole(streams[0])
            await streams[1].read()
            first.process.kill()
            with pytest.raises(UpstreamError) as caught:
                await whole(streams[1])
            assert ("stream", "network", False) == (
                caught.value.phase,
                caught.value.kind,
                caught.value.retryable,
            )
            first.process.wait()
            stack.enter_context(engine_process(tiny_file, tmp_path))
            assert 5 == sum(
                len(event.token_ids or ())
                for event in await whole(await upstream.open(call()))
                if isinstance(event, Delta)
            )

    run(str(tmp_path / "engine.sock"), test)
