"""Gemini's generateContent: where the model stands, what events mean, whose fault errors are."""

import json
from typing import Any

import pytest

from baton.errors import RequestError
from baton.semantics.events import Call, Delta, Event, Usage, UsageReported
from baton.upstreams.base import Decoder, UpstreamError
from baton.upstreams.gemini import GeminiAdapter, key_headers

CALL = Call(model="gemini-x", prompts=["The sky is"], max_tokens=16, stream=True)
WHOLE = Call(model="gemini-x", prompts=["The sky is"], max_tokens=16)


def sent(call: Call) -> Any:
    return json.loads(GeminiAdapter().request(call).body)


def decoded(decoder: Decoder, data: bytes, size: int = 0) -> list[Event]:
    size = size or len(data)
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    found = [event for piece in pieces for event in decoder.feed(piece)]
    return [*found, *decoder.finish()]


def stream(*events: str) -> bytes:
    return "".join(f"data: {event}\r\n\r\n" for event in events).encode()


def candidate(text: str, reason: str | None = "STOP", more: str = "") -> str:
    parts = [{"text": text}]
    found: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if reason:
        found["finishReason"] = reason
    return json.dumps({"candidates": [found]})[:-1] + more + "}"


METADATA = (
    ',"usageMetadata":{"promptTokenCount":200,"cachedContentTokenCount":128,'
    '"candidatesTokenCount":4,"thoughtsTokenCount":3,"totalTokenCount":207,'
    '"promptTokensDetails":[{"modality":"TEXT","tokenCount":200}]}'
)
STREAM = stream(
    '{"candidates":[{"content":{"parts":[{"text":"Hm.","thought":true}],"role":"model"}}],'
    '"usageMetadata":{"promptTokenCount":200,"thoughtsTokenCount":3}}',
    candidate(" blü", "STOP"),
    candidate("e", "MAX_TOKENS", METADATA),
)
EVENTS: list[Event] = [
    UsageReported(Usage(200, 3, reasoning_tokens=3)),
    Delta(0, " blü"),
    Delta(0, "e"),
    UsageReported(
        Usage(
            200, 7, cached_tokens=128, reasoning_tokens=3, audio_prompt_tokens=0,
            image_prompt_tokens=0,
        )
    ),
    Delta(0, "", "length"),
]  # fmt: skip


@pytest.mark.parametrize("size", range(1, len(STREAM) + 1, 3))
def test_a_stream_in_any_pieces(size: int) -> None:
    """Thoughts are no text but are counted; STOP on every event is no end before the last one."""
    assert decoded(GeminiAdapter().decoder(CALL), STREAM, size) == EVENTS


def test_a_stream_without_a_reason_is_not_whole() -> None:
    """A body that ends before any finishReason."""
    with pytest.raises(UpstreamError):
        decoded(GeminiAdapter().decoder(CALL), stream(candidate(" b", None)))
    with pytest.raises(UpstreamError):
        decoded(GeminiAdapter().decoder(CALL), stream("{}"))


def test_a_whole_answer() -> None:
    """The parts of the candidate joined."""
    body = candidate(" blue", "STOP", METADATA).encode()
    events = decoded(GeminiAdapter().decoder(WHOLE), body, 11)
    assert events[0] == Delta(0, " blue")
    assert events[-1] == Delta(0, "", "stop")


@pytest.mark.parametrize(
    "reason",
    ["SAFETY", "RECITATION", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR", "ESCALATION"],
)
def test_a_filtered_answer(reason: str) -> None:
    """What came of it stands, and ends with content_filter; it may have no content at all."""
    events = decoded(GeminiAdapter().decoder(CALL), stream(candidate(" b", reason)))
    assert events == [Delta(0, " b"), Delta(0, "", "content_filter")]
    bare = stream(f'{{"candidates":[{{"finishReason":"{reason}","index":0}}]}}')
    assert decoded(GeminiAdapter().decoder(CALL), bare) == [Delta(0, "", "content_filter")]


def test_a_text_to_be_continued() -> None:
    """The server's own limit of one answer ends it as max_tokens does."""
    data = stream(candidate(" b", "CONTINUATION"))
    assert decoded(GeminiAdapter().decoder(CALL), data) == [Delta(0, " b"), Delta(0, "", "length")]


def test_a_blocked_prompt_has_no_candidate() -> None:
    """It is an empty text that was filtered, with the prompt counted."""
    data = stream(
        '{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":9}}'
    )
    assert decoded(GeminiAdapter().decoder(CALL), data) == [
        UsageReported(Usage(9, 0)),
        Delta(0, "", "content_filter"),
    ]


@pytest.mark.parametrize(
    "data",
    [
        stream(candidate(" b", "OTHER")),
        stream(candidate(" b", "MALFORMED_FUNCTION_CALL")),
        stream('{"candidates":[{"index":1,"finishReason":"STOP"}]}'),
        stream('{"candidates":5}'),
        stream("{"),
        stream("[" * 3000),
    ],
)
def test_what_is_no_answer_is_an_error(data: bytes) -> None:
    """Ends that are none, a candidate that nobody asked for, nonsense."""
    with pytest.raises(UpstreamError):
        decoded(GeminiAdapter().decoder(CALL), data)


@pytest.mark.parametrize(
    ("before", "status", "phase", "kind"),
    [
        ([], "UNAVAILABLE", "first_byte", "overloaded"),
        ([candidate(" b", None)], "RESOURCE_EXHAUSTED", "stream", "overloaded"),
        ([candidate(" b", None)], "INTERNAL", "stream", "status"),
    ],
)
def test_an_error_event(before: list[str], status: str, phase: str, kind: str) -> None:
    """In mid-stream, or instead of an answer."""
    error = f'{{"error":{{"code":503,"message":"x","status":"{status}"}}}}'
    with pytest.raises(UpstreamError) as caught:
        decoded(GeminiAdapter().decoder(CALL), stream(*before, error))
    assert (caught.value.phase, caught.value.kind) == (phase, kind)


@pytest.mark.parametrize("before", [[], [candidate(" b", None)]])
@pytest.mark.parametrize("reason", ["", "API_KEY_INVALID"])
def test_an_error_event_may_blame_the_request(before: list[str], reason: str) -> None:
    """As the status would that it stands for; a wrong key stays the operator's."""
    said = {"code": 400, "message": "topP must be in [0, 1]", "status": "INVALID_ARGUMENT"}
    error = json.dumps({"error": {**said, "details": [{"reason": reason}]}})
    with pytest.raises(UpstreamError if reason else RequestError) as caught:
        decoded(GeminiAdapter().decoder(CALL), stream(*before, error))
    if isinstance(caught.value, RequestError):
        assert (caught.value.status, caught.value.param) == (400, "top_p")


@pytest.mark.parametrize(
    "usage", ['"many"', '{"promptTokenCount":-1}', "{}", '{"promptTokenCount":9223372036854775808}']
)
def test_usage_that_cannot_be_is_not_believed(usage: str) -> None:
    """The text stands all the same."""
    data = stream(candidate(" b", "STOP", ',"usageMetadata":' + usage))
    assert decoded(GeminiAdapter().decoder(CALL), data) == [Delta(0, " b"), Delta(0, "", "stop")]


@pytest.mark.parametrize(
    ("model", "stream", "path"),
    [
        ("gemini-x", False, "/models/gemini-x:generateContent"),
        ("gemini-x", True, "/models/gemini-x:streamGenerateContent?alt=sse"),
        ("tunedModels/a b", False, "/tunedModels/a%20b:generateContent"),
        ("a?b#c", False, "/models/a%3Fb%23c:generateContent"),
    ],
)
def test_the_model_stands_in_the_path(model: str, stream: bool, path: str) -> None:
    """And no character of its name leaves it."""
    call = Call(model=model, prompts=["p"], max_tokens=3, stream=stream)
    assert GeminiAdapter().request(call).path == path


def test_everything_that_is_set_is_sent() -> None:
    """Sampling always: the defaults are its own."""
    body = sent(WHOLE)
    assert body["generationConfig"] == {"maxOutputTokens": 16, "temperature": 1.0, "topP": 1.0}
    assert [each["role"] for each in body["contents"]] == ["user"]
    call = Call(
        model="m", prompts=["p"], max_tokens=3, temperature=2.0, top_p=0.5, presence_penalty=1.0,
        frequency_penalty=-1.0, seed=0,
    )  # fmt: skip
    assert sent(call)["generationConfig"] == {
        "maxOutputTokens": 3, "temperature": 2.0, "topP": 0.5, "presencePenalty": 1.0,
        "frequencyPenalty": -1.0, "seed": 0,
    }  # fmt: skip
    older = GeminiAdapter({"m": "prefill"}).request(call)
    assert json.loads(older.body)["contents"][-1] == {"role": "model", "parts": [{"text": "p"}]}


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gemini-2.5-flash-lite", {"thinkingBudget": 0}),
        ("gemini-2.5-pro", {"thinkingBudget": 128}),
        ("gemini-3-pro-preview", {"thinkingLevel": "low"}),
        ("gemini-3.7-flash", {"thinkingLevel": "low"}),
        ("gemini-2.0-flash", None),
        ("gemma-3-27b-it", None),
    ],
)
def test_models_think_as_little_as_they_can(model: str, expected: dict[str, Any] | None) -> None:
    """Thoughts take from max_tokens; a setting that a model does not know is an error there."""
    body = sent(Call(model=model, prompts=["p"], max_tokens=3))
    assert body["generationConfig"].get("thinkingConfig") == expected


def test_the_key_has_a_header_of_its_own() -> None:
    """Never the query, which is logged."""
    assert key_headers("k") == (("x-goog-api-key", "k"),)


def failed(code: int, status: str, message: str, *details: dict[str, str]) -> bytes:
    said = {"code": code, "message": message, "status": status, "details": details}
    return json.dumps({"error": said}).encode()


@pytest.mark.parametrize(
    ("message", "param", "code"),
    [
        ("The input token count (1048600) exceeds the maximum number of tokens allowed (1048576).",
         "prompt", "context_length_exceeded"),
        ("it has a maxOutputTokens value of 100000 but the supported range is from 1", "max_tokens",
         None),
        ("Invalid value at 'generation_config.temperature'", "temperature", None),
        ("Penalty is not enabled for this model", None, None),
    ],
)  # fmt: skip
def test_the_callers_errors_name_the_field(
    message: str, param: str | None, code: str | None
) -> None:
    """By the caller's names, also where a stream's error comes in a list."""
    body = failed(400, "INVALID_ARGUMENT", message)
    for said in (body, b"[" + body + b"]"):
        error = GeminiAdapter().error(400, said, None)
        assert isinstance(error, RequestError)
        assert (error.status, error.param, error.code) == (400, param, code)


INVALID_KEY = {"@type": "ErrorInfo", "reason": "API_KEY_INVALID"}


@pytest.mark.parametrize(
    ("status", "body", "kind", "wait_s"),
    [
        (429, failed(429, "RESOURCE_EXHAUSTED", "x", {"retryDelay": "9.5s"}), "overloaded", 9.5),
        (503, failed(503, "UNAVAILABLE", "x"), "overloaded", None),
        (400, failed(400, "INVALID_ARGUMENT", "API key not valid.", INVALID_KEY), "status", None),
        (400, failed(400, "FAILED_PRECONDITION", "User location is not supported"), "status", None),
        (400, failed(400, "INVALID_ARGUMENT", "Requests ending with a model turn are not"),
         "status", None),
        (404, failed(404, "NOT_FOUND", "models/x is not found"), "status", None),
        (500, b"not JSON", "status", None),
        (502, b"[]", "status", None),
    ],
)  # fmt: skip
def test_other_errors_are_not_the_callers(
    status: int, body: bytes, kind: str, wait_s: float | None
) -> None:
    """A wrong key is a 400 there, and a delay stands in the details."""
    error = GeminiAdapter().error(status, body, None)
    assert isinstance(error, UpstreamError)
    assert (error.kind, error.retry_after_s, error.retryable) == (kind, wait_s, True)
