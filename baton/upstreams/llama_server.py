"""Dialect `llama-server`: llama.cpp's own server, on /v1/completions and, for a suffix, /infill.

It swallows echo, suffix and best_of on /v1/completions without a word, so none is ever sent there;
it unsets temperature 1 and top_k 0 with defaults of its own, so the neutral values always are, and
the samplers are put into the order that OpenAI and vLLM have (its own cuts by top_p before it
applies temperature). It is always streamed from: its whole answers count the tokens of the first
choice only and end in half a character where max_tokens cut one; in its streams each index tells
its own usage, which is summed, and characters come whole. Logprobs come in the chat shape and, for
0, not at all; of a character that several tokens make they are those of its last token alone. n is
limited by the number of its slots, which it does not tell. It does not refuse a max_tokens beyond
its context, but ends there, with "length".

Its penalties count the last 64 tokens, unless told otherwise, and of the prompt, too. So the window
is told: as long as the answer may become, that nothing generated leaves it, and no longer. What the
end of a prompt has in it counts all the same, until enough is generated.

/infill places a suffix by the model's own fill-in-the-middle tokens (501 where it has none). It
cuts long texts to three quarters and one quarter of its batch, without a word; the prompt that it
computed stands in its last event, and one shorter than what was sent fails the call.

Without a model of its own it is a router, which starts a server for each model and passes requests
on by the model that they name, /detokenize too. What it has no model for is a 400, though no
caller's fault.
"""

import re
from collections.abc import Sequence
from types import MappingProxyType

import msgspec

from baton.engine_fields import known
from baton.errors import invalid, unsupported
from baton.semantics.events import Call, Event, FinishReason, Usage
from baton.upstreams.base import Capabilities, Decoder, HttpRequest
from baton.upstreams.chat_wire import NULL, believed
from baton.upstreams.completions_wire import Manner, count
from baton.upstreams.failures import failure
from baton.upstreams.framing import UNREADABLE
from baton.upstreams.one_choice import OneChoice, Reader, counted, events, reported
from baton.upstreams.openai import OpenAIAdapter
from baton.upstreams.refusals import error_within, read

SAMPLERS = ("penalties", "temperature", "top_p")
ALL_SAMPLERS = ("penalties", "dry", "temperature", "top_k", "typ_p", "top_p", "min_p", "xtc")
SAMPLER_OF = {
    "top_k": "top_k",
    "min_p": "min_p",
    "typical_p": "typ_p",
    "dry_multiplier": "dry",
    "xtc_probability": "xtc",
}
RANDOM_SEED = 2**32 - 1
"""What it takes for "any": no caller's seed may become it."""
NOT_IMPLEMENTED = 501
UNKNOWN_MODEL = 404
"""What other servers answer where a router answers 400."""
ROUTER_WORDS = re.compile(
    r"model '.*' not found$|model name is missing from the request$|model is not loaded$"
)
FINISH_REASONS: dict[str, FinishReason] = {"eos": "stop", "word": "stop", "limit": "length"}

_ENCODER = msgspec.json.Encoder()


class _Timings(msgspec.Struct):
    cache_n: int = 0


class _Piece(msgspec.Struct):
    """One event of /infill, or its whole answer."""

    content: str = ""
    stop: bool = False
    stop_type: str = ""
    prompt: str = ""
    tokens_evaluated: object = 0
    tokens_predicted: object = 0
    timings: msgspec.Raw = NULL
    completion_probabilities: msgspec.Raw = msgspec.Raw(b"null")
    error: object = None


class _Text(msgspec.Struct):
    """The answer of /detokenize."""

    content: str


_PIECE = msgspec.json.Decoder(_Piece)
_TIMINGS = msgspec.json.Decoder(_Timings | None)
_TEXT = msgspec.json.Decoder(_Text)

FIELDS = known(
    (
        "top_k",
        "min_p",
        "typical_p",
        "repetition_penalty",
        "ignore_eos",
        "dry_multiplier",
        "dry_base",
        "dry_allowed_length",
        "xtc_probability",
        "xtc_threshold",
        "grammar",
        "json_schema",
        "cache_prompt",
    )
)


class LlamaServerAdapter(OpenAIAdapter):
    """llama.cpp's server. Instances hold no state."""

    name = "llama-server"
    path = "/v1/completions"
    capabilities = Capabilities(
        prompt_arrays=True,
        token_prompts=True,
        logprobs=True,
        logprobs_max=20,
        suffix=True,
        suffix_apart=True,
        detokenizes=True,
        stop_max=1024,
        seed=True,
        penalties=True,
        logit_bias=True,
        stream_usage=True,
        exact_usage=True,
        scored=True,
        fields=FIELDS,
        bounded=True,
        special_text=True,
    )
    explicit_sampling = True
    renamed = MappingProxyType({"repetition_penalty": "repeat_penalty"})
    constants = MappingProxyType(
        {"top_k": 0, "min_p": 0.0, "typical_p": 1.0, "repeat_penalty": 1.0}
    )
    asks_usage_in_streams = False
    streams_always = True
    manner = Manner(per_choice_usage=True)

    def request(self, call: Call) -> HttpRequest:
        if call.suffix is None:
            return super().request(call)
        return HttpRequest(path="/infill", body=_ENCODER.encode(self._infill(call)))

    def decoder(self, call: Call) -> Decoder:
        if call.suffix is None:
            return super().decoder(call)
        reader = InfillReader(call)
        return events(call, reader)

    def error(self, status: int, body: bytes, retry_after: str | None) -> Exception:
        if status == NOT_IMPLEMENTED:
            message = "'suffix' is not available: the model has no fill-in-the-middle tokens."
            return invalid(message, "suffix", "unsupported_parameter")
        if ROUTER_WORDS.match(read(body).message):
            status = UNKNOWN_MODEL
        return super().error(status, body, retry_after)

    def fields(self, call: Call) -> dict[str, object]:
        found = super().fields(call)
        found["samplers"] = samplers(call.extra)
        if found.get("logprobs") == 0:
            found["logprobs"] = 1
        if call.presence_penalty or call.frequency_penalty:
            found["repeat_last_n"] = max(call.max_tokens, 1)
        if call.seed is not None:
            found["seed"] = call.seed % RANDOM_SEED
        return found

    def detokenization(self, model: str, ids: list[int]) -> HttpRequest:
        return HttpRequest(
            path="/detokenize", body=_ENCODER.encode({"model": model, "tokens": ids})
        )

    def detokenized(self, body: bytes) -> str:
        try:
            return _TEXT.decode(body).content
        except UNREADABLE as error:
            raise failure("first_byte", "protocol", "no text of token ids") from error

    def _infill(self, call: Call) -> dict[str, object]:
        """The fields of /infill: sampling as ever, other names for the rest."""
        [prompt] = call.prompts
        if not isinstance(prompt, str):
            raise unsupported("suffix", call.model, "it needs prompts as text.")
        found = self.fields(call)
        for name in ("prompt", "max_tokens", "suffix", "echo", "user"):
            found.pop(name, None)
        logprobs = found.pop("logprobs", None)
        if logprobs is not None:
            found["n_probs"] = logprobs
        return {
            **found,
            "input_prefix": prompt,
            "input_suffix": call.suffix,
            "input_extra": (),
            "n_predict": call.max_tokens,
        }


def samplers(extra: dict[str, object] | None) -> tuple[str, ...]:
    """Its chain, in OpenAI's order; a sampler that was asked for stands where its own order has it,
    for one that is not in the chain is swallowed."""
    if not extra:
        return SAMPLERS
    wanted = {SAMPLER_OF[name] for name in extra if name in SAMPLER_OF}
    return tuple(name for name in ALL_SAMPLERS if name in SAMPLERS or name in wanted)


class InfillReader(Reader):
    """What an event of /infill says."""

    def __init__(self, call: Call) -> None:
        self.choice = OneChoice(call)
        sent = (*call.prompts, call.suffix or "")
        self._sent_length = sum(map(len, sent))

    def read(self, payload: bytes) -> Sequence[Event]:
        try:
            piece = _PIECE.decode(payload)
        except UNREADABLE as error:
            raise failure("stream", "protocol", "an answer of another shape") from error
        if piece.error is not None:
            raise error_within(payload)
        reason = self._reason(piece) if piece.stop else None
        found = self.choice.piece(piece.content, reason, _logprobs(piece))
        return found + reported(_usage(piece)) if piece.stop else found

    def _reason(self, piece: _Piece) -> FinishReason:
        reason = FINISH_REASONS.get(piece.stop_type)
        if reason is None:
            raise failure("stream", "status", "the upstream gave up on a choice")
        if len(piece.prompt) < self._sent_length:
            raise failure("stream", "status", "the upstream cut prompt or suffix")
        return reason


def _logprobs(piece: _Piece) -> bytes:
    """The list in the chat shape, which is what it is but for its envelope."""
    raw = bytes(piece.completion_probabilities)
    return raw if raw == b"null" else b'{"content":' + raw + b"}"


def _usage(piece: _Piece) -> Usage | None:
    prompt, generated = counted(piece.tokens_evaluated), counted(piece.tokens_predicted)
    if prompt is None or generated is None or prompt + generated == 0:
        return None
    timings = believed(_TIMINGS, piece.timings)
    cached = count(timings.cache_n, prompt) if timings is not None else None
    return Usage(prompt, generated, cached_tokens=cached)
