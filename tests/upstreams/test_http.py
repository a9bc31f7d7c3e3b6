"""HTTP upstreams against fakes that speak each dialect's wire: what the relay gets is exact."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec
import pytest
import uvloop

from baton.errors import RequestError
from baton.semantics.events import Call, Delta, Event, Usage, UsageReported, Way
from baton.semantics.overrides import NONE, Overrides
from baton.upstreams.base import UpstreamError
from baton.upstreams.endpoint import TransportLimits
from baton.upstreams.http import HttpStream, HttpUpstream
from baton.upstreams.registry import build
from tests.fakes import word_model
from tests.fakes.fake_completions import DIALECTS, FakeCompletions

KEY = "sk-provider-0123456789abcdef"
PROMPT = "the river is"
OTHER = "def größe 日本"


@dataclasses.dataclass(frozen=True)
class Record:
    url: str
    dialect: str
    name: str = "up"
    secret: str | None = KEY
    allow_private: bool = True
    continuation: Mapping[str, Way] = dataclasses.field(default_factory=dict)
    more_secrets: tuple[str, ...] = ()
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    proxy: str | None = None
    overrides: Overrides = NONE
    fim: Mapping[str, str] = dataclasses.field(default_factory=dict)


@contextlib.asynccontextmanager
async def upstream(
    dialect: str, limits: TransportLimits | None = None
) -> AsyncIterator[tuple[FakeCompletions, HttpUpstream]]:
    """A fake of this dialect and an upstream that speaks to it."""
    async with FakeCompletions(dialect, key=KEY) as fake:
        built = build(Record(fake.url, dialect), limits or TransportLimits())
        try:
            yield fake, built
        finally:
            await built.close()


async def events_of(built: HttpUpstream, call: Call) -> list[Event]:
    stream = await built.open(call)
    found: list[Event] = []
    await read_into(found, stream)
    assert await stream.read() == ()
    return found


async def read_into(found: list[Event], stream: HttpStream) -> None:
    while events := await stream.read():
        found += events


def texts(events: Sequence[Event], choices: int) -> list[tuple[str, str | None]]:
    """Text and finish_reason of each choice; a finish_reason twice is an error."""
    text, finish = [""] * choices, [""] * choices
    for event in events:
        if isinstance(event, Delta):
            assert not finish[event.index]
            text[event.index] += event.text
            finish[event.index] = event.finish_reason or ""
    return list(zip(text, finish, strict=True))


def usage_of(events: Sequence[Event]) -> Usage:
    return [event for event in events if isinstance(event, UsageReported)][-1].usage


def expected_texts(call: Call) -> list[tuple[str, str]]:
    """What the model says, computed directly."""
    found = []
    for prompt in call.prompts:
        text = prompt if isinstance(prompt, str) else word_model.decode(prompt)
        for sample in range(call.n):
            seed = (call.seed or 0) * 1000 + sample
            stop = tuple(call.stop or ())
            sampling = word_model.Sampling(call.max_tokens, call.temperature, seed, stop)
            made = word_model.generate(text, sampling)
            echoed = text if call.echo else ""
            found.append((echoed + "".join(made.pieces), made.finish_reason))
    return found


CALLS = {
    "plain": Call(model="m", prompts=[PROMPT], max_tokens=12),
    "greedy": Call(model="m", prompts=[PROMPT], max_tokens=40, temperature=0.0),
    "ids": Call(model="m", prompts=[word_model.encode(OTHER)], max_tokens=9, temperature=0.0),
    "stop": Call(model="m", prompts=[PROMPT], max_tokens=60, temperature=0.0, stop=["e", " a"]),
    "many": Call(model="m", prompts=[PROMPT, OTHER], max_tokens=7, n=3, seed=5),
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("name", sorted(CALLS))
@pytest.mark.parametrize("dialect", sorted(DIALECTS))
def test_every_dialect_gives_the_models_own_text(dialect: str, name: str, stream: bool) -> None:
    """Text, indexes, finish_reasons and usage are the model's, streamed or not."""
    call = msgspec.structs.replace(CALLS[name], stream=stream)

    async def scenario() -> None:
        async with upstream(dialect) as (fake, built):
            events = await events_of(built, call)
            expected = expected_texts(call)
            assert texts(events, len(expected)) == expected
            usage = usage_of(events)
            encoded = [
                len(word_model.encode(p)) if isinstance(p, str) else len(p) for p in call.prompts
            ]
            assert usage.prompt_tokens == sum(encoded)
            assert not usage.estimated
            cached = None
            if fake.quirks.cached_tokens:
                alone = fake.quirks.usage_in_stream == "finish"
                cached = sum(n // 2 for n in encoded) if alone else sum(encoded) // 2
            assert usage.cached_tokens == cached
            await fake.until(lambda: built.in_flight == 0)
            again = await events_of(built, call)
            assert texts(again, len(expected)) == expected
            assert fake.accepted == 1  # whole answers leave their connection usable

    uvloop.run(scenario())


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("dialect", ["openai", "vllm", "sglang"])
def test_echo_and_logprobs(dialect: str, stream: bool) -> None:
    """The prompt first with its exact logprobs, null for the first, offsets from the prompt."""
    call = Call(
        model="m", prompts=[PROMPT], max_tokens=5, echo=True, logprobs=2, stream=stream, seed=3
    )

    async def scenario() -> None:
        async with upstream(dialect) as (_, built):
            events = await events_of(built, call)
            assert texts(events, 1) == expected_texts(call)
            joined = [e.logprobs for e in events if isinstance(e, Delta) and e.logprobs]
            tokens = [token for lp in joined for token in lp.tokens]
            values = [value for lp in joined for value in lp.token_logprobs]
            tops = [top for lp in joined for top in lp.top_logprobs]
            offsets = [offset for lp in joined for offset in lp.text_offset]
            text = expected_texts(call)[0][0]
            assert "".join(tokens) == text
            assert offsets == [len("".join(tokens[:i])) for i in range(len(tokens))]
            assert (values[0], tops[0]) == (None, None)
            for place in range(1, len(tokens)):
                before = text[: offsets[place]]
                token = word_model.encode(tokens[place])[0]
                true = word_model.position(before, token, 2)
                assert values[place] == true.logprob
                assert tops[place] == true.top

    uvloop.run(scenario())


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("alternatives", [0, 3])
@pytest.mark.parametrize("dialect", ["openai", "vllm", "sglang", "llama-server"])
def test_logprobs_without_echo(dialect: str, alternatives: int, stream: bool) -> None:
    """Every dialect's logprobs come in the legacy shape, with the token itself always in it."""
    call = Call(
        model="m", prompts=[PROMPT], max_tokens=6, logprobs=alternatives, stream=stream,
        temperature=0.0,
    )  # fmt: skip

    async def scenario() -> None:
        async with upstream(dialect) as (_, built):
            events = await events_of(built, call)
            place = len(PROMPT)
            for event in events:
                if not isinstance(event, Delta) or event.logprobs is None:
                    continue
                found = event.logprobs
                for token, value, top in zip(
                    found.tokens, found.token_logprobs, found.top_logprobs, strict=True
                ):
                    true = word_model.position(
                        (PROMPT + expected_texts(call)[0][0])[:place],
                        word_model.encode(token)[0],
                        alternatives,
                    )
                    assert found.text_offset[found.tokens.index(token)] == place or stream is False
                    assert (value, top) == (true.logprob, true.top)
                    place += len(token)
            assert place == len(PROMPT + expected_texts(call)[0][0])

    uvloop.run(scenario())


@pytest.mark.parametrize("echo", [True, False])
@pytest.mark.parametrize("stream", [True, False])
def test_scored_sums_the_generated_tokens(stream: bool, echo: bool) -> None:
    """The score is the sum over generated tokens alone; logprobs nobody asked for are not shown."""
    call = Call(
        model="m", prompts=[PROMPT], n=2, max_tokens=5, scored=True, stream=stream, echo=echo
    )

    async def scenario() -> None:
        async with upstream("vllm") as (_, built):
            events = await events_of(built, call)
            deltas = [event for event in events if isinstance(event, Delta)]
            assert all(delta.logprobs is None for delta in deltas)
            for sample in range(2):
                made = word_model.generate(
                    PROMPT, word_model.Sampling(5, seed=sample, alternatives=1)
                )
                total = sum(position.logprob or 0.0 for position in made.positions)
                last = [delta for delta in deltas if delta.index == sample][-1]
                assert last.score == pytest.approx(total)

    uvloop.run(scenario())


@pytest.mark.parametrize("stream", [True, False])
def test_vllm_tells_token_ids(stream: bool) -> None:
    """A hand-off resumes from the ids that came with the deltas."""
    call = Call(model="m", prompts=[PROMPT], max_tokens=8, temperature=0.0, stream=stream)

    async def scenario() -> None:
        async with upstream("vllm") as (_, built):
            events = await events_of(built, call)
            ids = [i for e in events if isinstance(e, Delta) for i in e.token_ids or ()]
            made = word_model.generate(PROMPT, word_model.Sampling(8, 0.0))
            assert ids == [position.token for position in made.positions]

    uvloop.run(scenario())


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
def test_too_long_is_the_callers_fault_everywhere(dialect: str) -> None:
    """Every server's wording of a context overflow becomes OpenAI's code, field and wording."""
    call = Call(model="m", prompts=[PROMPT], max_tokens=5000)

    async def scenario() -> None:
        async with upstream(dialect) as (_, built):
            with pytest.raises(RequestError) as caught:
                await built.open(call)
            error = caught.value
            assert (error.status, error.code, error.param) == (
                400, "context_length_exceeded", "prompt",
            )  # fmt: skip
            assert error.message.startswith("This model's maximum context length is 4096 tokens")
            assert built.in_flight == 0

    uvloop.run(scenario())


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
def test_a_wrong_provider_key_is_the_operators_fault(dialect: str) -> None:
    """401 from an upstream is no 401 for the caller, and no word of the key is told."""

    async def scenario() -> None:
        async with FakeCompletions(dialect, key="sk-another-key-000000") as fake:
            built = build(Record(fake.url, dialect), TransportLimits())
            with pytest.raises(UpstreamError) as caught:
                await built.open(CALLS["plain"])
            error = caught.value
            assert (error.phase, error.kind, error.status) == ("first_byte", "status", 401)
            assert KEY not in f"{error} {error.detail} {built!r}"
            await built.close()

    uvloop.run(scenario())


def test_a_key_in_an_upstreams_words_never_reaches_the_caller() -> None:
    """Our key, and whatever looks like one, is blotted out of a 400's message."""
    said = f"bad request with Authorization Bearer {KEY} or sk-ab12****************wxyz"

    async def scenario() -> None:
        async with upstream("openai") as (fake, built):
            fake.fault(status=400, body=msgspec.json.encode({"error": {"message": said}}).decode())
            with pytest.raises(RequestError) as caught:
                await built.open(CALLS["plain"])
            assert caught.value.message == ("bad request with Authorization Bearer [key] or [key]")

    uvloop.run(scenario())


def test_overload_says_when_to_come_back() -> None:
    """429 and 503 are `overloaded` with Retry-After; a redirect is a failure, never followed."""

    async def scenario() -> None:
        async with upstream("openai") as (fake, built):
            fake.fault(status=429, headers=["Retry-After: 7"])
            fake.fault(status=302, headers=["Location: http://169.254.169.254/"])
            with pytest.raises(UpstreamError) as first:
                await built.open(CALLS["plain"])
            error = first.value
            assert (error.kind, error.retry_after_s, error.retryable) == ("overloaded", 7.0, True)
            with pytest.raises(UpstreamError) as second:
                await built.open(CALLS["plain"])
            assert (second.value.kind, second.value.status) == ("status", 302)
            assert len(fake.requests) == 2

    uvloop.run(scenario())


@pytest.mark.parametrize("cut_by", ["fin", "rst"])
def test_a_cut_stream_never_looks_whole(cut_by: str) -> None:
    """Cut anywhere: what came is read, then UpstreamError; never a clean end."""
    call = msgspec.structs.replace(CALLS["greedy"], stream=True)
    whole_text = expected_texts(call)[0][0]

    async def scenario() -> None:
        async with upstream("vllm") as (fake, built):
            for place in range(1, 5000, 700):
                fake.fault(cut_after_bytes=place, cut_by=cut_by)
                stream = await built.open(call)
                came: list[Event] = []
                with pytest.raises(UpstreamError) as caught:
                    await read_into(came, stream)
                text = texts(came, 1)[0][0]
                assert (caught.value.phase, caught.value.retryable) == ("stream", False)
                assert whole_text.startswith(text)
                assert text != whole_text
            assert built.in_flight == 0

    uvloop.run(scenario())


def test_small_pieces_change_nothing() -> None:
    """A body in pieces of 3 bytes, each a segment and a chunk, gives the same events."""
    call = msgspec.structs.replace(CALLS["many"], stream=True)

    async def scenario() -> None:
        async with upstream("llama-server") as (fake, built):
            usual = await events_of(built, call)
            fake.fault(piece_bytes=3)
            assert await events_of(built, call) == usual

    uvloop.run(scenario())


@pytest.mark.parametrize("phase", ["head", "body"])
def test_close_and_cancel_abort_the_upstream(phase: str) -> None:
    """Closed or cancelled in any phase, the upstream's socket is closed."""
    call = msgspec.structs.replace(CALLS["greedy"], stream=True)

    async def scenario() -> None:
        async with upstream("vllm") as (fake, built):
            fake.fault(
                times=2, **({"delay_s": 9.0} if phase == "head" else {"stall_after_bytes": 900})
            )
            loop = asyncio.get_running_loop()
            task = loop.create_task(events_of(built, call))
            await fake.until(lambda: len(fake.seen) == 1)
            if phase == "body":
                stream = await built.open(call)
                await stream.read()
                stream.close()
                stream.close()
                await fake.until(lambda: fake.aborted == 1)
                assert await stream.read() == ()
            done = fake.aborted
            task.cancel()
            await fake.until(lambda: fake.aborted == done + 1)
            assert built.in_flight == 0

    uvloop.run(scenario())


def test_a_stream_ends_at_done_though_the_body_goes_on() -> None:
    """[DONE] is the end for the reader; an upstream that then stalls holds nobody up."""
    call = msgspec.structs.replace(CALLS["greedy"], stream=True)

    async def scenario() -> None:
        limits = TransportLimits(stale_window_s=0.05, idle_s=0.1)
        async with upstream("vllm", limits) as (fake, built):
            fake.fault(stall_after_bytes=1_000_000)
            assert texts(await events_of(built, call), 1) == expected_texts(call)
            await fake.until(lambda: fake.aborted == 1)

    uvloop.run(scenario())


def test_another_media_type_is_no_answer() -> None:
    """A captive portal's page with status 200 fails before anything is read from it."""

    async def scenario() -> None:
        async with upstream("openai") as (fake, built):
            fake.fault(status=200, body="<html>", headers=["Content-Type: text/html"])
            with pytest.raises(UpstreamError) as caught:
                await built.open(CALLS["plain"])
            assert (caught.value.phase, caught.value.kind) == ("first_byte", "protocol")

    uvloop.run(scenario())
