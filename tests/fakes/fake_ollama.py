"""Ollama's /api/generate, and what its two runners do to a text. As Ollama 0.17.4 answers."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Literal

from tests.fakes import word_model
from tests.fakes.fake_completions import Choice, Json, chat_position, json_answer
from tests.fakes.fake_local import OneChoiceServer
from tests.fakes.faults import Fault
from tests.fakes.refused import CONTEXT_TOKENS, Refused

STAMP = "2026-01-01T00:00:00.000000Z"
REPEATS_MAX = 30
"""Pieces in a row that are the one before them: with one more it ends, and says nothing of it."""
OPENING = "<think>"
WINDOW_TOKENS = CONTEXT_TOKENS - 1
"""Of a prompt; one token more may be generated, since it is never read."""


class FakeOllama(OneChoiceServer):
    """/api/generate. Without `raw`, a prompt is put into a chat template, as with most models."""

    route, name = "/api/generate", "ollama"
    stream_type = "application/x-ndjson"
    frame_head, frame_end = b"", b"\n"
    streams_by_default = True

    def __init__(
        self,
        *,
        insert: bool = True,
        old: bool = False,
        cached: bool = False,
        thinks: bool = False,
        runner: Literal["llama.cpp", "own", "mlx"] = "llama.cpp",
        parameters: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        """`insert`: the model's template has a place for a suffix. `old`: before logprobs and
        truncate. `cached`: prompts are counted as absent. `thinks`: the template has a place for
        thoughts. `runner`: its own looks for no stop in the last token, MLX's for none.
        `parameters`: the Modelfile's, which hold where a request says nothing."""
        super().__init__(**options)
        self._insert, self._old, self._cached = insert, old, cached
        self._thinks, self._runner = thinks, runner
        self._parameters = parameters or {}

    def completion(self, body: Json) -> Json:
        options = {**self._parameters, **body.get("options", {})}
        prompt = self._placed(body)
        tokens = word_model.encode(prompt)
        if len(tokens) > WINDOW_TOKENS:
            if not body.get("truncate", True) and not self._old:
                raise Refused(400, "the input length exceeds the context length")
            tokens = tokens[-CONTEXT_TOKENS // 2 :]
        return {
            "prompt": word_model.decode(tokens),
            "max_tokens": min(options.get("num_predict", 128), WINDOW_TOKENS + 1 - len(tokens)),
            "temperature": options.get("temperature", 0.8),
            "seed": max(0, options.get("seed", -1)),
            "top_p": options.get("top_p"),
            "presence_penalty": options.get("presence_penalty"),
            "frequency_penalty": options.get("frequency_penalty"),
            "stop": options.get("stop") if self._runner != "mlx" else None,
            "logprobs": None if self._old else body.get("top_logprobs", 0),
        }

    def _placed(self, body: Json) -> str:
        """What the model continues."""
        prompt = str(body.get("prompt", ""))
        if body.get("suffix"):
            if not self._insert:
                name = f"registry.ollama.ai/library/{body['model']}:latest"
                raise Refused(400, f"{name} does not support insert")
            if not body.get("raw"):
                return f"<PRE> {prompt} <SUF>{body['suffix']} <MID>"
        return prompt if body.get("raw") else f"<|user|>{prompt}<|assistant|>"

    def _generated(self, prompt: str, sampling: word_model.Sampling) -> word_model.Generated:
        """Ends at the first stop that the request lists of those that are there after a token."""
        if self.scripted:
            return self.scripted.pop(0)
        found = word_model.generate(prompt, dataclasses.replace(sampling, stop=()))
        for count in range(1, len(found.pieces) + 1):
            if self._runner == "own" and count == sampling.max_tokens:
                break
            text = "".join(found.pieces[:count])
            stops = [stop for stop in sampling.stop if stop in text]
            if stops:
                found.counted, found.end = count, None
                word_model.cut(found, text.index(stops[0]))
                break
        return found

    def _line(self, response: str, **more: Any) -> Json:
        line = {"model": "fake", "created_at": STAMP, "response": response, "done": False}
        return {**line, **more}

    def _end(self, choice: Choice, fault: Fault) -> Json:
        counts: Json = {"prompt_eval_count": len(choice.prompt)}
        if self._cached:
            counts = {}
        counts["eval_count"] = choice.generated.counted
        return {
            "done": True,
            "done_reason": choice.generated.finish_reason,
            "total_duration": 5000,
            **counts,
            **(fault.usage or {}),
        }

    def _logprobs_of(self, body: Json, positions: list[word_model.Position]) -> Json:
        if self._old or not body.get("logprobs"):
            return {}
        shown = [chat_position(position) for position in positions]
        for each in shown:
            del each["id"]
            if not body.get("top_logprobs"):
                del each["top_logprobs"]
        return {"logprobs": shown}

    def _parted(self, body: Json, piece: str, choice: Choice) -> Json:
        """Text and thoughts: where the text begins with the tag, and thinking is not forbidden."""
        text = "".join(choice.generated.pieces).lstrip()
        if self._thinks and body.get("think", True) and text.startswith(OPENING):
            return {"response": "", "thinking": piece.replace(OPENING, "")}
        return {"response": piece}

    def whole_answer(self, body: Json, choice: Choice, fault: Fault) -> Json:
        pieces = choice.generated.pieces
        sent = _until_looped(pieces)
        scored = self._logprobs_of(body, choice.generated.positions[:sent])
        text = self._parted(body, "".join(pieces[:sent]), choice)
        end = self._end(choice, fault) if sent == len(pieces) else {}
        return self._line(**text, **end, **scored)

    def events(self, body: Json, choice: Choice, fault: Fault) -> list[bytes]:
        generated = choice.generated
        sent = _until_looped(generated.pieces)
        lines = []
        for number, piece in enumerate(generated.pieces[:sent]):
            scored = self._logprobs_of(body, generated.positions[number : number + 1])
            lines.append(self._line(**self._parted(body, piece, choice), **scored))
        if sent == len(generated.pieces):
            lines.append(self._line("", **self._end(choice, fault)))
        return [json.dumps(line).encode() for line in lines]

    def refusal(self, refused: Refused) -> bytes:
        return json_answer({"error": refused.message}, f"{refused.status} Refused")


def _until_looped(pieces: list[str]) -> int:
    """How many pieces it sends before it takes the model for caught in a loop."""
    last, repeats = "", 0
    for number, piece in enumerate(pieces):
        repeats = repeats + 1 if piece.strip() == last else 0
        last = piece.strip()
        if repeats > REPEATS_MAX:
            return number
    return len(pieces)
