"""Anthropic's Messages: its event stream, its errors, its rules for messages.

message_start with cache counts and a first output token, a ping, a thinking block before the text
(where `thinking` is on), text deltas of two pieces at once, an event of a kind that nobody knows,
message_delta with the cumulative output, message_stop. Temperatures above 1, a prefill that ends
with whitespace or is not taken by the model, and empty messages are 400s in the server's words.
Models from 5 on think unless told otherwise, until nothing of max_tokens is left for a text; some
refuse to be told not to.
"""

import json
import re
from collections.abc import Iterator

from tests.fakes.fake_chat import Asked, FakeChat, Json, Refused, tokens, unwrapped
from tests.fakes.faults import Fault
from tests.fakes.word_model import Generated, Sampling

CONTEXT_TOKENS = 4096
OUTPUT_TOKENS_MAX = 64000
CACHED_TOKENS, WRITTEN_TOKENS = 3, 2
THINKERS = re.compile(r"claude-[a-z]+-([5-9]|[1-9][0-9])(?![0-9])")
ALWAYS_THINKING = re.compile(r"claude-(opus|sonnet)-5-5|claude-(fable|mythos)")
REASONS = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal"}


class FakeAnthropic(FakeChat):
    dialect = "anthropic"
    key_header = "x-api-key"
    thinking = False

    def understood(self, path: str, body: Json) -> Asked | None:
        if not path.endswith("/messages"):
            return None
        self._check(body)
        contents = {each["role"]: each["content"] for each in body["messages"]}
        wrapped = body["system"] + "".join(contents.values())
        limit = body["max_tokens"]
        if tokens(wrapped) > CONTEXT_TOKENS:
            raise refused(
                f"prompt is too long: {tokens(wrapped)} tokens > {CONTEXT_TOKENS} maximum"
            )
        if limit > OUTPUT_TOKENS_MAX:
            raise refused(
                f"max_tokens: {limit} > {OUTPUT_TOKENS_MAX}, which is the maximum allowed number of"
                " output tokens for claude-fake"
            )
        if thinks(body):
            self.scripted.insert(0, Generated([], [], "length", limit))
        sampling = Sampling(limit, body.get("temperature", 1.0), top_p=body.get("top_p", 1.0))
        prompt = unwrapped(contents["user"], contents.get("assistant"))
        return Asked(prompt, wrapped, sampling, bool(body.get("stream")))

    def shown(self, asked: Asked, made: Generated, fault: Fault) -> Json:
        text = {"type": "text", "text": "".join(made.pieces)}
        content = [{"type": "thinking", "thinking": "Hm.", "signature": "EqQB"}] * self.thinking
        usage = fault.usage or {**self._input(asked), "output_tokens": made.counted}
        ending = {"stop_reason": REASONS.get(made.finish_reason, made.finish_reason)}
        return {**message(usage), **ending, "content": [*content, text]}

    def frames(self, asked: Asked, made: Generated, fault: Fault) -> list[bytes]:
        return [
            f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
            for event in self._events(asked, made, fault)
        ]

    def unauthorized(self) -> Refused:
        return refused("invalid x-api-key", "authentication_error", 401)

    def _events(self, asked: Asked, made: Generated, fault: Fault) -> Iterator[Json]:
        usage = fault.usage or {**self._input(asked), "output_tokens": 1}
        yield {"type": "message_start", "message": {**message(usage), "content": []}}
        yield from self._thoughts()
        at = {"index": int(self.thinking)}
        yield {"type": "content_block_start", **at, "content_block": {"type": "text", "text": ""}}
        yield {"type": "ping"}
        for number in range(0, len(made.pieces), 2):
            delta = {"type": "text_delta", "text": "".join(made.pieces[number : number + 2])}
            yield {"type": "content_block_delta", **at, "delta": delta}
        yield {"type": "content_block_stop", **at}
        yield {"type": "an_event_to_come", "delta": {"type": "unheard_of"}}
        reason = REASONS.get(made.finish_reason, made.finish_reason)
        ending = {"stop_reason": reason, "stop_sequence": None}
        output = fault.usage or {"output_tokens": made.counted}
        yield {"type": "message_delta", "delta": ending, "usage": output}
        yield {"type": "message_stop"}

    def _thoughts(self) -> Iterator[Json]:
        if not self.thinking:
            return
        block = {"type": "thinking", "thinking": "", "signature": ""}
        yield {"type": "content_block_start", "index": 0, "content_block": block}
        for delta in (
            {"type": "thinking_delta", "thinking": "Hm."},
            {"type": "signature_delta", "signature": "EqQB"},
        ):
            yield {"type": "content_block_delta", "index": 0, "delta": delta}
        yield {"type": "content_block_stop", "index": 0}

    def _input(self, asked: Asked) -> Json:
        """input_tokens are what is neither read from the cache nor written to it."""
        fresh = tokens(asked.wrapped) - CACHED_TOKENS - WRITTEN_TOKENS
        return {
            "input_tokens": fresh,
            "cache_creation_input_tokens": WRITTEN_TOKENS,
            "cache_read_input_tokens": CACHED_TOKENS,
        }

    def _check(self, body: Json) -> None:
        if body.get("temperature", 1.0) > 1:
            raise refused("temperature: range: 0..1")
        if ALWAYS_THINKING.search(body["model"]) and body.get("thinking") == {"type": "disabled"}:
            raise refused('"thinking.type.disabled" is not supported for this model.')
        if any(not each["content"].strip() for each in body["messages"]):
            raise refused("messages: text content blocks must contain non-whitespace text")
        last = body["messages"][-1]
        if last["role"] == "user":
            return
        if not re.search(r"claude-(3|[a-z]+-4(-[0-5])?$)|theirs", body["model"]):
            raise refused(
                "This model does not support assistant message prefill. The conversation must end"
                " with a user message."
            )
        if last["content"] != last["content"].rstrip():
            raise refused("messages: final assistant content cannot end with trailing whitespace")


def thinks(body: Json) -> bool:
    """Whether the model thinks, and at length."""
    little = body.get("output_config") == {"effort": "low"}
    silent = body.get("thinking", {}).get("type") in ("disabled", "between_tools")
    return bool(THINKERS.search(body["model"])) and not (little or silent)


def message(usage: Json) -> Json:
    stamp = {"id": "msg_fake", "type": "message", "role": "assistant", "model": "claude-fake"}
    return {**stamp, "stop_reason": None, "stop_sequence": None, "usage": usage}


def refused(text: str, kind: str = "invalid_request_error", status: int = 400) -> Refused:
    said = {"type": kind, "message": text}
    return Refused(status, {"type": "error", "error": said, "request_id": "req_fake"})
