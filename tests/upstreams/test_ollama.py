"""What the ollama dialect sends, and what it makes of Ollama's lines."""

import itertools
import json
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from baton.errors import RequestError
from baton.semantics.events import Call, Delta, Usage, UsageReported
from baton.upstreams.ollama import OllamaAdapter
from tests.fakes.dialects import said
from tests.fakes.fake_ollama import FakeOllama
from tests.upstreams.talking import (
    decoded,
    events_of,
    finish_of,
    modelled,
    talking,
    text_of,
    usage_of,
)

CALL = Call(model="m", prompts=["the river"], max_tokens=5, stream=True)
RECORDED = (
    b'{"model":"m","created_at":"2026-01-01T00:00:00Z","response":"H\xc3\xa9","done":false}\n'
    b'{"model":"m","created_at":"2026-01-01T00:00:00Z","response":"","done":true,'
    b'"done_reason":"length","context":[1,2],"total_duration":5,"prompt_eval_count":26,'
    b'"eval_count":2,"eval_duration":4}\n'
)
RECORDED_EVENTS = [Delta(0, "Hé"), Delta(0, "", "length"), UsageReported(Usage(26, 2))]


def sent(call: Call) -> Any:
    return json.loads(OllamaAdapter().request(call).body)


def test_a_prompt_goes_raw_and_whole() -> None:
    """No chat template, no cutting, no shifting, OpenAI's sampling instead of its own."""
    assert sent(CALL) == {
        "model": "m",
        "prompt": "the river",
        "stream": True,
        "raw": True,
        "truncate": False,
        "shift": False,
        "think": False,
        "options": {
            "num_predict": 5,
            "temperature": 1.0,
            "top_p": 1.0,
            "top_k": 0,
            "min_p": 0.0,
            "typical_p": 1.0,
            "repeat_penalty": 1.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "stop": [],
            "seed": -1,
        },
    }


def test_a_suffix_goes_without_raw() -> None:
    """With it the suffix would be left out in silence; the model's template places both."""
    found = sent(Call(model="m", prompts=["a"], max_tokens=1, suffix="z"))
    assert found["suffix"] == "z"
    assert "raw" not in found


def test_every_field_has_its_place() -> None:
    """Stops without empty ones, a seed that is never "random", logprobs at the top."""
    call = Call(model="m", prompts=["a"], max_tokens=1, stop=["", "x"], seed=-1, logprobs=3)
    found = sent(call)
    assert found["options"]["stop"] == ["x"]
    assert found["options"]["seed"] == 2**31 - 1
    assert (found["logprobs"], found["top_logprobs"]) == (True, 3)
    chosen = sent(Call(model="m", prompts=["a"], max_tokens=1, logprobs=0))
    assert chosen["logprobs"] is True
    assert "top_logprobs" not in chosen


def test_an_empty_prompt_is_refused() -> None:
    """It would only load the model."""
    with pytest.raises(RequestError) as caught:
        sent(Call(model="m", prompts=[""], max_tokens=1))
    assert (caught.value.status, caught.value.param) == (400, "prompt")


@given(st.lists(st.integers(0, len(RECORDED)), max_size=6))
def test_lines_may_come_in_any_pieces(cuts: list[int]) -> None:
    """A recorded answer gives the same events, however it is cut, with and without the last end."""
    for data in (RECORDED, RECORDED[:-1]):
        places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
        pieces = [data[start:end] for start, end in itertools.pairwise(places)]
        assert decoded(OllamaAdapter(), CALL, pieces) == RECORDED_EVENTS


def test_what_is_not_an_answer() -> None:
    """Error lines, a model that was only loaded, a cut, text after the end, other shapes."""
    end = b'{"response":"","done":true,"done_reason":"stop"}\n'
    for data, wrong in (
        (b'{"error":"llama runner process has terminated"}\n', "status: an error line"),
        (
            b'{"response":"","done":true,"done_reason":"load"}\n',
            "status: the upstream gave up on a choice",
        ),
        (b'{"response":"a","done":false}\n', "protocol: ended before the choice had finished"),
        (end + b'{"response":"a"}\n', "protocol: text after the end of a choice"),
        (b"<html>\n", "protocol: an answer of another shape"),
        (b'{"response":5}\n', "protocol: an answer of another shape"),
    ):
        assert decoded(OllamaAdapter(), CALL, [data]) == wrong


def test_an_error_line_may_blame_the_request() -> None:
    """That a prompt is too long is told by words alone."""
    data = b'{"error":"the input length exceeds the context length"}\n'
    with pytest.raises(RequestError) as caught:
        decoded(OllamaAdapter(), CALL, [data])
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "prompt")


@pytest.mark.parametrize("count", [-1, 2**63, 2**200, 1.5, "5", True, [1]])
def test_nonsense_counts_are_no_report(count: object) -> None:
    """Negative, enormous or no number at all: the answer counts as unreported."""
    line = {"response": "", "done": True, "done_reason": "stop", "eval_count": count}
    found = decoded(OllamaAdapter(), CALL, [json.dumps(line).encode()])
    assert found == [Delta(0, "", "stop")]


@pytest.mark.parametrize("stream", [True, False])
def test_it_continues_the_text_as_it_stands(stream: bool) -> None:
    """Against the fake: the model saw the raw prompt, stops work, usage is Ollama's."""

    async def scenario() -> None:
        fake = FakeOllama()
        async with talking(fake, "/v1") as upstream:
            call = Call(model="m", prompts=["the river"], max_tokens=9, stream=stream, seed=7)
            events = await events_of(upstream, call)
            expected = modelled("the river", 9, seed=7000)
            assert text_of(events) == "".join(expected.pieces)
            assert finish_of(events) == [expected.finish_reason]
            assert usage_of(events) == Usage(4, expected.counted)
            assert fake.seen[0]["raw"] is True

    uvloop.run(scenario())


def test_a_cached_prompt_is_estimated() -> None:
    """No count of the prompt: a flagged estimate, and the exact count of what was generated."""

    async def scenario() -> None:
        async with talking(FakeOllama(cached=True)) as upstream:
            usage = usage_of(await events_of(upstream, CALL))
            assert usage == Usage(3, 5, estimated=True)

    uvloop.run(scenario())


@pytest.mark.parametrize("stream", [True, False])
def test_logprobs(stream: bool) -> None:
    """They come in OpenAI's legacy shape and join to the text."""

    async def scenario() -> None:
        async with talking(FakeOllama()) as upstream:
            call = Call(model="m", prompts=["the"], max_tokens=4, stream=stream, logprobs=2)
            events = await events_of(upstream, call)
            scored = [event.logprobs for event in events if isinstance(event, Delta)]
            tokens = [token for each in scored if each for token in each.tokens]
            assert "".join(tokens) == text_of(events)
            assert next(each.text_offset[0] for each in scored if each) == 3

    uvloop.run(scenario())


def test_refusals() -> None:
    """No insert template, too long a prompt, an Ollama without logprobs: 400s, none ignored."""

    async def scenario() -> None:
        for fake, changes, param, code in (
            (FakeOllama(insert=False), {"suffix": "x"}, "suffix", None),
            (FakeOllama(), {"prompts": ["a " * 5000]}, "prompt", "context_length_exceeded"),
            (FakeOllama(old=True), {"logprobs": 1}, "logprobs", "unsupported_parameter"),
        ):
            async with talking(fake) as upstream:
                with pytest.raises(RequestError) as caught:
                    await events_of(upstream, Call(**{**_fields(CALL), **changes}))
                assert (caught.value.status, caught.value.code) == (400, code)
                assert caught.value.param == param

    uvloop.run(scenario())


def _fields(call: Call) -> dict[str, Any]:
    return {name: getattr(call, name) for name in call.__struct_fields__}


@pytest.mark.parametrize("stream", [True, False])
def test_what_a_modelfile_says_does_not_hold(stream: bool) -> None:
    """Stops, penalties and a seed of the model's own, of which the request says nothing."""

    async def scenario() -> None:
        expected = modelled("the river", 9, temperature=0)
        parameters = {"stop": [expected.pieces[1]], "presence_penalty": 2.0, "seed": 42}
        call = Call(model="m", prompts=["the river"], max_tokens=9, stream=stream, temperature=0)
        async with talking(FakeOllama(parameters=parameters)) as upstream:
            assert text_of(await events_of(upstream, call)) == "".join(expected.pieces)

    uvloop.run(scenario())


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("logprobs", [None, 0])
def test_no_stop_is_shown(stream: bool, logprobs: int | None) -> None:
    """Of two that are complete with one token Ollama cuts at the one that is listed first; and its
    own engine looks for none in the last token. What is shown is cut by us."""

    async def scenario() -> None:
        expected = modelled("the river", 3, temperature=0)
        whole, last = "".join(expected.pieces), expected.pieces[2]
        call = Call(model="m", prompts=["the river"], max_tokens=3, temperature=0)
        asked = {"stream": stream, "logprobs": logprobs, "scored": True}
        for fake, stops in (
            (FakeOllama(), [last[-1], last[1]]),
            (FakeOllama(runner="own"), [last[1:]]),
        ):
            async with talking(fake) as upstream:
                events = await events_of(
                    upstream, Call(**{**_fields(call), **asked, "stop": stops})
                )
            assert text_of(events) == whole[: -len(last) + 1]
            assert finish_of(events) == ["stop"]
            assert usage_of(events) == Usage(4, 3)
            deltas = [event for event in events if isinstance(event, Delta)]
            assert deltas[-1].scored_tokens == 3
            assert any(delta.logprobs for delta in deltas) is (logprobs is not None)

    uvloop.run(scenario())


def test_a_runner_that_knows_no_stops() -> None:
    """As that of MLX: what comes behind the stop is not shown, nor counted exactly any more."""

    async def scenario() -> None:
        expected = modelled("the river", 9, temperature=0)
        stop = expected.pieces[3]
        fields = {**_fields(CALL), "max_tokens": 9, "temperature": 0, "stop": [stop]}
        async with talking(FakeOllama(runner="mlx")) as upstream:
            events = await events_of(upstream, Call(**fields))
        whole = "".join(expected.pieces)
        assert (text_of(events), finish_of(events)) == (whole[: whole.index(stop)], ["stop"])
        assert usage_of(events) == Usage(4, 4, estimated=True)

    uvloop.run(scenario())


@pytest.mark.parametrize("stream", [True, False])
def test_thoughts_are_text(stream: bool) -> None:
    """A model that may think puts what it thinks elsewhere, also of a raw prompt."""

    async def scenario() -> None:
        fake = FakeOllama(thinks=True)
        fake.script(said("<think> it flows </think> the river"))
        async with talking(fake) as upstream:
            events = await events_of(upstream, Call(**{**_fields(CALL), "stream": stream}))
            assert text_of(events) == "<think> it flows </think> the river"

    uvloop.run(scenario())


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("stop", [None, ["nab"]])
def test_a_loop_that_it_ends(stream: bool, stop: list[str] | None) -> None:
    """The 32nd piece in a row that is the same ends an answer, without a last line: by a limit."""

    async def scenario() -> None:
        fake = FakeOllama()
        fake.script(said("so " + "na " * 50))
        call = Call(model="m", prompts=["a"], max_tokens=60, stream=stream, stop=stop)
        async with talking(fake) as upstream:
            events = await events_of(upstream, call)
            assert text_of(events) == "so " + "na " * 31
            assert finish_of(events) == ["length"]
            assert not any(isinstance(event, UsageReported) for event in events)

    uvloop.run(scenario())


def test_an_end_without_a_loop() -> None:
    """Fewer pieces, or other ones: a cut."""
    for pieces in (["na"] * 30, ["na"] * 30 + ["no"], ["na"] + ["no"] * 30):
        lines = [json.dumps({"response": piece, "done": False}).encode() for piece in pieces]
        found = decoded(OllamaAdapter(), CALL, [b"\n".join(lines) + b"\n"])
        assert found == "protocol: ended before the choice had finished"


@pytest.mark.parametrize("stream", [True, False])
def test_it_ends_where_its_window_does(stream: bool) -> None:
    """More than fits after a prompt is no refusal: the answer is shorter, and says so."""

    async def scenario() -> None:
        async with talking(FakeOllama()) as upstream:
            call = Call(model="m", prompts=["a" * 4080], max_tokens=900, stream=stream)
            events = await events_of(upstream, call)
            assert (finish_of(events), usage_of(events)) == (["length"], Usage(4080, 16))

    uvloop.run(scenario())
