"""Chat upstreams over HTTP against fakes that speak each dialect's wire."""

import contextlib
import dataclasses
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest
import uvloop

from baton.errors import RequestError
from baton.semantics.events import Call, Delta, Event, FinishReason, Usage, UsageReported, Way
from baton.semantics.overrides import NONE, Overrides
from baton.upstreams.base import UpstreamError
from baton.upstreams.endpoint import TransportLimits
from baton.upstreams.http import HttpStream, HttpUpstream
from baton.upstreams.registry import build
from tests.fakes import word_model
from tests.fakes.dialects import said
from tests.fakes.fake_anthropic import CACHED_TOKENS, WRITTEN_TOKENS, FakeAnthropic
from tests.fakes.fake_chat import FakeChat
from tests.fakes.fake_gemini import FakeGemini
from tests.fakes.fake_openai_chat import FakeOpenAIChat

KEY = "sk-provider-0123456789abcdef"
PROMPT = "the river is"
FAKES: dict[str, type[FakeChat]] = {
    "openai-chat": FakeOpenAIChat,
    "anthropic": FakeAnthropic,
    "gemini": FakeGemini,
}
every_dialect = pytest.mark.parametrize("dialect", sorted(FAKES))
streamed_or_not = pytest.mark.parametrize("stream", [True, False])


@dataclasses.dataclass(frozen=True)
class Record:
    url: str
    dialect: str
    continuation: Mapping[str, Way] = dataclasses.field(default_factory=dict)
    name: str = "up"
    secret: str | None = KEY
    allow_private: bool = True
    more_secrets: tuple[str, ...] = ()
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    proxy: str | None = None
    overrides: Overrides = NONE
    fim: Mapping[str, str] = dataclasses.field(default_factory=dict)


@contextlib.asynccontextmanager
async def upstream(
    dialect: str, way: Way = "instruct", key: str = KEY
) -> AsyncIterator[tuple[FakeChat, HttpUpstream]]:
    """A fake of this dialect and an upstream that speaks to it."""
    async with FAKES[dialect](key=KEY) as fake:
        assert isinstance(fake, FakeChat)
        record = Record(fake.url, dialect, {"*": way}, secret=key)
        built = build(record, TransportLimits())
        try:
            yield fake, built
        finally:
            await built.close()


async def events_of(built: HttpUpstream, call: Call) -> list[Event]:
    found: list[Event] = []
    await read_into(found, await built.open(call))
    return found


async def read_into(found: list[Event], stream: HttpStream) -> None:
    while events := await stream.read():
        found += events


def text_of(events: Sequence[Event]) -> tuple[str, FinishReason | None]:
    deltas = [event for event in events if isinstance(event, Delta)]
    assert [delta.finish_reason for delta in deltas[:-1]] == [None] * (len(deltas) - 1)
    return "".join(delta.text for delta in deltas), deltas[-1].finish_reason


def usage_of(events: Sequence[Event]) -> Usage:
    return [event.usage for event in events if isinstance(event, UsageReported)][-1]


@streamed_or_not
@pytest.mark.parametrize(
    "model",
    ["claude-opus-5", "claude-sonnet-5", "claude-haiku-5-5", "claude-sonnet-5-5",
     "claude-opus-5-5", "claude-fable-5"],
)  # fmt: skip
def test_a_model_that_thinks_by_default_writes_all_the_same(model: str, stream: bool) -> None:
    """Left to itself it would think until nothing of max_tokens is left."""
    call = Call(model=model, prompts=[PROMPT], max_tokens=5, stream=stream)
    made = word_model.generate(PROMPT, word_model.Sampling(5))

    async def scenario() -> None:
        async with upstream("anthropic", "instruct") as (_, built):
            events = await events_of(built, call)
            assert text_of(events) == ("".join(made.pieces), made.finish_reason)

    uvloop.run(scenario())


@every_dialect
@streamed_or_not
@pytest.mark.parametrize("way", ["instruct", "prefill"])
@pytest.mark.parametrize("max_tokens", [3, 60])
def test_every_dialect_continues_the_prompt_itself(
    dialect: str, stream: bool, way: Way, max_tokens: int
) -> None:
    """Text, finish_reason and counts are the model's, whatever is put around the prompt."""
    call = Call(model="theirs", prompts=[PROMPT], max_tokens=max_tokens, stream=stream)
    made = word_model.generate(PROMPT, word_model.Sampling(max_tokens))

    async def scenario() -> None:
        async with upstream(dialect, way) as (fake, built):
            events = await events_of(built, call)
            assert text_of(events) == ("".join(made.pieces), made.finish_reason)
            usage = usage_of(events)
            assert (usage.completion_tokens, usage.estimated) == (made.counted, False)
            assert usage.prompt_tokens > len(word_model.encode(PROMPT))
            if dialect == "anthropic":
                told = (usage.cached_tokens, usage.cache_write_tokens)
                assert told == (CACHED_TOKENS, WRITTEN_TOKENS)
            assert len(fake.seen) == 1

    uvloop.run(scenario())


@every_dialect
@streamed_or_not
def test_a_polite_answer_is_cleaned(dialect: str, stream: bool) -> None:
    """Over every wire, in whatever pieces its server sends."""
    call = Call(model="theirs", prompts=["The cat sat on the"], max_tokens=60, stream=stream)
    polite = "Sure! Here is the continuation of the text:\n\nThe cat sat on the mat."

    async def scenario() -> None:
        async with upstream(dialect) as (fake, built):
            fake.script(said(polite))
            assert text_of(await events_of(built, call)) == (" mat.", "stop")

    uvloop.run(scenario())


@every_dialect
@streamed_or_not
def test_a_hole_is_filled(dialect: str, stream: bool) -> None:
    """Both sides are told, and the suffix is not said again, also where texts are prefilled."""
    suffix = "\n\nprint(total)  # and that is all"
    call = Call(model="theirs", prompts=["total ="], suffix=suffix, max_tokens=60, stream=stream)

    async def scenario() -> None:
        async with upstream(dialect, "prefill") as (fake, built):
            fake.script(said("```python\n 5" + suffix + "\n```"))
            assert text_of(await events_of(built, call)) == (" 5", "stop")
            assert "print(total)" in str(fake.seen[0])

    uvloop.run(scenario())


def test_logprobs_of_a_chat_are_the_models() -> None:
    """In the legacy shape, with offsets from the prompt's start."""
    call = Call(
        model="theirs", prompts=[PROMPT], max_tokens=9, logprobs=2, scored=True, stream=True
    )
    made = word_model.generate(PROMPT, word_model.Sampling(9, alternatives=2))

    async def scenario() -> None:
        async with upstream("openai-chat") as (_, built):
            deltas = [e for e in await events_of(built, call) if isinstance(e, Delta)]
            shown = [delta.logprobs for delta in deltas if delta.logprobs is not None]
            tokens = [token for each in shown for token in each.tokens]
            assert tokens == made.pieces
            offsets = [offset for each in shown for offset in each.text_offset]
            starts = [0, *itertools.accumulate(map(len, made.pieces))][: len(offsets)]
            assert offsets == [len(PROMPT) + start for start in starts]
            logprobs = [position.logprob for position in made.positions]
            assert [value for each in shown for value in each.token_logprobs] == logprobs
            assert deltas[-1].score == pytest.approx(sum(value or 0.0 for value in logprobs))

    uvloop.run(scenario())


@every_dialect
@streamed_or_not
def test_a_wrong_key_is_the_operators(dialect: str, stream: bool) -> None:
    """Also where the server says so with a 400; no word of it reaches a caller."""
    call = Call(model="theirs", prompts=[PROMPT], max_tokens=3, stream=stream)

    async def scenario() -> None:
        async with upstream(dialect, key="wrong") as (_, built):
            with pytest.raises(UpstreamError) as caught:
                await events_of(built, call)
            assert (caught.value.kind, caught.value.retryable) == ("status", True)
            assert "key" not in str(caught.value)

    uvloop.run(scenario())


@every_dialect
def test_a_prompt_that_is_too_long_is_the_callers(dialect: str) -> None:
    """With OpenAI's wording and the size of the context."""
    call = Call(model="theirs", prompts=["the " * 5000], max_tokens=3)

    async def scenario() -> None:
        async with upstream(dialect) as (_, built):
            with pytest.raises(RequestError) as caught:
                await events_of(built, call)
            assert caught.value.code == "context_length_exceeded"
            assert caught.value.message.startswith(
                "This model's maximum context length is 4096 tokens"
            )

    uvloop.run(scenario())


@every_dialect
@pytest.mark.parametrize("cut_by", ["fin", "rst"])
def test_a_stream_that_is_cut_is_never_whole(dialect: str, cut_by: str) -> None:
    """Wherever it breaks, the caller is told; what came until then is known."""
    call = Call(model="theirs", prompts=[PROMPT], max_tokens=30, stream=True)

    async def scenario() -> None:
        async with upstream(dialect) as (fake, built):
            fake.fault(cut_after_bytes=1200, cut_by=cut_by)
            stream = await built.open(call)
            found: list[Event] = []
            with pytest.raises(UpstreamError) as caught:
                await read_into(found, stream)
            assert caught.value.phase == "stream"
            assert not any(isinstance(each, Delta) and each.finish_reason for each in found)

    uvloop.run(scenario())


@every_dialect
def test_pieces_of_one_byte(dialect: str) -> None:
    """The events are the same however the network cuts them."""
    call = Call(model="theirs", prompts=["日本"], max_tokens=12, stream=True)

    async def scenario() -> None:
        async with upstream(dialect) as (fake, built):
            expected = await events_of(built, call)
            fake.fault(piece_bytes=1)
            assert await events_of(built, call) == expected

    uvloop.run(scenario())


@streamed_or_not
def test_thoughts_are_no_text(stream: bool) -> None:
    """But they are counted where the server tells them."""
    call = Call(model="theirs", prompts=[PROMPT], max_tokens=6, stream=stream)
    made = word_model.generate(PROMPT, word_model.Sampling(6))

    async def scenario() -> None:
        async with upstream("gemini") as (fake, built):
            assert isinstance(fake, FakeGemini)
            fake.thoughts = 5
            events = await events_of(built, call)
            assert text_of(events)[0] == "".join(made.pieces)
            usage = usage_of(events)
            assert (usage.completion_tokens, usage.reasoning_tokens) == (made.counted + 5, 5)
            fake.script(said("x", "blocked"))
            assert text_of(await events_of(built, call)) == ("", "content_filter")
        async with upstream("anthropic") as (fake, built):
            assert isinstance(fake, FakeAnthropic)
            fake.thinking = True
            assert text_of(await events_of(built, call))[0] == "".join(made.pieces)

    uvloop.run(scenario())


@pytest.mark.parametrize(
    ("dialect", "payload"),
    [
        ("openai-chat", '{"error":{"message":"boom"}}'),
        (
            "anthropic",
            '{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}',
        ),
        ("gemini", '{"error":{"code":503,"status":"UNAVAILABLE","message":"overloaded"}}'),
    ],
)
def test_an_error_in_mid_stream_ends_the_answer(dialect: str, payload: str) -> None:
    """After some text, with no finish_reason."""
    call = Call(model="theirs", prompts=[PROMPT], max_tokens=30, stream=True)

    async def scenario() -> None:
        async with upstream(dialect) as (fake, built):
            fake.fault(insert_after_event=6, insert=payload)
            with pytest.raises(UpstreamError) as caught:
                await events_of(built, call)
            assert caught.value.phase == "stream"

    uvloop.run(scenario())
