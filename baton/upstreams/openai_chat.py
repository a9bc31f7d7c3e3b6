"""Dialect `openai-chat`: any server that has OpenAI's POST {base}/chat/completions and no more.

The prompt is continued as `continuation.py` says: by instruction, or by prefill in one of the three
ways in which servers take an assistant's message to continue: vLLM, SGLang and llama-server by
`continue_final_message`, Mistral and DeepSeek by `prefix`, Qwen by `partial` in the message.

Asked for one choice only, since many such servers leave `n` out without a word; stops are Baton's
to cut, since a polite opening line must not end an answer. `max_tokens` is `max_completion_tokens`
for OpenAI's reasoning models, which know no other name, and sampling at OpenAI's defaults is said
to all others, whose own defaults may differ.

Tolerated: a role-first delta, null content, content in parts (thoughts among them are no text),
usage on any chunk, chunks without choices (Azure's first), a missing `[DONE]` after the
finish_reason. A `refusal` is not the model's text: the choice ends with content_filter.
"""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec

from baton.semantics.events import Call, Event, FinishReason, Usage, UsageReported, Way
from baton.semantics.usage import guess
from baton.upstreams.base import Capabilities, Decoder, HttpRequest
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
from baton.upstreams.completions_wire import FINISH_REASONS, WireUsage, believable
from baton.upstreams.continuation import WRAPPING_TOKENS_MAX, Cleaning, way_of, wrap
from baton.upstreams.failures import failure
from baton.upstreams.refusals import refusal, refusal_within

REASONING = re.compile(r"(^|/)(o[1-9]|gpt-[5-9])")
"""OpenAI's models that take `max_completion_tokens` alone and no sampling but their own."""
_ENCODER = msgspec.json.Encoder()
NO_WAYS: Mapping[str, Way] = MappingProxyType({})


class WireMessage(msgspec.Struct):
    """A delta, or the whole message."""

    content: str | list[WirePart] | None = None
    refusal: str | None = None


class WireChatChoice(msgspec.Struct):
    index: int = 0
    delta: WireMessage | None = None
    message: WireMessage | None = None
    finish_reason: str | None = None
    logprobs: msgspec.Raw = NULL


class WireChat(msgspec.Struct):
    """A chunk of a stream, or the whole answer."""

    choices: list[WireChatChoice] | None = None
    usage: msgspec.Raw = NULL
    error: object = None
    kind: str = msgspec.field(default="", name="object")


_CHAT = msgspec.json.Decoder(WireChat)
_USAGE = msgspec.json.Decoder(WireUsage | None)


class OpenAIChatAdapter:
    """A server that chats. `ways` tells how each of its models continues a text."""

    name = "openai-chat"
    opaque_prompt = False
    path = "/chat/completions"
    capabilities = Capabilities(
        wrapping_tokens=WRAPPING_TOKENS_MAX,
        logprobs=True,
        logprobs_max=20,
        suffix=True,
        stop_max=0,
        seed=True,
        penalties=True,
        logit_bias=True,
        stream_usage=True,
        exact_usage=True,
        bounded=True,
        scored=True,
    )

    def __init__(self, ways: Mapping[str, Way] = NO_WAYS) -> None:
        self._ways = ways

    def request(self, call: Call) -> HttpRequest:
        return HttpRequest(path=self.path, body=_ENCODER.encode(self.fields(call)))

    def decoder(self, call: Call) -> Decoder:
        way = self._way(call)
        if not call.stream:
            return JsonDecoder(call, ChatReader(call, Cleaning(call, way)))
        return EventStreamDecoder(call, ChatReader(call, Cleaning(call, way), _guess(call, way)))

    def error(self, status: int, body: bytes, retry_after: str | None) -> Exception:
        return refusal(status, body, retry_after)

    def fields(self, call: Call) -> dict[str, object]:
        """The request's body."""
        reasoning = REASONING.search(call.model) is not None
        limit = "max_completion_tokens" if reasoning else "max_tokens"
        found: dict[str, object] = {"model": call.model, limit: call.max_tokens}
        found |= self._messages(call)
        for field, value in (("temperature", call.temperature), ("top_p", call.top_p)):
            if not reasoning or value != 1.0:
                found[field] = value
        found |= {field: value for field, value in _options(call) if value is not None}
        if call.stream:
            found |= {"stream": True, "stream_options": {"include_usage": True}}
        return found

    def _messages(self, call: Call) -> dict[str, object]:
        way = self._way(call)
        wrapped = wrap(call, way)
        messages: list[dict[str, object]] = [
            {"role": "system", "content": wrapped.system},
            {"role": "user", "content": wrapped.user},
        ]
        if not wrapped.assistant:
            return {"messages": messages}
        messages.append({"role": "assistant", "content": wrapped.assistant})
        if way != "prefill":
            messages[-1][way] = True
            return {"messages": messages}
        further = {"add_generation_prompt": False, "continue_final_message": True}
        return {"messages": messages, **further}

    def _way(self, call: Call) -> Way:
        return way_of(call.model, self._ways, "instruct")


def _guess(call: Call, way: Way) -> int:
    """Tokens of the conversation that is sent."""
    wrapped = wrap(call, way)
    return sum(map(guess, (wrapped.system, wrapped.user, wrapped.assistant)))


def _options(call: Call) -> tuple[tuple[str, object], ...]:
    """Optional fields, None where they say nothing."""
    alternatives = max(call.logprobs or 0, 1 if call.scored else 0)
    wanted = call.logprobs is not None or call.scored
    bias = {str(token): value for token, value in (call.logit_bias or {}).items()}
    return (
        ("presence_penalty", call.presence_penalty or None),
        ("frequency_penalty", call.frequency_penalty or None),
        ("logit_bias", bias or None),
        ("logprobs", wanted or None),
        ("top_logprobs", alternatives or None),
        ("seed", call.seed),
        ("user", call.user),
    )


class ChatReader:
    """Chunks of a stream, or one whole answer. `sent_tokens`: what the prompt is guessed at with
    the first words, as a stream that is left or cut never comes to its usage; 0: not at all."""

    __slots__ = ("_refused", "_reply", "_sent_tokens", "whole")

    def __init__(self, call: Call, cleaning: Cleaning, sent_tokens: int = 0) -> None:
        self._reply, self._sent_tokens = Reply(call, cleaning), sent_tokens
        self._refused = False
        self.whole = False

    def read(self, payload: bytes) -> Sequence[Event]:
        if payload.startswith(b"[DONE]"):
            self.whole = True
            return ()
        if payload == b"null":
            return ()
        chat = parsed(_CHAT, payload)
        if chat.error is not None or chat.kind == "error":
            raise refusal_within(payload) or self._reply.broken("status", "an error event")
        events: list[Event] = []
        for choice in chat.choices or ():
            if choice.index != 0:
                raise failure("stream", "protocol", "more choices than were asked for")
            events += self._choice(choice)
        reported = believed(_USAGE, chat.usage)
        usage = None if reported is None else believable(reported, thinks=True)
        if usage is None and self._sent_tokens and self._reply.said:
            usage = Usage(self._sent_tokens, 0, estimated=True)
        if usage is None:
            return events
        self._sent_tokens = 0
        return [*events, UsageReported(usage)]

    def finish(self) -> Sequence[Event]:
        return self._reply.finish()

    def _choice(self, choice: WireChatChoice) -> list[Event]:
        message = choice.delta or choice.message or WireMessage()
        self._refused = self._refused or bool(message.refusal)
        reason = _reason(choice.finish_reason)
        if reason == "stop" and self._refused:
            reason = "content_filter"
        return self._reply.events(content_text(message.content), reason, bytes(choice.logprobs))


def _reason(said: str | None) -> FinishReason | None:
    if not said:
        return None
    reason = FINISH_REASONS.get(said)
    if reason is None:
        raise failure("stream", "status", "the upstream gave up on the choice")
    return reason
