"""POST /infill: llama.cpp's fill in the middle, which llama.vim and llama.vscode post to.

`input_prefix` with `prompt` after it is what stands before the hole, `input_suffix` what stands
behind it. `input_extra` are other pieces of text, the newest last: they are put in front, each
under its file's name, as many of the newest as EXTRA_BYTES_MAX holds (they are a help, and nobody
here knows how much room the model has); one that is left out is told as ignored.

The answer has llama.cpp's fields. `response_fields` picks some by their path, as there: a picked
"timings/prompt_n" is a field of that name. Sampling that is left out has llama.cpp's defaults. A
stream ends without [DONE], after the event that says `"stop": true`. `n_predict` below zero (or
absent) means TOKENS_DEFAULT, and 0 computes nothing: these editors warm a cache with it.
"""

from collections.abc import Mapping, Sequence

import msgspec

from baton.doors.door import TOKENS_DEFAULT, Facts, Given, completion_body
from baton.errors import RequestError, too_many
from baton.protocol import Choice, CompletionUsage
from baton.semantics.events import Delta
from baton.semantics.sse import encode_event

AT_ONCE_S = 0.001
"""Between the first text and the last of an answer that came in one piece."""
EXTRA_BYTES_MAX = 8 * 1024
RESPONSE_FIELDS_MAX = 64
TEMPERATURE_DEFAULT = 0.8
TOP_P_DEFAULT = 0.95
NAMES = {
    "model": "model",
    "temperature": "temperature",
    "top_p": "top_p",
    "stop": "stop",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}
THEIRS = {
    "max_tokens": "n_predict",
    "n": "n_cmpl",
    "prompt": "input_prefix",
    "suffix": "input_suffix",
}

_ENCODER = msgspec.json.Encoder()
Fields = dict[str, object]


class InfillExtra(msgspec.Struct, frozen=True):
    """A piece of another text."""

    text: str
    filename: str = ""


class InfillRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body of POST /infill, as it is documented."""

    input_prefix: str
    input_suffix: str
    prompt: str | None = None
    input_extra: list[InfillExtra] | None = None
    model: str | None = None
    n_predict: int | None = None
    n_cmpl: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    response_fields: list[str] | None = None
    stream: bool | None = None


class InfillTimings(msgspec.Struct):
    """As Baton saw them: waiting for an upstream counts as reading the prompt.

    What came at once took no time to predict, and has no rate: nobody saw it."""

    prompt_n: int
    prompt_ms: float
    prompt_per_token_ms: float
    prompt_per_second: float
    predicted_n: int
    predicted_ms: float
    predicted_per_token_ms: float
    predicted_per_second: float
    cache_n: int


class InfillAnswer(msgspec.Struct):
    """A whole answer, and the last event of a stream."""

    index: int
    content: str
    model: str
    tokens_predicted: int
    tokens_evaluated: int
    stop_type: str
    tokens_cached: int
    timings: InfillTimings
    stop: bool = True
    truncated: bool = False
    id_slot: int = -1


class InfillDoor:
    """One request of this shape."""

    def __init__(self, body: bytes) -> None:
        given = Given(body)
        prefix, suffix = given.text("input_prefix"), given.text("input_suffix")
        middle = given.take("prompt", str, "a string") or ""
        extra = given.take("input_extra", list[InfillExtra], "an array of objects with a text")
        context, left_out = before(extra or ())
        self._stream = given.take("stream", bool, "a boolean") or False
        fields: Fields = {
            "prompt": context + prefix + middle,
            "suffix": suffix,
            "max_tokens": _limit(given.take("n_predict", int, "an integer")),
            "temperature": TEMPERATURE_DEFAULT,
            "top_p": TOP_P_DEFAULT,
            "n": given.take("n_cmpl", int, "an integer"),
            "seed": _seed(given.take("seed", int, "an integer")),
            **given.passed(NAMES),
        }
        self.picked = given.take("response_fields", list[str], "an array of strings") or []
        if len(self.picked) > RESPONSE_FIELDS_MAX:
            raise too_many("response_fields", RESPONSE_FIELDS_MAX, len(self.picked))
        self.body = completion_body(fields, stream=self._stream)
        self.ignored = given.ignored
        if left_out:
            self.ignored = tuple(sorted((*self.ignored, "input_extra")))

    def theirs(self, param: str | None) -> str | None:
        return THEIRS.get(param, param) if param is not None else None

    def whole(self, facts: Facts, choices: Sequence[Choice], usage: CompletionUsage) -> bytes:
        answers = [
            self._shown(answer(facts, usage, choice.index, choice.text, choice.finish_reason))
            for choice in choices
        ]
        return _ENCODER.encode(answers[0] if len(answers) == 1 else answers)

    def encoder(self, facts: Facts) -> "InfillEncoder":
        return InfillEncoder(facts)

    def _shown(self, found: InfillAnswer) -> object:
        return picked(found, self.picked) if self.picked else found


class InfillEncoder:
    """The events of a stream; the last one tells why it ended, and the counts."""

    done = b""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._pieces = 0
        self._reasons: dict[int, str | None] = {}

    def delta(self, delta: Delta, usage: CompletionUsage | None = None) -> bytes:
        self._pieces += 1
        self._reasons[delta.index] = delta.finish_reason
        piece = {
            "index": delta.index,
            "content": delta.text,
            "tokens": delta.token_ids or [],
            "stop": False,
            "id_slot": -1,
            "tokens_predicted": self._pieces,
        }
        return encode_event(_ENCODER.encode(piece))

    def usage(self, usage: CompletionUsage) -> bytes:
        lasts = [
            _ENCODER.encode(answer(self._facts, usage, index, "", reason))
            for index, reason in sorted(self._reasons.items())
        ]
        return b"".join(map(encode_event, lasts))

    def error(self, error: RequestError) -> bytes:
        return encode_event(error.body())


def before(extra: Sequence[InfillExtra]) -> tuple[str, bool]:
    """What stands in front of the prefix, and whether a piece had to be left out."""
    kept: list[str] = []
    room = EXTRA_BYTES_MAX
    for piece in reversed(extra):
        text = f"{piece.filename or 'snippet'}\n{piece.text}\n\n"
        room -= len(text.encode())
        if room < 0:
            return "".join(reversed(kept)), True
        kept.append(text)
    return "".join(reversed(kept)), False


def answer(
    facts: Facts, usage: CompletionUsage, index: int, text: str, reason: str | None
) -> InfillAnswer:
    """One choice as llama.cpp tells it; counts are of the whole request."""
    prompt, predicted = usage.prompt_tokens, usage.completion_tokens
    cached = usage.prompt_tokens_details.cached_tokens
    prompt_s, predicted_s = facts.spent_s()
    predicted_s = predicted_s if predicted_s >= AT_ONCE_S else 0.0
    return InfillAnswer(
        index=index,
        content=text,
        model=facts.model,
        tokens_predicted=predicted,
        tokens_evaluated=prompt,
        stop_type="limit" if reason == "length" else "eos",
        tokens_cached=prompt + predicted,
        timings=InfillTimings(
            prompt - cached,
            *_rates(prompt - cached, prompt_s),
            predicted,
            *_rates(predicted, predicted_s),
            cached,
        ),
    )


def picked(found: InfillAnswer, paths: Sequence[str]) -> Mapping[str, object]:
    """The values at these paths, under their paths; one that leads nowhere is left out."""
    whole = msgspec.to_builtins(found)
    values: dict[str, object] = {}
    for path in paths:
        at: object = whole
        for name in path.split("/"):
            at = at.get(name) if isinstance(at, Mapping) else None
        if at is not None:
            values[path] = at
    return values


def _rates(count: int, spent_s: float) -> tuple[float, float, float]:
    """Milliseconds in all and of each token, tokens a second."""
    each = spent_s * 1e3 / count if count else 0.0
    return spent_s * 1e3, each, count / spent_s if spent_s > 0 else 0.0


def _limit(n_predict: int | None) -> int:
    return TOKENS_DEFAULT if n_predict is None or n_predict < 0 else n_predict


def _seed(seed: int | None) -> int | None:
    """Below zero it means "any" there."""
    return None if seed is None or seed < 0 else seed
