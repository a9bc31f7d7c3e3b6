"""A server with OpenAI's chat completions and nothing else, odd cases of such servers included.

Role-first delta, null content, `refusal: null`, logprobs in the chat shape, an obfuscation field,
a usage chunk without choices, Azure's first chunk without choices.
"""

import json
from collections.abc import Iterator
from typing import Any

from tests.fakes import refused
from tests.fakes.fake_chat import Asked, FakeChat, Json, Refused, tokens, unwrapped
from tests.fakes.fake_completions import chat_position
from tests.fakes.faults import Fault
from tests.fakes.knobs import Knobs, knobs_of
from tests.fakes.word_model import Generated, Sampling

CONTEXT_TOKENS = 4096


class FakeOpenAIChat(FakeChat):
    dialect = "openai-chat"

    def understood(self, path: str, body: Json) -> Asked | None:
        if not path.endswith("/chat/completions"):
            return None
        contents = {each["role"]: each["content"] for each in body["messages"]}
        wrapped = "".join(contents.values())
        limit = body.get("max_tokens") or body.get("max_completion_tokens") or 16
        if tokens(wrapped) + limit > CONTEXT_TOKENS:
            raise too_long(tokens(wrapped), limit)
        stops = body.get("stop") or ()
        sampling = Sampling(
            limit,
            body.get("temperature", 1.0),
            body.get("seed", 0),
            (stops,) if isinstance(stops, str) else tuple(stops),
            body.get("top_logprobs", 0),
            *self._knobs(body),
        )
        prompt = unwrapped(contents["user"], contents.get("assistant"))
        logprobs = bool(body.get("logprobs"))
        return Asked(prompt, wrapped, sampling, bool(body.get("stream")), logprobs)

    def _knobs(self, body: Json) -> Knobs:
        try:
            return knobs_of(body)
        except refused.Refused as told:
            raise Refused(told.status, refused.error_body("openai", told)) from None

    def shown(self, asked: Asked, made: Generated, fault: Fault) -> Json:
        message = {"role": "assistant", "content": "".join(made.pieces), "refusal": None}
        content = [chat_position(position) for position in made.positions]
        logprobs = {"content": content, "refusal": None} if asked.logprobs else None
        choice = {"index": 0, "message": message, "logprobs": logprobs}
        shown = [{**choice, "finish_reason": made.finish_reason}]
        usage = fault.usage if fault.usage is not None else self._usage(asked, made)
        return self._frame("chat.completion", choices=shown, usage=usage)

    def frames(self, asked: Asked, made: Generated, fault: Fault) -> list[bytes]:
        return [
            f"data: {json.dumps(frame, ensure_ascii=False)}\n\n".encode()
            for frame in self._chunks(asked, made, fault)
        ] + [b"data: [DONE]\n\n"]

    def unauthorized(self) -> Refused:
        said = {"message": "Incorrect API key provided: sk-wrong.", "type": "invalid_request_error"}
        return Refused(401, {"error": {**said, "param": None, "code": "invalid_api_key"}})

    def _chunks(self, asked: Asked, made: Generated, fault: Fault) -> Iterator[Json]:
        filtered: Json = {"prompt_filter_results": [{"prompt_index": 0}], "choices": []}
        yield {"id": "", "object": "", "created": 0, "model": "", **filtered}
        yield self._chunk({"role": "assistant", "content": "", "refusal": None})
        for number, piece in enumerate(made.pieces):
            positions = made.positions[number : number + 1]
            content = [chat_position(position) for position in positions]
            logprobs = {"content": content, "refusal": None} if asked.logprobs else None
            yield self._chunk({"content": piece}, logprobs=logprobs)
        yield self._chunk({}, finish_reason=made.finish_reason)
        usage = fault.usage if fault.usage is not None else self._usage(asked, made)
        yield self._frame("chat.completion.chunk", choices=[], usage=usage, obfuscation="xY3")

    def _chunk(self, delta: Json, **more: Any) -> Json:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None, **more}
        return self._frame("chat.completion.chunk", choices=[choice], usage=None, obfuscation="a9")

    def _frame(self, kind: str, **more: Any) -> Json:
        stamp = {"id": "chatcmpl-fake", "created": 1_700_000_000, "model": "fake-chat-2026"}
        return {**stamp, "object": kind, "system_fingerprint": "fp_fake", **more}

    def _usage(self, asked: Asked, made: Generated) -> Json:
        prompt = tokens(asked.wrapped)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": made.counted,
            "total_tokens": prompt + made.counted,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        }


def too_long(prompt: int, limit: int) -> Refused:
    message = (
        f"This model's maximum context length is {CONTEXT_TOKENS} tokens. However, you requested"
        f" {prompt + limit} tokens ({prompt} in the messages, {limit} in the completion). Please"
        " reduce the length of the messages or completion."
    )
    said = {"message": message, "type": "invalid_request_error", "param": "messages"}
    return Refused(400, {"error": {**said, "code": "context_length_exceeded"}})
