"""A completions server for tests that speaks the wire of the real ones, quirks and faults included.

    async with FakeCompletions("vllm") as fake:        # in the test's loop
        fake.url, fake.seen, fake.fault(cut_after_bytes=400)
    python -m tests.fakes.fake_completions --port 0 --dialect sglang     # a process of its own

Text comes from `word_model`. Over HTTP: GET /seen tells the bodies that arrived, POST /fault takes
the fields of `Fault`. Streams carry one token per event.
"""

import argparse
import asyncio
import dataclasses
import json
import ssl
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from tests.fakes import word_model
from tests.fakes.faults import Fault, send_faulty
from tests.fakes.knobs import around, knobs_of, known_ids
from tests.fakes.refused import Refused, error_body
from tests.fakes.rules import Rules, SglangRules, VllmRules
from tests.fakes.wire import Exchange, WireServer, chunked_head, whole
from tests.fakes.wire import json_answer as json_answer
from tests.fakes.wire import whole_head as whole_head
from tests.fakes.word_model import chat_position as chat_position

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Quirks:
    """How a server differs from OpenAI on the wire."""

    echo: bool = True
    chat_logprobs: bool = False
    """{content: […]}, generated tokens only, and none for logprobs 0."""
    offsets: str = "prompt"
    """text_offset counts from `prompt`, from `zero`, or is `minus_one`."""
    usage_in_stream: str = "last"
    """`last`: an extra chunk when asked; `always`: also unasked; `finish`: on the finish chunk of
    each index."""
    usage_first_choice_only: bool = False
    null_usage: bool = False
    """"usage": null on every other chunk."""
    finish_apart: bool = False
    """An extra chunk with empty text carries the finish_reason."""
    null_events: bool = False
    """`data: null` between events when there are several prompts."""
    errors: str = "openai"
    """`openai` | `int_code` | `flat` | `no_param`"""
    suffix: bool = False
    """Fills in the middle; else a suffix is a 400."""
    end_scored: bool = False
    """Logprobs have an entry for the token that ended the text."""
    bias_refused: bool = True
    """A bias on an id that is none is a 400; else it is without effect."""
    token_ids: bool = False
    """Tells ids where return_token_ids asks for them."""
    default_temperature: float = 1.0
    default_max_tokens: int = 16
    cached_tokens: bool = False
    rules: Rules = dataclasses.field(default_factory=Rules)


DIALECTS = {
    "openai": Quirks(suffix=True, finish_apart=True, null_usage=True, cached_tokens=True),
    "vllm": Quirks(
        errors="int_code", offsets="zero", token_ids=True, end_scored=True, rules=VllmRules()
    ),
    "sglang": Quirks(
        errors="flat",
        offsets="minus_one",
        null_usage=True,
        end_scored=True,
        rules=SglangRules(),
    ),
    "llama-server": Quirks(
        echo=False,
        chat_logprobs=True,
        usage_in_stream="finish",
        usage_first_choice_only=True,
        finish_apart=True,
        null_events=True,
        errors="no_param",
        bias_refused=False,
        default_temperature=0.8,
        default_max_tokens=2048,
        cached_tokens=True,
    ),
    "deepseek": Quirks(suffix=True),
    "azure": Quirks(suffix=True, finish_apart=True, null_usage=True),
    "baton": Quirks(suffix=True, null_usage=True, cached_tokens=True, end_scored=True),
    "together": Quirks(usage_in_stream="always", echo=False),
    "fireworks": Quirks(usage_in_stream="always"),
}


@dataclasses.dataclass
class Choice:
    index: int
    prompt: list[int]
    generated: word_model.Generated
    echoed: list[word_model.Position] | None


class FakeCompletions(WireServer):
    """`seen` are the decoded bodies of completions, `faults` what is to go wrong."""

    def __init__(
        self,
        dialect: str = "openai",
        *,
        key: str = "",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(self._respond, tls=tls, port=port)
        self.dialect, self.quirks = dialect, DIALECTS[dialect]
        self.seen: list[Json] = []
        self.heads: list[Mapping[str, str]] = []
        """The headers of each of them, by names in lower case."""
        self.faults: list[Fault] = []
        self.scripted: list[word_model.Generated] = []
        self.seed_step = 1000
        """Between two seeds; 1, as servers have it: sample i of seed s is sample 0 of s + i."""
        self.seeded = True
        """Whether seeds and samples mean anything; else the same tokens go on in the same way."""
        self._key = key
        self._serial = 0

    def fault(self, **fields: Any) -> None:
        self.faults.append(Fault(**fields))

    def script(self, *answers: word_model.Generated) -> None:
        """The next choices, one each, whatever is asked."""
        self.scripted += answers

    async def _respond(self, exchange: Exchange) -> None:
        request = exchange.request
        path = request.path.partition("?")[0]
        if path == "/seen":
            await exchange.send(whole(json.dumps(self.seen).encode()))
        elif path == "/fault":
            self.faults.append(msgspec.json.decode(request.body, type=Fault))
            await exchange.send(whole(b"{}"))
        elif path.endswith("/completions"):
            await self._complete(exchange)
        elif path.endswith("/models"):
            await exchange.send(json_answer({"object": "list", "data": [{"id": "fake"}]}))
        else:
            await exchange.send(json_answer({"detail": "Not Found"}, "404 Not Found"))

    async def _complete(self, exchange: Exchange) -> None:
        fault = self._next_fault()
        body = json.loads(exchange.request.body)
        self.seen.append(body)
        self.heads.append(exchange.request.headers)
        self.changed()
        await asyncio.sleep(fault.delay_s)
        if fault.status:
            status = f"{fault.status} Faulty"
            headers = fault.headers or ["Content-Type: application/json"]
            await exchange.send(whole(fault.body.encode(), *headers, status=status))
            return
        try:
            self._authorize(exchange)
            choices = self._choices(body)
        except Refused as refused:
            late = refused.late and self.quirks.rules.late and body.get("stream")
            await exchange.send((self._broken if late else self._refusal)(refused))
            return
        self._serial += 1
        if body.get("stream"):
            await self._stream(exchange, body, choices, fault)
        else:
            answer = self._whole(body, choices, fault)
            await send_faulty(exchange, whole_head(answer), [answer], fault)

    def _next_fault(self) -> Fault:
        if not self.faults:
            return Fault()
        fault = self.faults[0]
        fault.times -= 1
        if fault.times <= 0:
            self.faults.pop(0)
        return fault

    def _authorize(self, exchange: Exchange) -> None:
        headers = exchange.request.headers
        given = headers.get("authorization", "")
        if self.dialect == "azure" and "api-key" in headers:
            given = f"Bearer {headers['api-key']}"
        if self._key and given != f"Bearer {self._key}":
            raise Refused(401, f"Incorrect API key provided: {given}", "invalid_api_key")

    def _refusal(self, refused: Refused) -> bytes:
        body = error_body(self.quirks.errors, refused)
        return json_answer(body, f"{refused.status} Refused")

    def _broken(self, refused: Refused) -> bytes:
        """A stream that was opened before the engine refused."""
        said = json.dumps(error_body(self.quirks.errors, refused)).encode()
        frames = b"data: " + said + b"\n\ndata: [DONE]\n\n"
        return whole(frames, "Content-Type: text/event-stream")

    # what is answered

    def _choices(self, body: Json) -> list[Choice]:
        rules = self.quirks.rules
        rules.check(body)
        prompts = body["prompt"]
        if isinstance(prompts, str) or (prompts and isinstance(prompts[0], int)):
            prompts = [prompts]
        max_tokens = body.get("max_tokens", self.quirks.default_max_tokens)
        n = body.get("n", 1)
        temperature = body.get("temperature", self.quirks.default_temperature)
        echo, asked = body.get("echo") and self.quirks.echo, body.get("logprobs")
        stops = body.get("stop") or ()
        stops = (stops,) if isinstance(stops, str) else tuple(stops)
        knobs = knobs_of(body, bias_refused=self.quirks.bias_refused)
        found = []
        for number, prompt in enumerate(prompts):
            tokens = word_model.encode(prompt) if isinstance(prompt, str) else prompt
            known_ids(tokens, self.quirks.errors)
            tokens = around(tokens, body.get("suffix"), taken=self.quirks.suffix)
            room = rules.fitted(self.quirks.errors, len(tokens), max_tokens)
            for sample in range(n):
                seed = (rules.seed(body) * self.seed_step + sample) * self.seeded
                sampling = word_model.Sampling(room, temperature, seed, stops, asked or 0, *knobs)
                generated = self._generated(word_model.decode(tokens), sampling)
                generated.counted = generated.counted or rules.zero_counted
                if generated.end and asked is not None and self.quirks.end_scored:
                    generated.positions.append(generated.end)
                    generated.pieces.append("")
                echoed = rules.scored(tokens, asked or 0) if echo else None
                found.append(Choice(number * n + sample, tokens, generated, echoed))
        return found

    def _generated(self, prompt: str, sampling: word_model.Sampling) -> word_model.Generated:
        if self.scripted:
            return self.scripted.pop(0)
        return word_model.generate(prompt, sampling)

    def _usage(self, choices: list[Choice], n: int) -> Json:
        prompt = sum(len(choice.prompt) for choice in choices if not n or choice.index % n == 0)
        completion = sum(choice.generated.counted for choice in choices)
        found: Json = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }
        if self.quirks.cached_tokens:
            found["prompt_tokens_details"] = {"cached_tokens": prompt // 2}
        return found

    def _frame(self, choices: list[Json], **more: Any) -> bytes:
        frame = {
            "id": f"cmpl-fake-{self._serial}",
            "object": "text_completion",
            "created": 1_700_000_000,
            "model": "/models/fake.gguf" if self.quirks.errors == "no_param" else "fake",
            "choices": choices,
            **more,
        }
        return json.dumps(frame, ensure_ascii=self._serial % 2 == 0).encode()

    def _whole(self, body: Json, choices: list[Choice], fault: Fault) -> bytes:
        shown = []
        for choice in choices:
            text = "".join(choice.generated.pieces)
            positions = choice.generated.positions
            if choice.echoed is not None:
                text = self.quirks.rules.echo(body, choice.prompt) + text
                positions = choice.echoed + positions
            start = 0 if choice.echoed is not None else len(word_model.decode(choice.prompt))
            shown.append(
                {
                    "index": choice.index,
                    "text": text,
                    "finish_reason": choice.generated.finish_reason,
                    "logprobs": self._logprobs(body, positions, start),
                    **self._ids(body, choice.generated),
                }
            )
        counted = choices[:1] if self.quirks.usage_first_choice_only else choices
        usage = fault.usage if fault.usage is not None else self._usage(counted, body.get("n", 1))
        return self._frame(shown, usage=usage)

    def _ids(self, body: Json, generated: word_model.Generated, at: int | None = None) -> Json:
        """All ids, or those of piece `at`. What ended a text comes with the last one, unseen."""
        if not (self.quirks.token_ids and body.get("return_token_ids")):
            return {}
        ids = [position.token for position in generated.positions]
        unseen = [word_model.EOS] * (generated.counted - len(ids))
        if at is None:
            return {"token_ids": ids + unseen}
        return {"token_ids": ids[at : at + 1] + (unseen if at >= len(ids) - 1 else [])}

    def _logprobs(
        self, body: Json, positions: list[word_model.Position], start: int
    ) -> Json | None:
        asked = body.get("logprobs")
        if asked is None or (self.quirks.chat_logprobs and not asked):
            return None
        if self.quirks.chat_logprobs:
            return {"content": [chat_position(position) for position in positions]}
        texts = [self.quirks.rules.named(body, position.token) for position in positions]
        start = 0 if self.quirks.offsets == "zero" else start
        offsets = [start + sum(map(len, texts[:number])) for number in range(len(texts))]
        return {
            "tokens": texts,
            "token_logprobs": [position.logprob for position in positions],
            "top_logprobs": [position.top or None for position in positions],
            "text_offset": [-1] * len(texts) if self.quirks.offsets == "minus_one" else offsets,
        }

    # streams

    async def _stream(
        self, exchange: Exchange, body: Json, choices: list[Choice], fault: Fault
    ) -> None:
        head = chunked_head("Content-Type: text/event-stream", "Cache-Control: no-cache")
        events = [
            *self._events(body, choices, fault),
            b"[DONE]",
        ]
        if fault.insert_after_event >= 0:
            events.insert(fault.insert_after_event, fault.insert.encode())
        frames = [b"data: " + event + b"\n\n" for event in events]
        await send_faulty(exchange, head, frames, fault)

    def _events(self, body: Json, choices: list[Choice], fault: Fault) -> Iterator[bytes]:
        options = body.get("stream_options") or {}
        n = body.get("n", 1)
        nothing = {"usage": None} if self.quirks.null_usage else {}
        lists = [list(self._chunks(body, choice)) for choice in choices]
        for row in range(max(map(len, lists), default=0)):
            for choice, chunks in zip(choices, lists, strict=True):
                if row >= len(chunks):
                    continue
                more: Json = dict(nothing)
                last = row == len(chunks) - 1
                if last and self.quirks.usage_in_stream == "finish":
                    right = self._usage([choice], 0)
                    more = {"usage": right if fault.usage is None else fault.usage}
                yield self._frame([chunks[row]], **more)
                if self.quirks.null_events and len(choices) > n:
                    yield b"null"
        asked = options.get("include_usage") and self.quirks.usage_in_stream == "last"
        if asked or self.quirks.usage_in_stream == "always":
            usage = fault.usage if fault.usage is not None else self._usage(choices, n)
            yield self._frame([], usage=usage)

    def _chunks(self, body: Json, choice: Choice) -> Iterator[Json]:
        """A choice's share of every chunk, the prompt first where it is echoed."""
        generated, rules = choice.generated, self.quirks.rules
        start, lead, before = len(word_model.decode(choice.prompt)), "", choice.echoed or []
        if choice.echoed is not None:
            lead = rules.echo(body, choice.prompt)
        if choice.echoed is not None and not rules.joined:
            yield self._piece(choice, lead, self._logprobs(body, before, 0))
            lead, before = "", []
        for number, text in enumerate(generated.pieces):
            positions = before + generated.positions[number : number + 1]
            shown = self._piece(choice, lead + text, self._logprobs(body, positions, start))
            lead, before = "", []
            start += len(text)
            if number == len(generated.pieces) - 1 and not self.quirks.finish_apart:
                shown["finish_reason"] = generated.finish_reason
            yield {**shown, **self._ids(body, generated, number)}
        if self.quirks.finish_apart or not generated.pieces:
            logprobs = self._logprobs(body, before, 0) if before else None
            shown = self._piece(choice, lead, logprobs)
            ids = {} if generated.pieces else self._ids(body, generated, 0)
            yield {**shown, "finish_reason": generated.finish_reason, **ids}

    def _piece(self, choice: Choice, text: str, logprobs: Json | None) -> Json:
        return {"index": choice.index, "text": text, "logprobs": logprobs, "finish_reason": None}


async def serve(port: int, dialect: str, key: str) -> None:
    async with FakeCompletions(dialect, key=key, port=port) as fake:
        print(fake.url, flush=True)
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--dialect", choices=sorted(DIALECTS), default="openai")
    parser.add_argument("--key", default="")
    given = parser.parse_args()
    asyncio.run(serve(given.port, given.dialect, given.key))
