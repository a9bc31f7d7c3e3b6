"""Dialect `ollama`: Ollama's own /api/generate, which continues a text as it stands.

Its /v1/completions puts every prompt into the model's chat template, takes one prompt, swallows
echo and reports zero usage; `raw: true` here avoids all that. What has to be known:

- `raw` leaves a suffix out without a word, so a call with a suffix goes without `raw`: the model's
  template then places both (a model whose template cannot is refused by Ollama with a 400).
- A prompt beyond its window is cut silently, and a full window is shifted, unless both are
  forbidden; an older server that does not know these fields still cuts.
- An empty prompt only loads the model.
- What a request leaves out is a Modelfile's to say: stops, penalties and a seed are always told.
  Penalties are read by one of its engines and swallowed by the other: never any but none.
- Text between a model's marks of thinking goes elsewhere, also of a raw prompt, unless forbidden.
- Of stops that are complete with one token it cuts at the one listed first; its own engine looks
  for none in the last token that it may generate, and MLX's runner for none at all.
- At the 32nd piece in a row that is the same it ends an answer without its last line
  (docs/decisions/0050).
- Older ones leave out the count of a prompt that was cached: then it is an estimate, marked so.
- Logprobs came late (0.12.11): an answer without those that were asked for is refused.
"""

import re
from collections import deque
from collections.abc import Sequence

import msgspec

from baton.errors import Unheeded, unsupported
from baton.semantics.events import Call, Event, FinishReason, Usage
from baton.semantics.stop import StopMatcher
from baton.upstreams.base import Capabilities, Decoder, HttpRequest
from baton.upstreams.failures import failure
from baton.upstreams.framing import UNREADABLE
from baton.upstreams.one_choice import OneChoice, Reader, body, counted, lines, reported
from baton.upstreams.refusals import read, refusal

SEED_RANGE = 2**31
"""A seed below zero would mean a random one."""
RANDOM = -1
REPEATS_MAX = 31
"""Ollama ends an answer at the next piece that is these over again, but for the space around it."""
TOP_LOGPROBS_MAX = 20
BYTES_PER_TOKEN = 4
"""For the estimate of a cached prompt: English text under byte-pair encodings."""
FINISH_REASONS: dict[str, FinishReason] = {"stop": "stop", "length": "length"}
"""Others ("load", "unload") mean that nothing was generated."""
OVERFLOW = re.compile(r"exceeds (the |maximum |available )*context (length|size|window)")

_ENCODER = msgspec.json.Encoder()


class _Line(msgspec.Struct):
    """One line of a stream, or the whole answer."""

    response: str = ""
    done: bool = False
    done_reason: str = ""
    prompt_eval_count: object = None
    eval_count: object = None
    logprobs: msgspec.Raw = msgspec.Raw(b"null")
    error: object = None


_LINE = msgspec.json.Decoder(_Line)


class OllamaAdapter:
    """A local Ollama. Instances hold no state."""

    name = "ollama"
    opaque_prompt = False
    path = "/api/generate"
    capabilities = Capabilities(
        logprobs=True,
        logprobs_max=TOP_LOGPROBS_MAX,
        suffix=True,
        stop_max=1024,
        seed=True,
        bounded=True,
        special_text=True,
        stream_usage=True,
        exact_usage=True,
        scored=True,
    )

    def request(self, call: Call) -> HttpRequest:
        """RequestError 400 for an empty prompt, which Ollama would not continue."""
        [prompt] = call.prompts
        assert isinstance(prompt, str), "token prompts are not native here"
        if not prompt:
            raise unsupported("prompt", call.model, "it needs a prompt of at least a character.")
        fields: dict[str, object] = {
            "model": call.model,
            "prompt": prompt,
            "stream": call.stream,
            "truncate": False,
            "shift": False,
            "think": False,
            "options": _options(call),
        }
        if call.suffix is None:
            fields["raw"] = True
        else:
            fields["suffix"] = call.suffix
        if call.logprobs is not None or call.scored:
            fields["logprobs"] = True
            if call.logprobs:
                fields["top_logprobs"] = call.logprobs
        return HttpRequest(path=self.path, body=_ENCODER.encode(fields))

    def decoder(self, call: Call) -> Decoder:
        reader = OllamaReader(call)
        return lines(call, reader) if call.stream else body(call, reader)

    def error(self, status: int, body: bytes, retry_after: str | None) -> Exception:
        return refusal(status, body, retry_after)


def _options(call: Call) -> dict[str, object]:
    """Sampling as OpenAI means it: Ollama's own defaults differ in every field, and a model's own
    (its Modelfile's) hold for whatever is not said here, stops and a seed too."""
    return {
        "num_predict": call.max_tokens,
        "temperature": call.temperature,
        "top_p": call.top_p,
        "top_k": 0,
        "min_p": 0.0,
        "typical_p": 1.0,
        "repeat_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "stop": _stops(call),
        "seed": RANDOM if call.seed is None else call.seed % SEED_RANGE,
    }


def _stops(call: Call) -> list[str]:
    return [stop for stop in call.stop or () if stop]


def _broken(payload: bytes) -> Exception:
    """What an error in place of an answer means, or in the middle of one: it has no code."""
    if OVERFLOW.search(read(payload).message):
        return refusal(400, payload, None)
    return failure("stream", "status", "an error line")


class OllamaReader(Reader):
    """What a line of /api/generate says. With stops, the text is cut by us once more."""

    def __init__(self, call: Call) -> None:
        self._call, self.choice = call, OneChoice(call)
        stops = _stops(call)
        self._matcher = StopMatcher(stops) if stops else None
        self._unwanted = 0
        """Pieces behind a stop: at least a token each."""
        self._pieces: deque[str] = deque(maxlen=REPEATS_MAX)

    def read(self, payload: bytes) -> Sequence[Event]:
        try:
            line = _LINE.decode(payload)
        except UNREADABLE as error:
            raise failure("stream", "protocol", "an answer of another shape") from error
        if line.error is not None:
            raise _broken(payload)
        if line.response:
            self._pieces.append(line.response)
        events = self._said(line.response, self._reason(line), self._logprobs(line))
        return events + reported(self._usage(line)) if line.done else events

    def unfinished(self) -> Sequence[Event]:
        """A stream of one text over and over was ended by Ollama: a limit of its own."""
        if len(self._pieces) < REPEATS_MAX or len({each.strip() for each in self._pieces}) > 1:
            return super().unfinished()
        return self._said("", "length", b"null")

    def _said(self, text: str, reason: FinishReason | None, logprobs: bytes) -> list[Event]:
        matcher = self._matcher
        if matcher is not None:
            if self.choice.finished:
                self._unwanted += bool(text)
                return []
            text = matcher.feed(text)
            if matcher.matched is not None:
                reason = "stop"
            elif reason is not None:
                text += matcher.finish()
        return self.choice.piece(text, reason, logprobs)

    def _reason(self, line: _Line) -> FinishReason | None:
        if not line.done:
            # A whole answer that is not done was ended as a stream is, in `unfinished`.
            return "length" if line.response and not self._call.stream else None
        # Before 0.1.40 a line said only that it was the last.
        reason = FINISH_REASONS.get(line.done_reason or "stop")
        if reason is None:
            raise failure("stream", "status", "the upstream gave up on a choice")
        return reason

    def _logprobs(self, line: _Line) -> bytes:
        """The list in the chat shape, which is what it is but for its envelope."""
        raw = bytes(line.logprobs)
        if not self.choice.wants_logprobs:
            return b"null"
        if raw != b"null":
            return b'{"content":' + raw + b"}"
        if line.response:
            remedy = "this Ollama is too old to tell them (0.12.11 does)."
            raise Unheeded("logprobs", self._call.model, remedy)
        return b"null"

    def _usage(self, line: _Line) -> Usage | None:
        generated, prompt = counted(line.eval_count or 0), counted(line.prompt_eval_count or 0)
        if generated is None or prompt is None:
            return None
        if prompt:
            return self._wanted(Usage(prompt, generated))
        sent = "".join(str(text) for text in (*self._call.prompts, self._call.suffix or ""))
        guess = -(-len(sent.encode()) // BYTES_PER_TOKEN)
        return self._wanted(Usage(guess, generated, estimated=True))

    def _wanted(self, usage: Usage) -> Usage:
        if not self._unwanted:
            return usage
        left = max(0, usage.completion_tokens - self._unwanted)
        return Usage(usage.prompt_tokens, left, estimated=True)
