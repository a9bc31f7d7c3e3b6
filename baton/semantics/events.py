"""What flows between the stages of one completion: a call goes up, events come down.

Everything here is immutable data without behaviour. `msgspec.Struct` instead of a frozen dataclass:
a dataclass of this size costs 4 µs to build, a Struct 0.3 µs, and Structs cross the engine's socket
as they are.
"""

from typing import Literal

import msgspec

Prompt = str | list[int]
"""Text, or token ids of the model that answers."""

FinishReason = Literal["stop", "length", "content_filter"]

Way = Literal["instruct", "prefill", "prefix", "partial"]
"""How a server that only chats is had to continue a text: `upstreams/continuation.py`."""


class Call(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What one upstream is asked to do, in terms that no dialect owns.

    Choices are numbered `prompt * n + sample`, counted within this call.
    Optional fields at their default are not sent to an upstream, but for `max_tokens`, which always
    is.
    """

    model: str
    """The upstream's own name of the model."""
    prompts: list[Prompt]
    max_tokens: int
    n: int = 1
    """Samples of each prompt; best_of candidates are samples here (the relay picks among them)."""
    candidates: int = 1
    """Of each sample, that an upstream may generate and count without being asked to: another Baton
    ranks them for a suffix. Never sent."""
    suffix: str | None = None
    """Text after the hole; only sent to upstreams that fill in the middle natively."""
    temperature: float = 1.0
    top_p: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: dict[int, float] | None = None
    stop: list[str] | None = None
    logprobs: int | None = None
    """Alternatives per position; 0 asks for the chosen token's logprob alone; None for none."""
    echo: bool = False
    """The prompt first, as `Delta`s (with its logprobs where `logprobs` is set)."""
    seed: int | None = None
    user: str | None = None
    stream: bool = False
    """Whether increments are wanted as they come; a False call may answer in one piece."""
    scored: bool = False
    """Put the sum of raw logprobs of a choice on its last `Delta` (best_of needs it)."""
    deterministic: bool = False
    """Compute in a shape that no neighbour changes (embedded engine only)."""
    strict: bool = False
    """The caller wants no fills: another Baton must not make any either."""
    parse_special: bool = True
    """Whether text such as `<|im_end|>` in a prompt becomes the special token it names."""
    extra: dict[str, object] | None = None
    """Fields of one engine (`baton/engine_fields.py`) that this upstream takes."""
    tenant: str = ""
    """Whose turn it is: the fairness unit of queues (the key's id). Never forwarded over HTTP."""

    @property
    def completion_tokens_max(self) -> int:
        """Of all its choices together, and of candidates for them."""
        return len(self.prompts) * self.n * self.candidates * self.max_tokens

    @property
    def plain(self) -> bool:
        """Whether everything is at its default but what most callers set: seen at once."""
        return self == Call(
            model=self.model,
            prompts=self.prompts,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            stream=self.stream,
            stop=self.stop,
            deterministic=self.deterministic,
            parse_special=self.parse_special,
            tenant=self.tenant,
        )


class Logprobs(msgspec.Struct):
    """OpenAI's legacy shape: four parallel lists, one entry per token of the delta."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]
    """Code points from the start of the prompt, also when the prompt is not echoed."""


class Delta(msgspec.Struct, omit_defaults=True):
    """Some text of one choice. The last delta of a choice carries its finish_reason, once."""

    index: int
    text: str
    finish_reason: FinishReason | None = None
    logprobs: Logprobs | None = None
    token_ids: list[int] | None = None
    """Ids generated with this delta, where the upstream tells them: what a hand-off resumes from.
    An id whose text is still held back (half a character, a possible stop) counts here at once."""
    score: float | None = None
    """Sum of raw logprobs of all generated tokens, on the last delta of a `scored` call."""
    scored_tokens: int | None = None
    """How many tokens `score` sums up: best_of ranks by the mean. None: count `token_ids`."""


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens of a whole call. None means that nobody reported it: 0 for the caller, NULL on the
    ledger."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    audio_prompt_tokens: int | None = None
    image_prompt_tokens: int | None = None
    audio_completion_tokens: int | None = None
    cache_write_tokens: int | None = None
    estimated: bool = False
    """Counted by Baton because the upstream reported none, or nonsense."""


class UsageReported(msgspec.Struct, frozen=True):
    """The upstream's own count; the last report of a call is the one that holds."""

    usage: Usage


Event = Delta | UsageReported
