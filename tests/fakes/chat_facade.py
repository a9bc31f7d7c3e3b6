"""A chat-only face of a real completions endpoint: how a tiny model looks where it only chats.

POST /v1/chat/completions puts the messages into the ChatML template of SmolLM2's instruct models
and asks the endpoint's own /v1/completions; a last assistant message is continued where
`continue_final_message` says so. Everything else is as its fake says. `answers` are the model's own
words, before anybody cleaned them.
"""

import asyncio
from typing import Any

from tests.asking import Answer, Endpoint
from tests.fakes.fake_chat import Asked, Json
from tests.fakes.fake_openai_chat import FakeOpenAIChat
from tests.fakes.faults import Fault
from tests.fakes.wire import Exchange
from tests.fakes.word_model import Generated, Sampling

TURN_END = "<|im_end|>"
PASSED_ON = ("max_tokens", "temperature", "top_p", "seed", "model")


class ChatFacade(FakeOpenAIChat):
    """In the loop that entered it; asks `endpoint` in a thread, one request after the other."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__()
        self._endpoint = endpoint
        self.answers: list[str] = []

    def understood(self, path: str, body: Json) -> Asked | None:
        if not path.endswith("/chat/completions"):
            return None
        return Asked("", templated(body), Sampling(body["max_tokens"]), bool(body.get("stream")))

    async def _generate(self, exchange: Exchange, body: Json, fault: Fault) -> None:
        fields = {name: body[name] for name in PASSED_ON if name in body}
        fields |= {"prompt": templated(body), "stop": TURN_END}
        answer: Answer = await asyncio.to_thread(self._endpoint.complete, **fields)
        choice: dict[str, Any] = answer.json["choices"][0]
        self.answers.append(choice["text"])
        counted = answer.json["usage"]["completion_tokens"]
        pieces = [piece for piece in choice["text"].splitlines(keepends=True) if piece]
        self.script(Generated([], pieces, choice["finish_reason"], counted))
        await super()._generate(exchange, body, fault)


def templated(body: Json) -> str:
    """The messages in ChatML, up to where the model goes on."""
    turns = [f"<|im_start|>{each['role']}\n{each['content']}" for each in body["messages"]]
    if body.get("continue_final_message"):
        return f"{TURN_END}\n".join(turns)
    return "".join(f"{turn}{TURN_END}\n" for turn in turns) + "<|im_start|>assistant\n"
