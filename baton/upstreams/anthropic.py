"""Dialect `anthropic`: Anthropic's Messages, POST {base}/messages.

Models up to Claude 4.5 continue an assistant's message (prefill, never ending with whitespace);
later ones refuse that and are instructed. No seed, penalties, bias or logprobs exist; temperature
goes up to 1 (later models take none but 1: their own 400 says so). Stops are Baton's to cut: the
server refuses those of whitespace alone, and none may match in a polite opening line.

From Claude 5 on models think unless told otherwise, and thoughts take from max_tokens: a short
completion would come out empty. Each is told to think as little as it can (`LEAST_THOUGHT`).

The stream: message_start (input tokens), then per block content_block_start, content_block_delta
…, content_block_stop, then message_delta (stop_reason, all output tokens so far) and message_stop;
ping, error and events of kinds to come may stand between. Only text blocks are text. input_tokens
leaves out what was read from or written to the cache: a prompt is the sum of the three; thoughts
are within output_tokens. Until the end the output is only estimated, so that a cut stream is
charged for what came.

Facts from the vendor's documentation; nothing here was run against the real service.
"""

import re
from collections.abc import Mapping, Sequence

import msgspec

from baton.errors import RequestError
from baton.semantics.events import Call, Event, FinishReason, Usage, UsageReported, Way
from baton.upstreams.base import Capabilities, Decoder, HttpRequest
from baton.upstreams.chat_errors import Wording, refusal_of
from baton.upstreams.chat_wire import (
    NULL,
    EventStreamDecoder,
    JsonDecoder,
    Reply,
    WirePart,
    believed,
    content_text,
    parsed,
)
from baton.upstreams.completions_wire import count
from baton.upstreams.continuation import WRAPPING_TOKENS_MAX, Cleaning, way_of, wrap
from baton.upstreams.failures import failure
from baton.upstreams.openai_chat import NO_WAYS

VERSION = (("anthropic-version", "2023-06-01"),)
PREFILLS = re.compile(
    r"claude-(instant|v?[123]\b|[a-z]+-4(-[0-5])?([-@]([0-9]{8}|latest).*)?$)"
)  # fmt: skip
"""Models that continue an assistant's message; from Claude 4.6 on it is refused."""
THINKERS = re.compile(r"claude-([a-z]+-(?:[5-9]|[1-9][0-9]))(?:[-.]([0-9]))?(?![0-9])")
"""Models that think by default: their name, and their number behind the point."""
NO_THOUGHT: dict[str, object] = {"thinking": {"type": "disabled"}}
LEAST_THOUGHT: dict[str, dict[str, object]] = {
    "opus-5": NO_THOUGHT,
    "sonnet-5": NO_THOUGHT,
    "haiku-5-5": NO_THOUGHT,
    "sonnet-5-5": {"thinking": {"type": "between_tools"}},
}
LITTLE_THOUGHT: dict[str, object] = {"output_config": {"effort": "low"}}
"""For all others: Opus 5.5, Fable and Mythos refuse to be told not to think."""
FINISH_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}
"""Anything else (tool_use, pause_turn) is no end of a text."""
CALLERS = {"invalid_request_error": 400, "request_too_large": 413}
"""The status with which the vendor says each, where it still can."""
OVERLOADED = frozenset({"overloaded_error", "rate_limit_error"})
WORDING = Wording(
    fields={
        "max_tokens": "max_tokens",
        "temperature": "temperature",
        "top_p": "top_p",
        "messages": "prompt",
    },
    context=re.compile(r"prompt is too long|exceed context limit"),
    context_tokens=re.compile(r"> (\d{1,9})(?: maximum|, decrease)"),
    operators=re.compile(r"credit balance|does not support assistant message prefill"),
)
BYTES_PER_TOKEN = 4
_ENCODER = msgspec.json.Encoder()


class WireOutput(msgspec.Struct):
    thinking_tokens: int | None = None


class WireTokens(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None


class WireCounts(WireTokens):
    output_tokens_details: WireOutput | None = None


class WireBlock(WirePart):
    """A content block, or a delta of one."""


class WireBody(msgspec.Struct):
    """A whole message, the beginning of one, or the `delta` of message_delta."""

    content: list[WireBlock] = []
    stop_reason: str | None = None
    usage: msgspec.Raw = NULL


class WireError(msgspec.Struct):
    type: str = ""


class WireEvent(WireBody):
    type: str = ""
    message: WireBody | None = None
    content_block: WireBlock | None = None
    delta: msgspec.Raw = NULL
    error: WireError | None = None


_EVENT = msgspec.json.Decoder(WireEvent)
_BLOCK = msgspec.json.Decoder(WireBlock)
_ENDING = msgspec.json.Decoder(WireBody)
_TOKENS = msgspec.json.Decoder(WireCounts | None)


def key_headers(key: str) -> tuple[tuple[str, str], ...]:
    """How the server takes a key."""
    return (("x-api-key", key),)


class AnthropicAdapter:
    """Anthropic's Messages. `ways` tells how each model continues, where the rule is wrong."""

    name = "anthropic"
    opaque_prompt = False
    capabilities = Capabilities(
        wrapping_tokens=WRAPPING_TOKENS_MAX,
        suffix=True,
        stop_max=0,
        temperature_max=1.0,
        stream_usage=True,
        exact_usage=True,
        bounded=True,
    )

    def __init__(self, ways: Mapping[str, Way] = NO_WAYS) -> None:
        self._ways = ways

    def request(self, call: Call) -> HttpRequest:
        wrapped = wrap(call, self._way(call), trimmed=True)
        messages = [{"role": "user", "content": wrapped.user}]
        if wrapped.assistant:
            messages.append({"role": "assistant", "content": wrapped.assistant})
        found: dict[str, object] = {
            "model": call.model,
            "max_tokens": call.max_tokens,
            "system": wrapped.system,
            "messages": messages,
        }
        for field, value in (("temperature", call.temperature), ("top_p", call.top_p)):
            if value != 1.0:  # newer models take one of the two at most, and 1 is their default
                found[field] = value
        found |= _thinking(call.model)
        if call.stream:
            found["stream"] = True
        return HttpRequest(path="/messages", body=_ENCODER.encode(found), headers=VERSION)

    def decoder(self, call: Call) -> Decoder:
        cleaning = Cleaning(call, self._way(call), trimmed=True)
        if call.stream:
            return EventStreamDecoder(call, MessageEvents(call, cleaning))
        return JsonDecoder(call, MessageBody(call, cleaning))

    def error(self, status: int, body: bytes, retry_after: str | None) -> Exception:
        return refusal_of(status, body, retry_after, WORDING)

    def _way(self, call: Call) -> Way:
        prefilled = PREFILLS.search(call.model) is not None
        return way_of(call.model, self._ways, "prefill" if prefilled else "instruct")


def _thinking(model: str) -> dict[str, object]:
    """What has the model think as little as it can; nothing where it thinks only if asked to."""
    found = THINKERS.search(model)
    if found is None:
        return {}
    name = found[1] if found[2] is None else f"{found[1]}-{found[2]}"
    return LEAST_THOUGHT.get(name, LITTLE_THOUGHT)


class Tokens:
    """The counts of one message, told in parts: the last number of each kind holds."""

    __slots__ = ("_last", "_text_bytes", "_thought")

    def __init__(self) -> None:
        self._last = WireTokens()
        self._thought: int | None = None
        self._text_bytes = 0

    def told(self, raw: msgspec.Raw) -> None:
        found = believed(_TOKENS, raw)
        if found is None:
            return
        if found.output_tokens_details is not None:
            self._thought = found.output_tokens_details.thinking_tokens
        for field in WireTokens.__struct_fields__:
            value = count(getattr(found, field))
            if value is not None:
                setattr(self._last, field, value)

    def came(self, text: str) -> None:
        self._text_bytes += len(text.encode(errors="surrogatepass"))

    def report(self, *, final: bool) -> list[Event]:
        """The usage so far; nothing where the input was never told, or at the end the output."""
        last = self._last
        output = last.output_tokens
        if last.input_tokens is None or (final and output is None):
            return []
        cached, written = last.cache_read_input_tokens, last.cache_creation_input_tokens
        if not final:
            output = max(output or 0, -(-self._text_bytes // BYTES_PER_TOKEN))
        assert output is not None
        prompt = last.input_tokens + (cached or 0) + (written or 0)
        usage = Usage(
            prompt_tokens=prompt,
            completion_tokens=output,
            cached_tokens=cached,
            reasoning_tokens=count(self._thought, output),
            cache_write_tokens=written,
            estimated=not final,
        )
        return [UsageReported(usage)] if prompt + output else []


class MessageEvents:
    """The event stream. `whole` after message_stop."""

    __slots__ = ("_reply", "_tokens", "whole")

    def __init__(self, call: Call, cleaning: Cleaning) -> None:
        self._reply, self._tokens = Reply(call, cleaning), Tokens()
        self.whole = False

    def read(self, payload: bytes) -> Sequence[Event]:
        event = parsed(_EVENT, payload)
        match event.type:
            case "message_start":
                self._tokens.told(event.message.usage if event.message else NULL)
                return self._tokens.report(final=False)
            case "content_block_start":
                return self._text(event.content_block)
            case "content_block_delta":
                return self._text(parsed(_BLOCK, event.delta))
            case "message_delta":
                return self._ending(event)
            case "message_stop":
                self.whole = True
            case "error":
                raise _broken(payload, event.error, self._reply)
            case _:
                pass  # ping, content_block_stop, and what the vendor may add
        return ()

    def finish(self) -> Sequence[Event]:
        return self._reply.finish()

    def _text(self, block: WireBlock | None) -> list[Event]:
        if block is None or block.type not in ("text", "text_delta") or not block.text:
            return []
        self._tokens.came(block.text)
        return [*self._reply.events(block.text), *self._tokens.report(final=False)]

    def _ending(self, event: WireEvent) -> list[Event]:
        self._tokens.told(event.usage)
        reason = _reason(parsed(_ENDING, event.delta).stop_reason)
        return [*self._reply.events("", reason), *self._tokens.report(final=True)]


class MessageBody:
    """A whole answer."""

    __slots__ = ("_reply", "_tokens", "whole")

    def __init__(self, call: Call, cleaning: Cleaning) -> None:
        self._reply, self._tokens = Reply(call, cleaning), Tokens()
        self.whole = False

    def read(self, payload: bytes) -> Sequence[Event]:
        body = parsed(_EVENT, payload)
        if body.type == "error":
            raise _broken(payload, body.error, self._reply)
        text = content_text(body.content)
        self._tokens.told(body.usage)
        events = self._reply.events(text, _reason(body.stop_reason))
        return [*events, *self._tokens.report(final=True)]

    def finish(self) -> Sequence[Event]:
        return self._reply.finish()


def _broken(payload: bytes, said: WireError | None, reply: Reply) -> Exception:
    """What an error in place of an answer means, or in the middle of one."""
    kind = said.type if said else ""
    if kind in CALLERS:
        found = refusal_of(CALLERS[kind], payload, None, WORDING)
        if isinstance(found, RequestError):
            return found
    return reply.broken("overloaded" if kind in OVERLOADED else "status", "an error event")


def _reason(said: str | None) -> FinishReason | None:
    if said is None:
        return None
    reason = FINISH_REASONS.get(said)
    if reason is None:
        raise failure("stream", "status", "the upstream gave up on the text")
    return reason
