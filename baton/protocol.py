"""The wire of POST /v1/completions: what callers send and what they get.

`decode` (bytes → CompletionRequest) and the response Structs are the whole contract; the interface
documents are generated from these types.
"""

import msgspec

from baton.semantics.events import FinishReason, Logprobs, Prompt


class CompletionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A valid request with every default filled in: what the caller meant, not what was typed."""

    model: str
    prompts: list[Prompt]
    max_tokens: int = 16
    n: int = 1
    best_of: int = 1
    """At least n; the candidates that are generated of each prompt."""
    temperature: float = 1.0
    top_p: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: dict[int, float] | None = None
    stop: list[str] | None = None
    """Without empty strings; None when there is none."""
    suffix: str | None = None
    """None also for an empty suffix."""
    echo: bool = False
    logprobs: int | None = None
    seed: int | None = None
    user: str | None = None
    stream: bool = False
    include_usage: bool = False
    continuous_usage: bool = False
    ignored: tuple[str, ...] = ()
    """Fields outside the contract that came along and are not acted upon, sorted."""

    @property
    def choices(self) -> int:
        return len(self.prompts) * self.n


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
    usage: CompletionUsage | None | msgspec.UnsetType = msgspec.UNSET
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


STRICT_LIMITS = RequestLimits(stops_max=4, logprobs_max=5)
"""OpenAI's own limits, for callers that ask for strictness."""


def decode(body: bytes, limits: RequestLimits) -> CompletionRequest:
    """Check a request body against the contract; RequestError (400) names the field at fault."""
    raise NotImplementedError
