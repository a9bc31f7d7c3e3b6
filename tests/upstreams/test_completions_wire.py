"""Recorded answers of completions servers, split at every byte, give the same events."""

import itertools
import json
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baton.errors import Unheeded
from baton.semantics.events import Call, Delta, Event, Usage, UsageReported
from baton.upstreams.base import UpstreamError
from baton.upstreams.completions_wire import (
    TOKENS_MAX,
    BodyDecoder,
    Manner,
    StreamDecoder,
    believable,
    decode_chunk,
)
from baton.upstreams.framing import answer_bytes_max

CALL = Call(model="m", prompts=["p"], max_tokens=16, stream=True)
TWO = Call(model="m", prompts=["p", "q"], max_tokens=16, stream=True)

OPENAI = (
    'data: {"id":"cmpl-1","object":"text_completion","created":1,"choices":[{"text":"Hé","index":0,'
    '"logprobs":null,"finish_reason":null}],"model":"x","usage":null}\n\n'
    'data: {"id":"cmpl-1","object":"text_completion","created":1,"choices":[{"text":"","index":0,'
    '"logprobs":null,"finish_reason":"stop"}],"model":"x","usage":null}\n\n'
    'data: {"id":"cmpl-1","object":"text_completion","created":1,"choices":[],"model":"x","usage":'
    '{"prompt_tokens":4,"completion_tokens":2,"total_tokens":6,'
    '"prompt_tokens_details":{"cached_tokens":1,"audio_tokens":0},'
    '"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0}}}\n\n'
    "data: [DONE]\n\n"
).encode()
OPENAI_EVENTS: list[Event] = [
    Delta(0, "Hé"),
    Delta(0, "", "stop"),
    UsageReported(
        Usage(
            4, 2, cached_tokens=1, reasoning_tokens=0, audio_prompt_tokens=0,
            audio_completion_tokens=0,
        )
    ),
]  # fmt: skip

LLAMA = (
    b'data: {"choices":[{"text":"a","index":0,"logprobs":null,"finish_reason":null}],"created":1,'
    b'"model":"/models/x.gguf","system_fingerprint":"b1","object":"text_completion","id":"chatcmpl-1"}'
    b"\n\ndata: null\n\n"
    b'data: {"choices":[{"text":"b","index":1,"logprobs":null,"finish_reason":null}]}\n\n'
    b'data: {"choices":[{"text":"","index":1,"logprobs":null,"finish_reason":"length"}],'
    b'"usage":{"completion_tokens":3,"prompt_tokens":5,"total_tokens":8,'
    b'"prompt_tokens_details":{"cached_tokens":4}},"timings":{"cache_n":4}}\n\ndata: null\n\n'
    b'data: {"choices":[{"text":"","index":0,"logprobs":null,"finish_reason":"stop"}],'
    b'"usage":{"completion_tokens":2,"prompt_tokens":7,"total_tokens":9,'
    b'"prompt_tokens_details":{"cached_tokens":0}}}\n\ndata: [DONE]\n\n'
)
LLAMA_EVENTS: list[Event] = [
    Delta(0, "a"),
    Delta(1, "b"),
    Delta(1, "", "length"),
    Delta(0, "", "stop"),
    UsageReported(Usage(12, 5, cached_tokens=4)),
]

VLLM = (
    ': keep-alive\r\n\r\ndata: {"id":"cmpl-2","object":"text_completion","created":1,"model":"x",'
    '"choices":[{"index":0,"text":"日本","logprobs":null,"finish_reason":"length","stop_reason":null,'
    '"token_ids":[5,6],"prompt_token_ids":[1]}]}\r\n\r\n'
    'data: {"id":"cmpl-2","choices":[],"usage":{"prompt_tokens":1,"total_tokens":3,'
    '"completion_tokens":2}}\r\n\r\ndata: [DONE]\r\n\r\n'
).encode()
VLLM_EVENTS: list[Event] = [
    Delta(0, "日本", "length", None, [5, 6]),
    UsageReported(Usage(1, 2)),
]

RECORDED = [
    (CALL, OPENAI, OPENAI_EVENTS, False),
    (TWO, LLAMA, LLAMA_EVENTS, True),
    (CALL, VLLM, VLLM_EVENTS, False),
]


def decoded(decoder: StreamDecoder | BodyDecoder, pieces: Sequence[bytes]) -> list[Event]:
    events: list[Event] = []
    for piece in pieces:
        events += decoder.feed(piece)
    return events + list(decoder.finish())


@pytest.mark.parametrize(("call", "data", "expected", "per_choice"), RECORDED)
def test_split_at_every_byte(
    call: Call, data: bytes, expected: list[Event], per_choice: bool
) -> None:
    """Two pieces, wherever they meet, and one byte at a time."""
    cuts = [[data[:place], data[place:]] for place in range(len(data))]
    for pieces in [*cuts, [bytes([byte]) for byte in data]]:
        decoder = StreamDecoder(call, Manner(per_choice_usage=per_choice))
        assert decoded(decoder, pieces) == expected
        assert decoder.whole


@settings(max_examples=200, deadline=None)
@given(which=st.sampled_from(RECORDED), places=st.lists(st.integers(0, 2000), max_size=40))
def test_split_anywhere(which: tuple[Call, bytes, list[Event], bool], places: list[int]) -> None:
    """Any number of pieces."""
    call, data, expected, per_choice = which
    edges = sorted({0, len(data), *(place % len(data) for place in places)})
    pieces = [data[a:b] for a, b in itertools.pairwise(edges)]
    assert decoded(StreamDecoder(call, Manner(per_choice_usage=per_choice)), pieces) == expected


@pytest.mark.parametrize("place", range(0, len(OPENAI), 7))
def test_a_stream_that_is_cut_is_never_whole(place: int) -> None:
    """Before the last finish_reason every end is an error; after it the answer stands."""
    decoder = StreamDecoder(CALL)
    events = list(decoder.feed(OPENAI[:place]))
    finished = any(isinstance(event, Delta) and event.finish_reason for event in events)
    if finished:
        assert list(decoder.finish()) == []
    else:
        with pytest.raises(UpstreamError) as caught:
            decoder.finish()
        assert (caught.value.phase, caught.value.kind) == ("stream", "protocol")


def test_usage_per_choice_that_is_not_complete_is_estimated() -> None:
    """A choice that did not tell its usage leaves the sum untrusted."""
    data = LLAMA.replace(b'"usage":{"completion_tokens":3', b'"other":{"completion_tokens":3')
    events = decoded(StreamDecoder(TWO, Manner(per_choice_usage=True)), [data])
    assert events[-1] == UsageReported(Usage(7, 2, estimated=True))


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("stop", "stop"), ("length", "length"), ("content_filter", "content_filter"),
     ("eos_token", "stop"), ("stop_sequence", "stop"), ("model_length", "length")],
)  # fmt: skip
def test_finish_reasons_of_other_servers(reason: str, expected: str) -> None:
    """Other words for the same three."""
    body = b'{"choices":[{"index":0,"text":"a","finish_reason":"%b"}]}' % reason.encode()
    assert decoded(BodyDecoder(CALL), [body]) == [Delta(0, "a", expected)]  # type: ignore[arg-type]


def test_an_index_may_be_left_out_for_one_choice_only() -> None:
    """A single choice without index is choice 0; of several, none can be told apart."""
    body = b'{"choices":[{"text":"a","finish_reason":"stop"}]}'
    assert decoded(BodyDecoder(CALL), [body]) == [Delta(0, "a", "stop")]
    with pytest.raises(UpstreamError):
        decoded(BodyDecoder(TWO), [body])


def test_a_body_in_pieces() -> None:
    """One JSON body, split at every byte."""
    body = (
        '{"choices":[{"index":0,"text":"ä","finish_reason":"stop","logprobs":null}],'
        '"usage":{"prompt_tokens":1,"completion_tokens":1}}'
    ).encode()
    expected = [Delta(0, "ä", "stop"), UsageReported(Usage(1, 1))]
    for place in range(len(body)):
        assert decoded(BodyDecoder(CALL), [body[:place], body[place:]]) == expected


def test_empty_chunks_give_no_events() -> None:
    """A chunk that says nothing (a role, a heartbeat) is nothing."""
    decoder = StreamDecoder(CALL)
    for text in ('""', "null"):
        event = b'data: {"choices":[{"index":0,"text":%b,"finish_reason":null}]}\n\n'
        assert list(decoder.feed(event % text.encode())) == []


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ('{"prompt_tokens":5,"completion_tokens":2}', Usage(5, 2)),
        (
            '{"prompt_tokens":5,"completion_tokens":2,"prompt_cache_hit_tokens":3}',
            Usage(5, 2, cached_tokens=3),
        ),
        (
            '{"prompt_tokens":5,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":9}}',
            Usage(5, 2),
        ),
        (
            '{"prompt_tokens":5,"completion_tokens":2,'
            '"completion_tokens_details":{"reasoning_tokens":1,"audio_tokens":9}}',
            Usage(5, 2, reasoning_tokens=1),
        ),
        (
            '{"prompt_tokens":5,"completion_tokens":2,"prompt_cache_hit_tokens":6}',
            Usage(5, 2),
        ),
        (
            '{"prompt_tokens":32,"completion_tokens":9,"total_tokens":135,'
            '"completion_tokens_details":{"reasoning_tokens":94}}',
            Usage(32, 103, reasoning_tokens=94),
        ),
        (
            '{"prompt_tokens":32,"completion_tokens":9,"total_tokens":136,'
            '"completion_tokens_details":{"reasoning_tokens":94}}',
            Usage(32, 9),
        ),
        (
            '{"prompt_tokens":32,"completion_tokens":90,"total_tokens":122,'
            '"completion_tokens_details":{"reasoning_tokens":80}}',
            Usage(32, 90, reasoning_tokens=80),
        ),
        ('{"prompt_tokens":5,"completion_tokens":2,"total_tokens":9}', Usage(5, 2)),
        (
            f'{{"prompt_tokens":{TOKENS_MAX},"completion_tokens":{TOKENS_MAX}}}',
            Usage(TOKENS_MAX, TOKENS_MAX),
        ),
        (f'{{"prompt_tokens":{TOKENS_MAX + 1},"completion_tokens":2}}', None),
        (f'{{"prompt_tokens":5,"completion_tokens":{TOKENS_MAX + 1}}}', None),
        ('{"prompt_tokens":5,"completion_tokens":0}', Usage(5, 0)),
        ('{"prompt_tokens":0,"completion_tokens":0}', None),
        ('{"prompt_tokens":-1,"completion_tokens":2}', None),
        ('{"prompt_tokens":9223372036854775808,"completion_tokens":2}', None),
        ('{"prompt_tokens":5}', None),
        ('{"prompt_tokens":"5","completion_tokens":2}', None),
    ],
)
def test_only_believable_usage_is_reported(usage: str, expected: Usage | None) -> None:
    """Zero, negative, huge, partial and foreign counts are none; details only within the whole."""
    chunk = decode_chunk(b'{"choices":[],"usage":%b}' % usage.encode())
    found = None if chunk.usage is None else believable(chunk.usage)
    assert found == expected


def test_an_answer_has_a_size_that_its_call_explains() -> None:
    """More bytes than that are an error; the bound grows with what was asked for."""
    few = answer_bytes_max(CALL)
    many = answer_bytes_max(Call(model="m", prompts=["p"] * 5, n=4, max_tokens=16))
    assert (few, many) == (2**20 + 16 * 2048, 2**20 + 20 * 16 * 2048)
    for decoder in (StreamDecoder(CALL), BodyDecoder(CALL)):
        decoder.feed(b":" * few)
        with pytest.raises(UpstreamError):
            decoder.feed(b":")


@pytest.mark.parametrize(
    "payload",
    [
        b'{"choices":[],"usage":"odd",,}',
        b'{"choices":[],"usage":{"prompt_tokens":"\xed\xa0\x80"}}',
        b'{"choices":[],"usage":"odd","error":' + b"[" * 100_000,
    ],
)
def test_what_is_odd_first_and_no_json_then(payload: bytes) -> None:
    """Is an answer that breaks the protocol, not an error of ours."""
    with pytest.raises(UpstreamError):
        decode_chunk(payload)


def choice(index: int, text: str, reason: str | None = "stop") -> str:
    told = {"index": index, "text": text, "finish_reason": reason, "logprobs": None}
    return json.dumps(told)


def answered(call: Call, *chunks: list[str]) -> None:
    """Decode an answer of these chunks, or all of them at once in a body."""
    if not call.stream:
        body = BodyDecoder(call)
        body.feed(f'{{"choices":[{",".join(one for each in chunks for one in each)}]}}'.encode())
        body.finish()
        return
    stream = StreamDecoder(call)
    for each in chunks:
        stream.feed(f'data: {{"choices":[{",".join(each)}]}}\n\n'.encode())
    stream.feed(b"data: [DONE]\n\n")
    stream.finish()


@pytest.mark.parametrize("stream", [True, False])
def test_a_server_that_gives_fewer_choices_is_not_ill(stream: bool) -> None:
    """It does not heed the field, which is refused; one that breaks off is an upstream that failed,
    so that another may go on."""
    two = msgspec.structs.replace(TWO, stream=stream)
    several = msgspec.structs.replace(two, prompts=["p"], n=3)
    for call, field in ((two, "prompt"), (several, "n")):
        with pytest.raises(Unheeded) as refused:
            answered(call, [choice(0, "a", None)], [choice(0, "b")])
        assert (400, field) == (refused.value.status, refused.value.param)
        assert "its server gave fewer choices" in refused.value.message
    for begun in ([choice(1, "b", None)], [choice(1, "", None)]):
        with pytest.raises(UpstreamError):
            answered(two, [choice(0, "a")], begun)
    with pytest.raises(UpstreamError):
        answered(two, [choice(0, "a", None)])
    answered(two, [choice(0, "a")], [choice(1, "")])


@pytest.mark.parametrize("stream", [True, False])
def test_a_server_that_does_not_echo_is_found_out(stream: bool) -> None:
    """With its first text, whatever piece of the prompt that is; of ids nothing can be told."""
    call = Call(model="m", prompts=["one two", [1]], max_tokens=9, echo=True, stream=stream)
    for first in ("o", "one two", "one two three", "one "):
        answered(call, [choice(1, "x")], [choice(0, first)])
    answered(call, [choice(1, "anything")], [choice(0, "")])
    for first in ("two", "one  two", "O"):
        with pytest.raises(Unheeded) as refused:
            answered(call, [choice(0, "", None)] if stream else [], [choice(0, first)])
        assert "echo" == refused.value.param
