"""Servers with a wire of their own that give one choice a call: Mistral, and /infill.

Their text is the same `word_model`'s; requests are turned into the fields of completions, and what
comes out into the server's real frames.
"""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from tests.fakes import word_model
from tests.fakes.fake_completions import (
    Choice,
    FakeCompletions,
    Json,
    chat_position,
    json_answer,
    whole_head,
)
from tests.fakes.faults import Fault, send_faulty
from tests.fakes.refused import Refused
from tests.fakes.wire import Exchange, chunked_head, whole

SAMPLED = ("top_p", "presence_penalty", "frequency_penalty", "logit_bias")


class OneChoiceServer(FakeCompletions):
    """What such servers share. A subclass tells its route, its fields and its frames."""

    route = ""
    name = ""
    quirks_of = "openai"
    stream_type = "text/event-stream"
    frame_head, frame_end = b"data: ", b"\n\n"

    def __init__(self, **options: Any) -> None:
        super().__init__(self.quirks_of, **options)
        self.dialect = self.name or self.quirks_of

    async def _respond(self, exchange: Exchange) -> None:
        if exchange.request.path.partition("?")[0].endswith(self.route):
            await self._generate(exchange)
        else:
            await super()._respond(exchange)

    async def _generate(self, exchange: Exchange) -> None:
        fault = self._next_fault()
        body = json.loads(exchange.request.body)
        self.seen.append(body)
        self.changed()
        await asyncio.sleep(fault.delay_s)
        if fault.status:
            await exchange.send(
                whole(
                    fault.body.encode(),
                    *(fault.headers or ["Content-Type: application/json"]),
                    status=f"{fault.status} Faulty",
                )
            )
            return
        try:
            self._authorize(exchange)
            [choice] = self._choices(self.completion(body))
        except Refused as refused:
            await exchange.send(self.refusal(refused))
            return
        self._serial += 1
        if body.get("stream", self.streams_by_default):
            await self._stream_one(exchange, self.events(body, choice, fault), fault)
        else:
            answer = json.dumps(self.whole_answer(body, choice, fault)).encode()
            await send_faulty(exchange, whole_head(answer), [answer], fault)

    streams_by_default = False

    async def _stream_one(self, exchange: Exchange, events: list[bytes], fault: Fault) -> None:
        if fault.insert_after_event >= 0:
            events.insert(fault.insert_after_event, fault.insert.encode())
        head = chunked_head(f"Content-Type: {self.stream_type}")
        frames = [self.frame_head + event + self.frame_end for event in events]
        await send_faulty(exchange, head, frames, fault)

    def completion(self, body: Json) -> Json:
        """The request as the fields of /v1/completions."""
        raise NotImplementedError

    def whole_answer(self, body: Json, choice: Choice, fault: Fault) -> Json:
        raise NotImplementedError

    def events(self, body: Json, choice: Choice, fault: Fault) -> list[bytes]:
        raise NotImplementedError

    def refusal(self, refused: Refused) -> bytes:
        return self._refusal(refused)


class FakeMistral(OneChoiceServer):
    """/v1/fim/completions; the answer in the chat shape."""

    route, name = "/fim/completions", "mistral"

    def completion(self, body: Json) -> Json:
        known = {"model", "prompt", "suffix", "max_tokens", "temperature", "top_p", "stop"}
        unknown = body.keys() - known - {"random_seed", "stream", "min_tokens", "metadata"}
        if unknown:
            raise Refused(422, f"Extra inputs are not permitted: {sorted(unknown)}")
        if body.get("random_seed", 0) < 0:
            raise Refused(422, "Input should be greater than or equal to 0", param="random_seed")
        prompt, suffix = body["prompt"], body.get("suffix")
        return {
            "prompt": f"[SUFFIX]{suffix}[PREFIX]{prompt}" if suffix else prompt,
            "max_tokens": body.get("max_tokens", 128),
            "temperature": body.get("temperature", 0.7),
            "seed": body.get("random_seed", 0),
            "top_p": body.get("top_p"),
            "stop": body.get("stop"),
        }

    def _envelope(self, kind: str, choice: Json, **more: Any) -> Json:
        head = {"id": f"fim-{self._serial}", "object": kind, "created": 1_700_000_000}
        return {**head, "model": "codestral-fake", "choices": [{"index": 0, **choice}], **more}

    def whole_answer(self, body: Json, choice: Choice, fault: Fault) -> Json:
        text = "".join(choice.generated.pieces)
        said = {"role": "assistant", "tool_calls": None, "content": text}
        shown = {"message": said, "finish_reason": choice.generated.finish_reason}
        usage = fault.usage or self._usage([choice], 0)
        return self._envelope("chat.completion", shown, usage=usage)

    def events(self, body: Json, choice: Choice, fault: Fault) -> list[bytes]:
        kind = "chat.completion.chunk"
        nothing: Json = {"finish_reason": None}
        chunks = [self._envelope(kind, {"delta": {"role": "assistant", "content": ""}, **nothing})]
        for piece in choice.generated.pieces:
            chunks.append(self._envelope(kind, {"delta": {"content": piece}, **nothing}))
        last = {"delta": {"content": ""}, "finish_reason": choice.generated.finish_reason}
        usage = fault.usage or self._usage([choice], 0)
        chunks.append(self._envelope(kind, last, usage=usage))
        return [*(json.dumps(chunk).encode() for chunk in chunks), b"[DONE]"]

    def refusal(self, refused: Refused) -> bytes:
        if refused.status == 422:
            place = ["body", refused.param or "prompt"]
            detail = [{"type": "value_error", "loc": place, "msg": refused.message}]
            return json_answer({"detail": detail}, "422 Refused")
        inner = {"message": refused.message, "type": "invalid_request_error", "param": None}
        return json_answer({"object": "error", **inner, "code": None}, f"{refused.status} Refused")


class FakeLlamaServer(OneChoiceServer):
    """llama.cpp's server: /v1/completions as ever, and /infill in its own shape."""

    route, name, quirks_of = "/infill", "llama-server", "llama-server"

    def __init__(
        self, *, fim: bool = True, cuts: bool = False, models: Sequence[str] = (), **options: Any
    ) -> None:
        """`fim`: the model has the tokens. `cuts`: the batch is too small for what is sent.
        `models`: it is a router, which has these."""
        super().__init__(**options)
        self._fim, self._cuts, self._models = fim, cuts, models

    async def _respond(self, exchange: Exchange) -> None:
        request = exchange.request
        body = json.loads(request.body) if self._models and request.body else None
        refused = None if body is None else self._not_routed(body)
        if refused is not None:
            await exchange.send(self._refusal(refused))
        elif request.path.endswith("/detokenize"):
            tokens = json.loads(request.body)["tokens"]
            await exchange.send(json_answer({"content": word_model.decode(tokens)}))
        else:
            await super()._respond(exchange)

    def _not_routed(self, body: Json) -> Refused | None:
        """What a router says that has no such model."""
        if not body.get("model"):
            return Refused(400, "model name is missing from the request")
        known = body["model"] in self._models
        return None if known else Refused(400, f"model '{body['model']}' not found")

    def completion(self, body: Json) -> Json:
        if not self._fim:
            raise Refused(501, "Infill is not supported by this model: prefix token is missing. ")
        return {
            **{name: body[name] for name in SAMPLED if name in body},
            "prompt": self._prompt(body),
            "max_tokens": body.get("n_predict", -1),
            "temperature": body.get("temperature", 0.8),
            "seed": body.get("seed", 0),
            "stop": body.get("stop"),
            "logprobs": body.get("n_probs"),
        }

    def _prompt(self, body: Json) -> str:
        prefix = body["input_prefix"] + body.get("prompt", "")
        suffix = body["input_suffix"]
        if self._cuts:
            prefix, suffix = prefix[-3:], suffix[:1]
        return f"<|fim_prefix|>{prefix}<|fim_suffix|>{suffix}<|fim_middle|>"

    def _piece_of(self, content: str, sent: int, choice: Choice, **more: Any) -> Json:
        shown = {"index": 0, "content": content, "tokens": [], "stop": False, "id_slot": -1}
        counts = {"tokens_predicted": sent, "tokens_evaluated": len(choice.prompt)}
        return {**shown, **counts, **more}

    def _end(self, body: Json, choice: Choice, fault: Fault) -> Json:
        generated = choice.generated
        stopped = "word" if body.get("stop") else "eos"
        return {
            "stop": True,
            "model": "/models/fake.gguf",
            "generation_settings": {"n_predict": body.get("n_predict", -1)},
            "prompt": self._prompt(body),
            "truncated": False,
            "stop_type": "limit" if generated.finish_reason == "length" else stopped,
            "stopping_word": "",
            "tokens_cached": len(choice.prompt),
            "timings": {"cache_n": len(choice.prompt) // 2, "prompt_n": 1, "prompt_ms": 1.0},
            **(fault.usage or {}),
        }

    def _probabilities(self, body: Json, positions: list[word_model.Position]) -> Json:
        if not body.get("n_probs"):
            return {}
        return {"completion_probabilities": [chat_position(position) for position in positions]}

    def whole_answer(self, body: Json, choice: Choice, fault: Fault) -> Json:
        generated = choice.generated
        scored = self._probabilities(body, generated.positions)
        end = self._end(body, choice, fault)
        text = "".join(generated.pieces)
        return self._piece_of(text, generated.counted, choice, **{**scored, **end})

    def events(self, body: Json, choice: Choice, fault: Fault) -> list[bytes]:
        generated = choice.generated
        shown = [
            self._piece_of(
                piece,
                number + 1,
                choice,
                **self._probabilities(body, generated.positions[number : number + 1]),
            )
            for number, piece in enumerate(generated.pieces)
        ]
        end = self._end(body, choice, fault)
        shown.append(self._piece_of("", generated.counted, choice, **end))
        return [json.dumps(each).encode() for each in shown]
