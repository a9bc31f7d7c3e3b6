"""Anthropic's Messages: which models are prefilled, what events mean, whose fault errors are."""

import json
from typing import Any

import pytest

from baton.errors import RequestError
from baton.semantics.events import Call, Delta, Event, Usage, UsageReported
from baton.upstreams.anthropic import AnthropicAdapter, key_headers
from baton.upstreams.base import Decoder, UpstreamError

OLD, NEW = "claude-sonnet-4-5-20250929", "claude-opus-4-7"
CALL = Call(model=NEW, prompts=["The sky is"], max_tokens=16, stream=True)
WHOLE = Call(model=NEW, prompts=["The sky is"], max_tokens=16)


def sent(call: Call) -> Any:
    request = AnthropicAdapter().request(call)
    assert request.path == "/messages"
    assert request.headers == (("anthropic-version", "2023-06-01"),)
    return json.loads(request.body)


def decoded(decoder: Decoder, data: bytes, size: int = 0) -> list[Event]:
    size = size or len(data)
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    found = [event for piece in pieces for event in decoder.feed(piece)]
    return [*found, *decoder.finish()]


def stream(*events: str) -> bytes:
    """As the server frames them."""
    kinds = [json.loads(event)["type"] for event in events]
    pairs = zip(kinds, events, strict=True)
    return "".join(f"event: {kind}\ndata: {event}\n\n" for kind, event in pairs).encode()


def text(piece: str) -> str:
    delta = json.dumps({"type": "text_delta", "text": piece})
    return f'{{"type":"content_block_delta","index":1,"delta":{delta}}}'


START = (
    '{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant",'
    '"content":[],"stop_reason":null,"usage":{"input_tokens":10,"cache_creation_input_tokens":7,'
    '"cache_read_input_tokens":5,"output_tokens":1}}}'
)
BLOCK = '{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}'
END = (
    '{"type":"message_delta","delta":{"stop_reason":"max_tokens","stop_sequence":null},'
    '"usage":{"output_tokens":9}}'
)
STREAM = stream(
    START,
    '{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}',
    '{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm"}}',
    '{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"E"}}',
    '{"type":"content_block_delta","index":0,"delta":{"type":"note_delta","text":"not text"}}',
    '{"type":"content_block_stop","index":0}',
    BLOCK,
    '{"type":"ping"}',
    text(" blü"),
    text("e and clear"),
    '{"type":"content_block_stop","index":1}',
    '{"type":"something_new","delta":5}',
    END,
    '{"type":"message_stop"}',
)


def reported(output: int, *, estimated: bool = True) -> UsageReported:
    usage = Usage(22, output, cached_tokens=5, cache_write_tokens=7, estimated=estimated)
    return UsageReported(usage)


EVENTS: list[Event] = [
    reported(1),
    Delta(0, " blü"),
    reported(2),
    Delta(0, "e and clear"),
    reported(4),
    Delta(0, "", "length"),
    reported(9, estimated=False),
]


@pytest.mark.parametrize("size", range(1, len(STREAM) + 1, 5))
def test_a_stream_in_any_pieces(size: int) -> None:
    """Only text blocks are text; the prompt is what was fresh, read and written together; until
    the end the output is an estimate."""
    decoder = AnthropicAdapter().decoder(CALL)
    assert decoded(decoder, STREAM, size) == EVENTS
    assert decoder.whole


@pytest.mark.parametrize("place", range(0, len(STREAM), 17))
def test_a_stream_that_is_cut_is_not_whole(place: int) -> None:
    """Before its stop_reason."""
    decoder = AnthropicAdapter().decoder(CALL)
    events = decoder.feed(STREAM[:place])
    if any(isinstance(event, Delta) and event.finish_reason for event in events):
        assert decoder.finish() == []
    else:
        with pytest.raises(UpstreamError):
            decoder.finish()


def test_a_whole_message() -> None:
    """Text blocks joined, thoughts left out."""
    body = (
        b'{"id":"msg_1","type":"message","role":"assistant","content":[{"type":"thinking",'
        b'"thinking":"Hm"},{"type":"text","text":" blue"},{"type":"text","text":"."}],'
        b'"stop_reason":"end_turn","usage":{"input_tokens":10,"output_tokens":3}}'
    )
    assert decoded(AnthropicAdapter().decoder(WHOLE), body, 9) == [
        Delta(0, " blue.", "stop"),
        UsageReported(Usage(10, 3)),
    ]


@pytest.mark.parametrize(
    ("said", "expected"),
    [("end_turn", "stop"), ("stop_sequence", "stop"), ("max_tokens", "length"),
     ("model_context_window_exceeded", "length"), ("refusal", "content_filter")],
)  # fmt: skip
def test_stop_reasons(said: str, expected: str) -> None:
    """Its words for the three ends of a text."""
    data = stream(START, text(" x"), END.replace("max_tokens", said))
    events = decoded(AnthropicAdapter().decoder(CALL), data)
    finished = [each for each in events if isinstance(each, Delta) and each.finish_reason]
    assert [each.finish_reason for each in finished] == [expected]


@pytest.mark.parametrize("reason", ["tool_use", "pause_turn", "unheard_of"])
def test_other_ends_are_none(reason: str) -> None:
    """The text did not end there."""
    data = stream(START, text(" x"), END.replace("max_tokens", reason))
    with pytest.raises(UpstreamError):
        decoded(AnthropicAdapter().decoder(CALL), data)


@pytest.mark.parametrize(
    ("before", "kind", "phase", "expected"),
    [
        ([], "overloaded_error", "first_byte", "overloaded"),
        ([START, BLOCK], "overloaded_error", "first_byte", "overloaded"),
        ([START, text(" x")], "overloaded_error", "stream", "overloaded"),
        ([START, text(" x")], "api_error", "stream", "status"),
    ],
)
def test_an_error_event(before: list[str], kind: str, phase: str, expected: str) -> None:
    """Overload is told apart; before the first word another upstream may be asked."""
    error = f'{{"type":"error","error":{{"type":"{kind}","message":"Overloaded"}}}}'
    with pytest.raises(UpstreamError) as caught:
        decoded(AnthropicAdapter().decoder(CALL), stream(*before, error))
    assert (caught.value.phase, caught.value.kind) == (phase, expected)
    assert caught.value.retryable is (phase == "first_byte")


@pytest.mark.parametrize("before", [[], [START, text(" x")]])
@pytest.mark.parametrize(
    ("kind", "message", "status"),
    [
        ("invalid_request_error", "temperature: must be at most 1", 400),
        ("request_too_large", "the request is too large", 413),
        ("invalid_request_error", "Your credit balance is too low.", 0),
        ("authentication_error", "invalid x-api-key", 0),
    ],
)
def test_an_error_event_may_blame_the_request(
    before: list[str], kind: str, message: str, status: int
) -> None:
    """As the status would that it stands for; what the caller cannot help stays a failure."""
    error = json.dumps({"type": "error", "error": {"type": kind, "message": message}})
    with pytest.raises(RequestError if status else UpstreamError) as caught:
        decoded(AnthropicAdapter().decoder(CALL), stream(*before, error))
    if isinstance(caught.value, RequestError):
        assert (caught.value.status, caught.value.message) == (status, message)


@pytest.mark.parametrize(
    "data",
    [b"data: {\n\n", b'data: {"type":5}\n\n', b'data: {"type":"content_block_delta"}\n\n',
     b'data: {"type":"message_delta","delta":5}\n\n', b"data: " + b"[" * 3000 + b"\n\n"],
)  # fmt: skip
def test_nonsense_is_an_error(data: bytes) -> None:
    """Never an exception of the JSON reader."""
    with pytest.raises(UpstreamError):
        decoded(AnthropicAdapter().decoder(CALL), data)


@pytest.mark.parametrize("usage", ['"many"', '{"output_tokens":-4}', "null", "{}"])
def test_usage_that_cannot_be_is_not_believed(usage: str) -> None:
    """Nothing is reported for the end; the last estimate stands, marked as one."""
    data = stream(START, text(" x"), END.replace('{"output_tokens":9}', usage).replace(
        "max_tokens", "end_turn"))  # fmt: skip
    data = data.replace(b'"output_tokens":1', b'"other":1')
    events = decoded(AnthropicAdapter().decoder(CALL), data)
    assert events[-1] == Delta(0, "", "stop")
    assert reported(1) in events


@pytest.mark.parametrize(
    ("model", "prefilled"),
    [
        ("claude-2.1", True), ("claude-instant-1.2", True), ("claude-3-opus-20240229", True),
        ("claude-3-5-sonnet-latest", True), ("claude-3.7-sonnet", True),
        ("claude-sonnet-4-20250514", True), ("claude-opus-4-1-20250805", True),
        ("claude-opus-4-0", True), ("claude-haiku-4-5@20251001", True), (OLD, True),
        ("anthropic.claude-3-haiku-20240307-v1:0", True), ("claude-opus-4-6", False), (NEW, False),
        ("claude-sonnet-4-6-20260217", False), ("claude-opus-5", False), ("something", False),
    ],
)  # fmt: skip
def test_which_models_continue_a_message(model: str, prefilled: bool) -> None:
    """Up to 4.5; what is newer or unknown is instructed."""
    body = sent(Call(model=model, prompts=["a b \n"], max_tokens=3))
    expected = ["user", "assistant"] if prefilled else ["user"]
    assert [each["role"] for each in body["messages"]] == expected
    if prefilled:
        assert body["messages"][-1]["content"] == "a b"


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (OLD, None), ("claude-opus-4-8", None), ("claude-3-5-haiku-latest", None),
        ("claude-haiku-4-5", None), ("something-5", None), ("claude-instant-1.2", None),
        ("claude-opus-5", {"thinking": {"type": "disabled"}}),
        ("claude-sonnet-5", {"thinking": {"type": "disabled"}}),
        ("claude-sonnet-5@20260630", {"thinking": {"type": "disabled"}}),
        ("claude-sonnet-5-20260630", {"thinking": {"type": "disabled"}}),
        ("claude-haiku-5-5", {"thinking": {"type": "disabled"}}),
        ("anthropic.claude-opus-5", {"thinking": {"type": "disabled"}}),
        ("claude-sonnet-5-5", {"thinking": {"type": "between_tools"}}),
        ("claude-opus-5-5", {"output_config": {"effort": "low"}}),
        ("claude-opus-5.5", {"output_config": {"effort": "low"}}),
        ("claude-fable-5", {"output_config": {"effort": "low"}}),
        ("claude-mythos-5-2", {"output_config": {"effort": "low"}}),
        ("claude-opus-12", {"output_config": {"effort": "low"}}),
    ],
)  # fmt: skip
def test_models_are_told_to_think_little(model: str, expected: dict[str, object] | None) -> None:
    """From 5 on they think by default, within max_tokens: a short text would come out empty."""
    body = sent(Call(model=model, prompts=["p"], max_tokens=3))
    told = {name: value for name, value in body.items() if name in ("thinking", "output_config")}
    assert told == (expected or {})


def test_thoughts_are_told_within_the_output() -> None:
    """A detail of what is billed; one that cannot be says nothing."""
    for thought, expected in ((6, 6), (9, 9), (10, None), (-1, None)):
        told = f'"output_tokens":9,"output_tokens_details":{{"thinking_tokens":{thought}}}'
        data = stream(START, text(" x"), END.replace('"output_tokens":9', told))
        [usage] = [each.usage for each in decoded(AnthropicAdapter().decoder(CALL), data)
                   if isinstance(each, UsageReported)][-1:]  # fmt: skip
        assert (usage.completion_tokens, usage.reasoning_tokens) == (9, expected)


def test_a_plain_call() -> None:
    """No field at a default of the server's own is sent."""
    body = sent(WHOLE)
    assert body.keys() == {"model", "max_tokens", "system", "messages"}
    body = sent(Call(model=NEW, prompts=["p"], max_tokens=3, temperature=0.0, stream=True))
    assert (body["temperature"], body["stream"], body["max_tokens"]) == (0.0, True, 3)


def test_the_key_has_a_header_of_its_own() -> None:
    """Not Authorization."""
    assert key_headers("k") == (("x-api-key", "k"),)


@pytest.mark.parametrize(
    ("message", "param", "code"),
    [
        ("temperature: range: 0..1", "temperature", None),
        ("`temperature` and `top_p` cannot both be specified for this model.", "temperature", None),
        ("max_tokens: 100000 > 64000, which is the maximum allowed", "max_tokens", None),
        ("prompt is too long: 210000 tokens > 200000 maximum", "prompt", "context_length_exceeded"),
        ("input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000, decrease"
         " input length or `max_tokens` and try again", "prompt", "context_length_exceeded"),
        ("tools: nobody sent any", None, None),
    ],
)  # fmt: skip
def test_the_callers_errors_name_the_field(
    message: str, param: str | None, code: str | None
) -> None:
    """Its 400s do so in the text alone."""
    said = {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
    error = AnthropicAdapter().error(400, json.dumps(said).encode(), None)
    assert isinstance(error, RequestError)
    assert (error.status, error.param, error.code) == (400, param, code)
    if code:
        assert error.message.startswith("This model's maximum context length is 200000 tokens")


@pytest.mark.parametrize(
    ("status", "kind", "message", "expected"),
    [
        (529, "overloaded_error", "Overloaded", "overloaded"),
        (429, "rate_limit_error", "slow down", "overloaded"),
        (401, "authentication_error", "invalid x-api-key", "status"),
        (404, "not_found_error", "model: claude-x", "status"),
        (500, "api_error", "Internal server error", "status"),
        (400, "invalid_request_error", "Your credit balance is too low to access the API.",
         "status"),
        (400, "invalid_request_error",
         "This model does not support assistant message prefill. The conversation must end with a"
         " user message.", "status"),
    ],
)  # fmt: skip
def test_other_errors_are_not_the_callers(
    status: int, kind: str, message: str, expected: str
) -> None:
    """Overload passes; the rest is the operator's, and no word of it reaches a caller."""
    said = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "r"}
    error = AnthropicAdapter().error(status, json.dumps(said).encode(), "7")
    assert isinstance(error, UpstreamError)
    assert (error.kind, error.phase, error.retryable) == (expected, "first_byte", True)
    assert error.retry_after_s == 7.0
    assert message not in str(error)
