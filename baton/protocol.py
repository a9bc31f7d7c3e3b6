"""The wire of POST /v1/completions: what callers send and what they get.

`decode` (bytes → CompletionRequest) and the response Structs are the whole contract; the interface
documents are generated from these types.
"""

import msgspec

from baton import errors, long_text
from baton.decoding import PlainRequest, StreamOptions, WireFields, parse, parse_plain
from baton.semantics.events import FinishReason, Logprobs, Prompt


class CompletionRequest(msgspec.Struct, frozen=True):
    """A valid request with every default filled in: what the caller meant, not what was typed."""

    model: str
    prompts: list[Prompt]
    max_tokens: int = 16
    temperature: float = 1.0
    top_p: float = 1.0
    stream: bool = False
    stop: list[str] | None = None
    """Without empty strings; None when there is none."""
    n: int = 1
    best_of: int = 1
    """At least n; the candidates that are generated of each prompt."""
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: dict[int, float] | None = None
    suffix: str | None = None
    """None also for an empty suffix."""
    echo: bool = False
    logprobs: int | None = None
    seed: int | None = None
    user: str | None = None
    include_usage: bool = False
    continuous_usage: bool = False
    ignored: tuple[str, ...] = ()
    """Fields outside the contract that came along and are not acted upon, sorted."""
    extra: dict[str, object] | None = None
    """Fields of one engine, typed: for upstreams that take them."""

    @property
    def choices(self) -> int:
        return len(self.prompts) * self.n

    @property
    def plain(self) -> bool:
        """Whether it asks only for what every upstream does: a text, how long, how random, streamed
        or not, with its usage or without, and where to stop (how many stops is another question).
        Most requests are."""
        prompts = self.prompts
        return (
            self
            == CompletionRequest(
                self.model,
                prompts,
                self.max_tokens,
                self.temperature,
                self.top_p,
                self.stream,
                self.stop,
                include_usage=self.include_usage,
                continuous_usage=self.continuous_usage,
            )
            and len(prompts) == 1
            and isinstance(prompts[0], str)
            and self.max_tokens > 0
        )


class PromptTokensDetails(msgspec.Struct, frozen=True):
    cached_tokens: int = 0
    text_tokens: int = 0
    audio_tokens: int = 0
    image_tokens: int = 0
    cache_write_tokens: int = 0


class CompletionTokensDetails(msgspec.Struct, frozen=True):
    text_tokens: int = 0
    audio_tokens: int = 0
    reasoning_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0


class BatonUsage(msgspec.Struct, frozen=True):
    """What only Baton knows of a stream: how often it was handed to another upstream."""

    handoffs: int = 0


class CompletionUsage(msgspec.Struct, frozen=True, omit_defaults=False):
    """Tokens as the caller sees them: each prompt once, every choice, all details as integers."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails
    baton: BatonUsage | msgspec.UnsetType = msgspec.UNSET


class Choice(msgspec.Struct):
    text: str
    index: int
    logprobs: Logprobs | None
    finish_reason: FinishReason | None


class Completion(msgspec.Struct):
    """The whole answer; a stream's chunks have the same shape (`usage` absent or null there)."""

    id: str
    object: str
    created: int
    model: str
    choices: list[Choice]
    usage: CompletionUsage | msgspec.UnsetType | None = msgspec.UNSET
    system_fingerprint: str | msgspec.UnsetType = msgspec.UNSET


class RequestLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Caps that `decode` enforces before anything is allocated for a request. Each is a setting."""

    stops_max: int = 16
    stop_bytes_max: int = 256
    logprobs_max: int = 20
    n_max: int = 128
    best_of_max: int = 20
    prompts_max: int = 2048
    logit_bias_max: int = 1024
    max_tokens_max: int = 1_000_000
    tokens_total_max: int = 4_000_000
    """prompts × max(n, best_of) × max_tokens of one request."""
    user_bytes_max: int = 512
    model_bytes_max: int = 256

    def strict(self) -> "RequestLimits":
        """These limits, but no higher than OpenAI's own."""
        return msgspec.structs.replace(
            self,
            stops_max=min(self.stops_max, STRICT_LIMITS.stops_max),
            logprobs_max=min(self.logprobs_max, STRICT_LIMITS.logprobs_max),
        )


STRICT_LIMITS = RequestLimits(stops_max=4, logprobs_max=5)
"""OpenAI's own limits, for callers that ask for strictness."""


class FillLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What fills may cost; each is a setting."""

    suffix_candidates: int = 4
    calls_max: int = 2048
    """Calls of one request, where an upstream takes one prompt or one sample each."""
    parallel_max: int = 8
    """Of these at once."""


def decode(body: bytes, limits: RequestLimits, *, model: str | None = None) -> CompletionRequest:
    """Check a request body against the contract; RequestError (400) names the field at fault.

    `model` is the one that the path fixes, whatever the body names; without it the body must.
    """
    plain = parse_plain(body) if model is None else None
    request = None if plain is None else checked(plain, body, limits)
    return _decode_any(body, limits, model) if request is None else request


def checked(plain: PlainRequest, body: bytes, limits: RequestLimits) -> CompletionRequest | None:
    """A plain request within what settings and the contract allow; None beyond. `body` is what it
    was read from, where it is long: the prompt goes on as it was written. Raises RequestError (400)
    for its stops."""
    if (
        plain.max_tokens > limits.max_tokens_max
        or plain.max_tokens > limits.tokens_total_max
        or 4 * len(plain.model) > limits.model_bytes_max
    ):
        return None
    options = plain.stream_options
    if options is not None and not plain.stream:
        return None
    return CompletionRequest(
        plain.model,
        long_text.prompts(plain.prompt, body),
        plain.max_tokens,
        plain.temperature,
        plain.top_p,
        plain.stream,
        _stops(plain.stop, limits) if plain.stop else None,
        include_usage=options is not None and options.include_usage,
    )


def _decode_any(body: bytes, limits: RequestLimits, model: str | None) -> CompletionRequest:
    wire, prompts, unknown = parse(body, limits.prompts_max, model=model)
    name = wire.model if model is None else model
    assert name is not None
    n = wire.n or 1
    best_of = wire.best_of or n
    _check_numbers(wire, limits)
    _check_candidates(n, best_of, bool(wire.stream))
    _check_texts(wire, limits)
    max_tokens = 16 if wire.max_tokens is None else wire.max_tokens
    tokens = len(prompts) * best_of * max_tokens
    if tokens > limits.tokens_total_max:
        raise errors.too_much_work(tokens, limits.tokens_total_max)
    options = wire.stream_options
    include_usage = options is not None and _include_usage(options, bool(wire.stream))
    return CompletionRequest(
        model=name,
        prompts=prompts,
        max_tokens=max_tokens,
        n=n,
        best_of=best_of,
        temperature=1.0 if wire.temperature is None else wire.temperature,
        top_p=1.0 if wire.top_p is None else wire.top_p,
        presence_penalty=wire.presence_penalty or 0.0,
        frequency_penalty=wire.frequency_penalty or 0.0,
        logit_bias=wire.logit_bias or None,
        stop=_stops(wire.stop, limits) if wire.stop else None,
        suffix=wire.suffix or None,
        echo=bool(wire.echo),
        logprobs=wire.logprobs,
        seed=wire.seed,
        user=wire.user,
        stream=bool(wire.stream),
        include_usage=include_usage,
        continuous_usage=include_usage and bool(options and options.continuous_usage_stats),
        ignored=unknown.ignored,
        extra=unknown.extra,
    )


def _check_numbers(wire: WireFields, limits: RequestLimits) -> None:
    """The ranges that are settings; fixed ones are part of the types."""
    if wire.n is not None and wire.n > limits.n_max:
        raise errors.above_maximum("n", "integer", limits.n_max, wire.n)
    if wire.best_of is not None and wire.best_of > limits.best_of_max:
        raise errors.above_maximum("best_of", "integer", limits.best_of_max, wire.best_of)
    if wire.logprobs is not None and wire.logprobs > limits.logprobs_max:
        raise errors.above_maximum("logprobs", "integer", limits.logprobs_max, wire.logprobs)
    if wire.max_tokens is not None and wire.max_tokens > limits.max_tokens_max:
        raise errors.above_maximum("max_tokens", "integer", limits.max_tokens_max, wire.max_tokens)
    if wire.logit_bias is not None and len(wire.logit_bias) > limits.logit_bias_max:
        raise errors.too_many("logit_bias", limits.logit_bias_max, len(wire.logit_bias))


def _check_candidates(n: int, best_of: int, stream: bool) -> None:
    if best_of < n:
        message = f"'best_of' ({best_of}) must not be less than 'n' ({n})."
        raise errors.invalid(message, "best_of")
    if best_of > n and stream:
        message = "'best_of' above 'n' cannot be streamed: the best is known only at the end."
        raise errors.invalid(message, "best_of")


def _check_texts(wire: WireFields, limits: RequestLimits) -> None:
    if wire.model is not None and not _fits(wire.model, limits.model_bytes_max):
        raise errors.too_long("model", limits.model_bytes_max)
    if wire.user is not None and not _fits(wire.user, limits.user_bytes_max):
        raise errors.too_long("user", limits.user_bytes_max)
    if wire.echo and wire.suffix:
        message = "'suffix' cannot be used together with 'echo'."
        raise errors.invalid(message, "suffix", "unsupported_parameter")


def _include_usage(options: StreamOptions, stream: bool) -> bool:
    if not stream:
        message = "'stream_options' is only allowed when 'stream' is true."
        raise errors.invalid(message, "stream_options")
    if options.include_obfuscation:
        message = "'stream_options.include_obfuscation' is not available: leave it out or false."
        raise errors.invalid(message, "stream_options", "unsupported_parameter")
    return bool(options.include_usage)


def _stops(stop: str | list[str], limits: RequestLimits) -> list[str] | None:
    """Each stop once, without empty ones (which would never let a text begin)."""
    stops = [stop] if isinstance(stop, str) else stop
    if (
        len(stops) <= limits.stops_max
        and 4 * sum(map(len, stops)) <= limits.stop_bytes_max
        and "" not in stops
        and len(set(stops)) == len(stops)
    ):
        return stops  # short and different: nothing to look at one by one
    if len(stops) > limits.stops_max:
        raise errors.too_many("stop", limits.stops_max, len(stops))
    for each in stops:
        if not _fits(each, limits.stop_bytes_max):
            raise errors.too_long("stop", limits.stop_bytes_max)
    return list(dict.fromkeys(filter(None, stops))) or None


def _fits(text: str, bytes_max: int) -> bool:
    """Whether the text has at most so many bytes in UTF-8; encodes it only in doubt."""
    letters = len(text)
    return letters * 4 <= bytes_max or (letters <= bytes_max and len(text.encode()) <= bytes_max)
