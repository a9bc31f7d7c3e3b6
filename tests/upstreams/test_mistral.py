"""What the mistral dialect sends, and what it makes of answers in the chat shape."""

import json
from typing import Any

import pytest
import uvloop

from baton.semantics.events import Call, Delta, Usage, UsageReported
from baton.upstreams.mistral import MistralAdapter
from tests.fakes.fake_local import FakeMistral
from tests.upstreams.talking import (
    decoded,
    events_of,
    finish_of,
    modelled,
    talking,
    text_of,
    usage_of,
)

CALL = Call(model="codestral", prompts=["def f("], max_tokens=5, stream=True)
RECORDED = (
    b'data: {"id":"e","object":"chat.completion.chunk","created":1,"model":"codestral-latest",'
    b'"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
    b'data: {"id":"e","object":"chat.completion.chunk","created":1,"model":"codestral-latest",'
    b'"choices":[{"index":0,"delta":{"content":"\xc3\xa9a"},"finish_reason":null}]}\n\n'
    b'data: {"id":"e","object":"chat.completion.chunk","created":1,"model":"codestral-latest",'
    b'"choices":[{"index":0,"delta":{"content":""},"finish_reason":"length"}],'
    b'"usage":{"prompt_tokens":8,"total_tokens":11,"completion_tokens":3}}\n\ndata: [DONE]\n\n'
)


def sent(call: Call) -> Any:
    return json.loads(MistralAdapter().request(call).body)


def test_what_is_sent() -> None:
    """Its own names; the seed is never negative; empty stops are left out."""
    assert MistralAdapter().request(CALL).path == "/fim/completions"
    assert sent(CALL) == {
        "model": "codestral",
        "prompt": "def f(",
        "max_tokens": 5,
        "temperature": 1.0,
        "top_p": 1.0,
        "stream": True,
    }
    more = Call(model="c", prompts=["a"], max_tokens=1, suffix="z", seed=-1, stop=["", "x"])
    found = sent(more)
    assert (found["suffix"], found["stop"], found["random_seed"]) == ("z", ["x"], 2**31 - 1)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_a_recorded_stream(size: int) -> None:
    """The same events however it is cut; the first empty delta is nothing."""
    pieces = [RECORDED[at : at + size] for at in range(0, len(RECORDED), size)]
    assert decoded(MistralAdapter(), CALL, pieces) == [
        Delta(0, "éa"),
        Delta(0, "", "length"),
        UsageReported(Usage(8, 3)),
    ]


def test_what_is_not_an_answer() -> None:
    """Other endings, more choices, content of another type, a cut."""
    for data, wrong in (
        ('{"choices":[{"finish_reason":"error"}]}', "status: the upstream gave up on a choice"),
        ('{"choices":[{},{}]}', "protocol: more choices than were asked for"),
        ('{"choices":[{"delta":{"content":5}}]}', "protocol: an answer of another shape"),
        ('{"object":"error","message":"x"}', "status: an error event"),
        ('{"choices":[]}', "protocol: ended before the choice had finished"),
    ):
        assert decoded(MistralAdapter(), CALL, [f"data: {data}\n\n".encode()]) == wrong


def test_an_answer_in_parts() -> None:
    """The vendor's types allow a list in place of the text: what is no text in it is left out."""
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]},
             {"type": "text", "text": "a "}, {"type": "reference", "reference_ids": [1]},
             {"type": "text", "text": "b"}]  # fmt: skip
    chunk = {"choices": [{"delta": {"content": parts}, "finish_reason": "stop"}]}
    events = decoded(MistralAdapter(), CALL, [f"data: {json.dumps(chunk)}\n\n".encode()])
    assert events == [Delta(0, "a b", "stop")]


@pytest.mark.parametrize("usage", [5, "5", [1], {"prompt_tokens": "5"}, {"prompt_tokens": 1.5}])
def test_nonsense_counts_are_no_report(usage: object) -> None:
    """The answer is one all the same."""
    chunk = {"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}], "usage": usage}
    events = decoded(MistralAdapter(), CALL, [f"data: {json.dumps(chunk)}\n\n".encode()])
    assert events == [Delta(0, "a", "stop")]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("suffix", [None, "return"])
def test_it_fills_the_middle(stream: bool, suffix: str | None) -> None:
    """Against the fake: suffix first as its models want it, text and usage right."""

    async def scenario() -> None:
        async with talking(FakeMistral()) as upstream:
            call = Call(
                model="m", prompts=["the a"], max_tokens=7, suffix=suffix, stream=stream, seed=1
            )
            events = await events_of(upstream, call)
            prompt = "the a" if suffix is None else "[SUFFIX]return[PREFIX]the a"
            expected = modelled(prompt, 7, seed=1000)
            assert text_of(events) == "".join(expected.pieces)
            assert finish_of(events) == [expected.finish_reason]
            assert usage_of(events).completion_tokens == expected.counted

    uvloop.run(scenario())
