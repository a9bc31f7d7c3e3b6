"""Dialect `gemini`: Google's generateContent, POST {base}/models/MODEL:generateContent.

The model stands in the path; a stream is `:streamGenerateContent?alt=sse`, each event a whole
GenerateContentResponse with the text that is new and the usage so far, without an end mark.
Continued by instruction: a trailing model turn is refused by newer models (older ones may be set
to prefill). temperature and topP are always said, since Gemini's defaults are its own.

Odd ways: some models say finishReason STOP on every event, so an answer ends with its body; a
prompt that is blocked has no candidate at all but promptFeedback.blockReason: an empty text that
ends with content_filter. Thoughts count as completion (they are billed so) and as reasoning, and
take from maxOutputTokens; where a model can do without them it is told to, else to think little.

Facts from the vendor's documentation; nothing here was run against the real service.
"""

import re
import urllib.parse
from collections.abc import Mapping, Sequence

import msgspec

from baton.errors import RequestError
from baton.semantics.events import Call, Event, FinishReason, Usage, UsageReported, Way
from baton.upstreams.base import Capabilities, Decoder, HttpRequest
from baton.upstreams.chat_errors import OPERATORS_STATUS, Wording, refusal_of
from baton.upstreams.chat_wire import (
    NULL,
    EventStreamDecoder,
    JsonDecoder,
    Reply,
    believed,
    parsed,
)
from baton.upstreams.completions_wire import count
from baton.upstreams.continuation import WRAPPING_TOKENS_MAX, Cleaning, Wrapped, way_of, wrap
from baton.upstreams.failures import failure
from baton.upstreams.framing import UNREADABLE
from baton.upstreams.openai_chat import NO_WAYS
from baton.upstreams.refusals import refusal

FINISH_REASONS: dict[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "ESCALATION": "content_filter",
    "CONTINUATION": "length",
}
"""Anything else (OTHER, MALFORMED_FUNCTION_CALL) means that it did not finish."""
CALLERS = "INVALID_ARGUMENT"
OVERLOADED = frozenset({"RESOURCE_EXHAUSTED", "UNAVAILABLE"})
OPERATORS_STATUSES = frozenset({"FAILED_PRECONDITION", "PERMISSION_DENIED", "UNAUTHENTICATED"})
"""Said with a 400: the service is not offered here, or billing is not set up."""
OPERATORS_REASONS = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED"})
WORDING = Wording(
    fields={
        "maxOutputTokens": "max_tokens",
        "max_output_tokens": "max_tokens",
        "temperature": "temperature",
        "topP": "top_p",
        "top_p": "top_p",
        "seed": "seed",
        "presencePenalty": "presence_penalty",
        "presence_penalty": "presence_penalty",
        "frequencyPenalty": "frequency_penalty",
        "frequency_penalty": "frequency_penalty",
    },
    context=re.compile(r"input token count .{0,40}exceeds the maximum number of tokens"),
    context_tokens=re.compile(r"tokens allowed \(?(\d{1,9})"),
    operators=re.compile(r"ending with a model turn"),
)
DELAY = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)[0-9]*s")
_ENCODER = msgspec.json.Encoder()


class WirePart(msgspec.Struct):
    text: str | None = None
    thought: bool | None = None


class WireContent(msgspec.Struct):
    parts: list[WirePart] | None = None


class WireCandidate(msgspec.Struct, rename="camel"):
    content: WireContent | None = None
    finish_reason: str | None = None
    index: int = 0


class WireFeedback(msgspec.Struct, rename="camel"):
    block_reason: str | None = None


class WireModality(msgspec.Struct, rename="camel"):
    modality: str = ""
    token_count: int | None = None


class WireMetadata(msgspec.Struct, rename="camel"):
    prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    cached_content_token_count: int | None = None
    thoughts_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    prompt_tokens_details: list[WireModality] | None = None
    candidates_tokens_details: list[WireModality] | None = None


class WireDetail(msgspec.Struct, rename="camel"):
    reason: str | None = None
    retry_delay: str | None = None


class WireStatus(msgspec.Struct):
    status: str | None = None
    message: str | None = None
    details: list[WireDetail] = []


class WireResponse(msgspec.Struct, rename="camel"):
    candidates: list[WireCandidate] | None = None
    prompt_feedback: WireFeedback | None = None
    usage_metadata: msgspec.Raw = NULL
    error: WireStatus | None = None


class WireFailure(msgspec.Struct):
    error: WireStatus


_RESPONSE = msgspec.json.Decoder(WireResponse)
_METADATA = msgspec.json.Decoder(WireMetadata | None)
_FAILURE = msgspec.json.Decoder(WireFailure)
_FAILURES = msgspec.json.Decoder(list[WireFailure])


def key_headers(key: str) -> tuple[tuple[str, str], ...]:
    """How the server takes a key."""
    return (("x-goog-api-key", key),)


class GeminiAdapter:
    """Google's generateContent. `ways` tells which models continue a model's turn."""

    name = "gemini"
    opaque_prompt = False
    capabilities = Capabilities(
        wrapping_tokens=WRAPPING_TOKENS_MAX,
        suffix=True,
        stop_max=0,
        seed=True,
        penalties=True,
        stream_usage=True,
        exact_usage=True,
        bounded=True,
    )

    def __init__(self, ways: Mapping[str, Way] = NO_WAYS) -> None:
        self._ways = ways

    def request(self, call: Call) -> HttpRequest:
        wrapped = wrap(call, self._way(call))
        body = {
            "systemInstruction": {"parts": [{"text": wrapped.system}]},
            "contents": _contents(wrapped),
            "generationConfig": _generation(call),
        }
        verb = "streamGenerateContent?alt=sse" if call.stream else "generateContent"
        place = call.model if "/" in call.model else f"models/{call.model}"
        path = f"/{urllib.parse.quote(place)}:{verb}"
        return HttpRequest(path=path, body=_ENCODER.encode(body))

    def decoder(self, call: Call) -> Decoder:
        reader = ResponseReader(call, Cleaning(call, self._way(call)))
        return EventStreamDecoder(call, reader) if call.stream else JsonDecoder(call, reader)

    def error(self, status: int, body: bytes, retry_after: str | None) -> Exception:
        return _judged(status, _failure(body), retry_after)

    def _way(self, call: Call) -> Way:
        return way_of(call.model, self._ways, "instruct")


def _contents(wrapped: Wrapped) -> list[dict[str, object]]:
    turns = [("user", wrapped.user), ("model", wrapped.assistant)]
    return [{"role": role, "parts": [{"text": text}]} for role, text in turns if text]


def _generation(call: Call) -> dict[str, object]:
    found: dict[str, object] = {
        "maxOutputTokens": call.max_tokens,
        "temperature": call.temperature,
        "topP": call.top_p,
    }
    options = (
        ("presencePenalty", call.presence_penalty or None),
        ("frequencyPenalty", call.frequency_penalty or None),
        ("seed", call.seed),
        ("thinkingConfig", _thinking(call.model)),
    )
    return found | {field: value for field, value in options if value is not None}


def _thinking(model: str) -> dict[str, object] | None:
    """As little thought as the model can do with; None for those that know no such setting."""
    generation = re.search(r"gemini-([0-9]+)(?:\.([0-9]+))?", model)
    if generation is None:
        return None
    major, minor = int(generation[1]), int(generation[2] or 0)
    if major >= 3:
        return {"thinkingLevel": "low"}
    if (major, minor) == (2, 5):
        return {"thinkingBudget": 128 if "pro" in model else 0}
    return None


def _judged(status: int, said: WireStatus, retry_after: str | None) -> Exception:
    """What it means that this was said with that status."""
    reasons = {detail.reason for detail in said.details}
    delays = [DELAY.fullmatch(detail.retry_delay or "") for detail in said.details]
    told = next((delay[1] for delay in delays if delay), None)
    retry_after = retry_after or told
    if status == 400 and (said.status in OPERATORS_STATUSES or reasons & OPERATORS_REASONS):
        return refusal(OPERATORS_STATUS, b"", retry_after)
    flat = msgspec.json.encode({"error": {"message": said.message, "type": said.status}})
    return refusal_of(status, flat, retry_after, WORDING)


def _failure(body: bytes) -> WireStatus:
    """What an error body says; streams put it into a list."""
    try:
        if body.lstrip().startswith(b"["):
            return _FAILURES.decode(body)[0].error
        return _FAILURE.decode(body).error
    except (*UNREADABLE, IndexError):
        return WireStatus()


class ResponseReader:
    """Events of a stream, or one whole answer; its end is the end of the body."""

    __slots__ = ("_reason", "_reply", "whole")

    def __init__(self, call: Call, cleaning: Cleaning) -> None:
        self._reply = Reply(call, cleaning)
        self._reason: FinishReason | None = None
        self.whole = False

    def read(self, payload: bytes) -> Sequence[Event]:
        response = parsed(_RESPONSE, payload)
        if response.error is not None:
            raise self._broken(response.error)
        events: list[Event] = []
        for candidate in response.candidates or ():
            if candidate.index != 0:
                raise failure("stream", "protocol", "more choices than were asked for")
            events += self._candidate(candidate)
        feedback = response.prompt_feedback
        if feedback is not None and feedback.block_reason:
            self._reason = "content_filter"
        return events + _reported(response.usage_metadata)

    def finish(self) -> Sequence[Event]:
        events = [] if self._reason is None else self._reply.events("", self._reason)
        return events + self._reply.finish()

    def _broken(self, said: WireStatus) -> Exception:
        """What an error in place of an answer means, or in the middle of one."""
        if said.status == CALLERS:
            found = _judged(400, said, None)
            if isinstance(found, RequestError):
                return found
        overloaded = said.status in OVERLOADED
        return self._reply.broken("overloaded" if overloaded else "status", "an error event")

    def _candidate(self, candidate: WireCandidate) -> list[Event]:
        if candidate.finish_reason:
            self._reason = FINISH_REASONS.get(candidate.finish_reason)
            if self._reason is None:
                raise failure("stream", "status", "the upstream gave up on the text")
        parts = candidate.content.parts if candidate.content is not None else None
        text = "".join(part.text or "" for part in parts or () if not part.thought)
        return self._reply.events(text)


def _reported(raw: msgspec.Raw) -> list[Event]:
    """Thoughts are generated and billed as such; images and sound are told by modality."""
    told = believed(_METADATA, raw)
    prompt = None if told is None else count(told.prompt_token_count)
    if told is None or prompt is None:
        return []
    prompt += count(told.tool_use_prompt_token_count) or 0
    thoughts = count(told.thoughts_token_count)
    completion = (count(told.candidates_token_count) or 0) + (thoughts or 0)
    usage = Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=count(told.cached_content_token_count, prompt),
        reasoning_tokens=thoughts,
        audio_prompt_tokens=_of(told.prompt_tokens_details, "AUDIO", prompt),
        image_prompt_tokens=_of(told.prompt_tokens_details, "IMAGE", prompt),
        audio_completion_tokens=_of(told.candidates_tokens_details, "AUDIO", completion),
    )
    return [UsageReported(usage)] if prompt + completion else []


def _of(details: list[WireModality] | None, modality: str, tokens_max: int) -> int | None:
    if details is None:
        return None
    counts = [count(each.token_count) or 0 for each in details if each.modality == modality]
    return count(sum(counts), tokens_max)
