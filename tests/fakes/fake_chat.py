"""What the fakes of chat dialects share: a server that continues the raw prompt inside a chat.

A perfectly obedient model: from whatever conversation Baton puts around a prompt it takes that
prompt out again and goes on with it as `word_model` does, without a word of its own; `script` puts
other answers (polite ones) in its place. A dialect's fake says how its wire looks.
"""

import asyncio
import dataclasses
import json
import re
from typing import Any

from tests.fakes import word_model
from tests.fakes.faults import Fault, send_faulty
from tests.fakes.wire import Exchange, WireServer, chunked_head, whole

Json = dict[str, Any]
FOLLOWING = re.compile(r"<([a-z_0-9]+)>(.*)</\1>", re.DOTALL)
UNFINISHED = re.compile(r"<(unfinished_text(?:_[0-9a-f]+)?)>(.*)</\1>", re.DOTALL)


@dataclasses.dataclass
class Asked:
    """A request, whatever its dialect."""

    prompt: str
    """The raw text to continue."""
    wrapped: str
    """All text of the conversation: what is counted as the prompt."""
    sampling: word_model.Sampling
    stream: bool
    logprobs: bool = False


class Refused(Exception):
    def __init__(self, status: int, body: Json, headers: tuple[str, ...] = ()) -> None:
        super().__init__(status)
        self.status, self.body, self.headers = status, body, headers


class FakeChat(WireServer):
    """Base of the chat fakes. `seen` are decoded bodies, `paths` what they were posted to."""

    dialect = ""
    key_header = "authorization"

    def __init__(self, *, key: str = "", port: int = 0) -> None:
        super().__init__(self._respond, port=port)
        self.seen: list[Json] = []
        self.paths: list[str] = []
        self.faults: list[Fault] = []
        self.scripted: list[word_model.Generated] = []
        self._key = key

    def fault(self, **fields: Any) -> None:
        self.faults.append(Fault(**fields))

    def script(self, *answers: word_model.Generated) -> None:
        self.scripted += answers

    # what a dialect says

    def understood(self, path: str, body: Json) -> Asked | None:
        """What is asked for; None where the path is no route. Raises Refused."""
        raise NotImplementedError

    def shown(self, asked: Asked, made: word_model.Generated, fault: Fault) -> Json:
        raise NotImplementedError

    def frames(self, asked: Asked, made: word_model.Generated, fault: Fault) -> list[bytes]:
        raise NotImplementedError

    def unauthorized(self) -> Refused:
        raise NotImplementedError

    # the rest

    async def _respond(self, exchange: Exchange) -> None:
        fault = self.faults[0] if self.faults else Fault()
        fault.times -= 1
        if self.faults and fault.times <= 0:
            self.faults.pop(0)
        body = json.loads(exchange.request.body or b"{}")
        self.seen.append(body)
        self.paths.append(exchange.request.path)
        self.changed()
        await asyncio.sleep(fault.delay_s)
        if fault.status:
            headers = fault.headers or ["Content-Type: application/json"]
            status = f"{fault.status} Faulty"
            return await exchange.send(whole(fault.body.encode(), *headers, status=status))
        try:
            await self._generate(exchange, body, fault)
        except Refused as refused:
            data = json.dumps(refused.body).encode()
            headers = ["Content-Type: application/json", *refused.headers]
            await exchange.send(whole(data, *headers, status=f"{refused.status} Refused"))

    async def _generate(self, exchange: Exchange, body: Json, fault: Fault) -> None:
        given = exchange.request.headers.get(self.key_header, "")
        if self._key and given.removeprefix("Bearer ") != self._key:
            raise self.unauthorized()
        asked = self.understood(exchange.request.path, body)
        if asked is None:
            raise Refused(404, {"error": {"message": "Not Found", "type": "not_found_error"}})
        made = self.scripted.pop(0) if self.scripted else None
        made = made or word_model.generate(asked.prompt, asked.sampling)
        if asked.stream:
            frames = self.frames(asked, made, fault)
            if fault.insert_after_event >= 0:
                inserted = b"data: " + fault.insert.encode() + b"\n\n"
                frames.insert(fault.insert_after_event, inserted)
            head = chunked_head("Content-Type: text/event-stream; charset=utf-8")
            return await send_faulty(exchange, head, frames, fault)
        answer = json.dumps(self.shown(asked, made, fault)).encode()
        head = whole(b"x" * len(answer), "Content-Type: application/json")[: -len(answer)]
        return await send_faulty(exchange, head, [answer], fault)


def unwrapped(user: str, begun: str | None) -> str:
    """The raw prompt of a conversation: the message to continue, or what stands in the tags; where
    a hole is to be filled, with what follows it."""
    if begun is not None:
        return begun
    found = UNFINISHED.search(user)
    assert found is not None, user
    after = FOLLOWING.search(user, found.end())
    return f"{found[2]}<hole>{after[2]}" if after else found[2]


def tokens(text: str) -> int:
    return len(word_model.encode(text))
