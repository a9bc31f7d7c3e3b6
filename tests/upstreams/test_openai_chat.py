"""What a chat server is asked, and what its chunks mean, odd ones included."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from baton.errors import RequestError
from baton.semantics.events import Call, Delta, Event, Logprobs, Usage, UsageReported, Way
from baton.semantics.usage import guess
from baton.upstreams.base import Decoder, UpstreamError
from baton.upstreams.completions_wire import TOKENS_MAX
from baton.upstreams.openai_chat import OpenAIChatAdapter

CALL = Call(model="m", prompts=["The sky is"], max_tokens=16, stream=True)
WHOLE = Call(model="m", prompts=["The sky is"], max_tokens=16)


def sent(call: Call, way: Way = "instruct") -> Any:
    request = OpenAIChatAdapter({"*": way}).request(call)
    assert request.path == "/chat/completions"
    return json.loads(request.body)


def decoded(decoder: Decoder, data: bytes, size: int = 0) -> list[Event]:
    size = size or len(data)
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    found = [event for piece in pieces for event in decoder.feed(piece)]
    return [*found, *decoder.finish()]


def stream(*chunks: str) -> bytes:
    return "".join(f"data: {chunk}\n\n" for chunk in chunks).encode()


def chunk(delta: str, more: str = '"finish_reason":null') -> str:
    return f'{{"choices":[{{"index":0,"delta":{delta},{more}}}],"usage":null}}'


def test_a_plain_call_is_an_instruction_and_a_text() -> None:
    """Sampling is said, since servers have defaults of their own; nothing else is."""
    body = sent(WHOLE)
    assert [each["role"] for each in body.pop("messages")] == ["system", "user"]
    assert body == {"model": "m", "max_tokens": 16, "temperature": 1.0, "top_p": 1.0}


def test_everything_that_is_set_is_sent() -> None:
    """In the chat's own names; what is ours never."""
    call = Call(
        model="m", prompts=["p"], max_tokens=3, temperature=0.0, top_p=0.5, presence_penalty=1.0,
        frequency_penalty=-1.0, logit_bias={5: 2.0}, logprobs=3, seed=0, user="u", stream=True,
        tenant="k", deterministic=True,
    )  # fmt: skip
    body = sent(call)
    del body["messages"]
    assert body == {
        "model": "m", "max_tokens": 3, "temperature": 0.0, "top_p": 0.5, "presence_penalty": 1.0,
        "frequency_penalty": -1.0, "logit_bias": {"5": 2.0}, "logprobs": True, "top_logprobs": 3,
        "seed": 0, "user": "u", "stream": True, "stream_options": {"include_usage": True},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("logprobs", "scored", "expected"),
    [(0, False, (True, None)), (None, True, (True, 1)), (None, False, (None, None))],
)
def test_logprobs_are_asked_for_as_a_chat_has_them(
    logprobs: int | None, scored: bool, expected: tuple[bool | None, int | None]
) -> None:
    """A flag and a number of alternatives."""
    call = Call(model="m", prompts=["p"], max_tokens=3, logprobs=logprobs, scored=scored)
    body = sent(call)
    assert (body.get("logprobs"), body.get("top_logprobs")) == expected


@pytest.mark.parametrize("model", ["o3-mini", "openai/gpt-5.2", "gpt-6"])
def test_reasoning_models_know_another_limit(model: str) -> None:
    """And no sampling but their own, which is OpenAI's default."""
    body = sent(Call(model=model, prompts=["p"], max_tokens=3))
    assert body.keys() == {"model", "messages", "max_completion_tokens"}
    assert sent(Call(model=model, prompts=["p"], max_tokens=3, top_p=0.5))["top_p"] == 0.5


@pytest.mark.parametrize(
    ("way", "message", "further"),
    [
        ("prefill", {}, {"add_generation_prompt": False, "continue_final_message": True}),
        ("prefix", {"prefix": True}, {}),
        ("partial", {"partial": True}, {}),
    ],
)
def test_three_ways_of_prefill(
    way: Way, message: dict[str, bool], further: dict[str, bool]
) -> None:
    """Each as the servers that have it want it."""
    body = sent(Call(model="m", prompts=["a \n"], max_tokens=3), way)
    assert body["messages"][-1] == {"role": "assistant", "content": "a \n", **message}
    assert {name: body[name] for name in body if "_message" in name or "prompt" in name} == further


OPENAI = stream(
    '{"choices":[],"prompt_filter_results":[{"prompt_index":0}]}',
    chunk('{"role":"assistant","content":"","refusal":null}', '"logprobs":null'),
    chunk('{"content":" bl\\u00fc"}'),
    chunk('{"content":"e"}'),
    "null",
    chunk("{}", '"finish_reason":"length"'),
    '{"choices":[],"usage":{"prompt_tokens":200,"completion_tokens":2,"total_tokens":202,'
    '"prompt_tokens_details":{"cached_tokens":128},'
    '"completion_tokens_details":{"reasoning_tokens":1}},"obfuscation":"x"}',
    "[DONE]",
)
SENT_TOKENS = sum(guess(each["content"]) for each in sent(CALL)["messages"])
GUESSED = UsageReported(Usage(SENT_TOKENS, 0, estimated=True))
EVENTS: list[Event] = [
    Delta(0, " blü"),
    GUESSED,
    Delta(0, "e"),
    Delta(0, "", "length"),
    UsageReported(Usage(200, 2, cached_tokens=128, reasoning_tokens=1)),
]


@pytest.mark.parametrize("size", range(1, len(OPENAI) + 1, 3))
def test_a_stream_in_any_pieces(size: int) -> None:
    """Role-first delta, a chunk without choices, a null event, an empty last delta."""
    decoder = OpenAIChatAdapter().decoder(CALL)
    assert decoded(decoder, OPENAI, size) == EVENTS
    assert decoder.whole


@pytest.mark.parametrize("place", range(0, len(OPENAI), 11))
def test_a_stream_that_is_cut_is_not_whole(place: int) -> None:
    """Before the finish_reason."""
    decoder = OpenAIChatAdapter().decoder(CALL)
    events = decoder.feed(OPENAI[:place])
    if any(isinstance(event, Delta) and event.finish_reason for event in events):
        assert decoder.finish() == []
    else:
        with pytest.raises(UpstreamError):
            decoder.finish()


def whole(message: str, reason: str = "stop", more: str = "") -> bytes:
    choice = f'{{"index":0,"message":{message},"finish_reason":"{reason}"{more}}}'
    return (f'{{"object":"chat.completion","choices":[{choice}],"usage":{{"prompt_tokens":3,'
            + '"completion_tokens":1}}').encode()  # fmt: skip


@pytest.mark.parametrize(
    ("message", "reason", "expected"),
    [
        ('{"role":"assistant","content":" blue"}', "stop", Delta(0, " blue", "stop")),
        ('{"content":" blue","reasoning_content":"Hm."}', "eos", Delta(0, " blue", "stop")),
        ('{"content":null}', "length", Delta(0, "", "length")),
        ('{"content":null,"refusal":"I cannot."}', "stop", Delta(0, "", "content_filter")),
        ('{"content":" b"}', "content_filter", Delta(0, " b", "content_filter")),
        ('{"content":[{"type":"thinking","thinking":[]},{"type":"text","text":" b"}]}', "stop",
         Delta(0, " b", "stop")),
    ],
)  # fmt: skip
def test_whole_answers(message: str, reason: str, expected: Delta) -> None:
    """Only what the model wrote as text is text."""
    events = decoded(OpenAIChatAdapter().decoder(WHOLE), whole(message, reason), 7)
    assert events == [expected, UsageReported(Usage(3, 1))]


@pytest.mark.parametrize(
    "data",
    [
        stream(chunk('{"content":" x"}', '"finish_reason":"tool_calls"')),
        stream(chunk('{"content":" x"}', '"finish_reason":"error"')),
        stream('{"choices":[{"index":1,"delta":{"content":"x"},"finish_reason":"stop"}]}'),
        stream('{"error":{"message":"boom","type":"server_error"}}'),
        stream('{"object":"error","message":"boom","type":"InternalServerError","code":500}'),
        stream('{"choices":[{"delta":{"content":5}}]}'),
        stream('{"choices":5}'),
        stream("{"),
        stream("[" * 3000),
        stream(chunk('{"content":" x"}', '"finish_reason":"stop"'), chunk('{"content":"y"}')),
    ],
)
def test_what_is_no_answer_is_an_error(data: bytes) -> None:
    """An end that is none, a choice that nobody asked for, errors, nonsense, text after the end."""
    with pytest.raises(UpstreamError):
        decoded(OpenAIChatAdapter().decoder(CALL), data)


@pytest.mark.parametrize(
    "error",
    [
        '{"error":{"message":"bad seed","type":"invalid_request_error","param":"seed"}}',
        '{"object":"error","message":"bad seed","type":"BadRequest","param":"seed","code":400}',
    ],
)
@pytest.mark.parametrize("before", [(), (chunk('{"content":" x"}'),)])
def test_an_error_event_may_blame_the_request(before: tuple[str, ...], error: str) -> None:
    """In both shapes of such servers, also after the first words."""
    with pytest.raises(RequestError) as caught:
        decoded(OpenAIChatAdapter().decoder(CALL), stream(*before, error))
    assert (caught.value.message, caught.value.param) == ("bad seed", "seed")


def test_what_was_sent_is_guessed_until_it_is_told() -> None:
    """With the first words of a stream, as it may be left or cut before its end: with all that is
    put around a prompt."""
    first, second = chunk('{"content":" x"}'), chunk('{"content":" y"}')
    decoder = OpenAIChatAdapter().decoder(CALL)
    assert decoder.feed(stream(chunk('{"role":"assistant","content":""}'))) == []
    assert decoder.feed(stream(first)) == [Delta(0, " x"), GUESSED]
    assert decoder.feed(stream(second)) == [Delta(0, " y")]
    told = '{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":1}}'
    events = OpenAIChatAdapter().decoder(CALL).feed(stream(told, first))
    assert events == [UsageReported(Usage(9, 1)), Delta(0, " x")]


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ('"total_tokens":135,"completion_tokens_details":{"reasoning_tokens":94}', (103, 94)),
        ('"total_tokens":135', (103, 94)),
        ('"total_tokens":135,"completion_tokens_details":{"reasoning_tokens":0}', (103, 94)),
        ('"total_tokens":135,"completion_tokens_details":{"reasoning_tokens":8}', (9, 8)),
        ('"total_tokens":41', (9, None)),
        ('"total_tokens":3', (9, None)),
        (f'"total_tokens":{TOKENS_MAX + 1}', (9, None)),
    ],
)
def test_thoughts_that_the_completion_leaves_out(
    usage: str, expected: tuple[int, int | None]
) -> None:
    """xAI counts them apart and names them, Gemini's chat only in the total: they are billed."""
    told = f'{{"choices":[],"usage":{{"prompt_tokens":32,"completion_tokens":9,{usage}}}}}'
    completion, thought = expected
    events = OpenAIChatAdapter().decoder(CALL).feed(stream(told))
    assert events == [UsageReported(Usage(32, completion, reasoning_tokens=thought))]


@pytest.mark.parametrize("usage", ['"many"', '{"prompt_tokens":-1,"completion_tokens":1}', "{}"])
def test_usage_that_cannot_be_is_not_believed(usage: str) -> None:
    """The text stands all the same."""
    data = stream(chunk('{"content":" x"}', '"finish_reason":"stop"'),
                  f'{{"choices":[],"usage":{usage}}}')  # fmt: skip
    assert decoded(OpenAIChatAdapter().decoder(CALL), data) == [Delta(0, " x", "stop"), GUESSED]


def test_logprobs_become_the_legacy_shape() -> None:
    """With offsets from the prompt's start."""
    call = Call(model="m", prompts=["The sky is"], max_tokens=16, logprobs=1)
    told = ',"logprobs":{"content":[{"token":" blue","logprob":-0.5,"bytes":[1],"top_logprobs":' \
        '[{"token":" red","logprob":-1.5,"bytes":[1]}]}],"refusal":null}'  # fmt: skip
    [delta, _] = decoded(
        OpenAIChatAdapter().decoder(call), whole('{"content":" blue"}', "stop", told)
    )
    expected = Logprobs([" blue"], [-0.5], [{" red": -1.5, " blue": -0.5}], [10])
    assert delta == Delta(0, " blue", "stop", expected)


def test_a_prefilled_answer_is_passed_on_as_it_is() -> None:
    """Also when it looks polite."""
    adapter = OpenAIChatAdapter({"m": "prefill"})
    events: Sequence[Event] = decoded(adapter.decoder(WHOLE), whole('{"content":"Sure!\\n"}'))
    assert events[0] == Delta(0, "Sure!\n", "stop")


def test_errors_are_judged_as_for_every_server() -> None:
    """A context overflow is the caller's; a wrong key is not."""
    body = (
        b'{"error":{"message":"x","type":"y","param":"messages","code":"context_length_exceeded"}}'
    )
    error = OpenAIChatAdapter().error(400, body, None)
    assert isinstance(error, RequestError)
    assert (error.code, error.param) == ("context_length_exceeded", "prompt")
    assert isinstance(OpenAIChatAdapter().error(401, b"", None), UpstreamError)
