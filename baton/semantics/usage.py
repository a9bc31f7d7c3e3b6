"""Token arithmetic: what upstreams report, made safe to add up, to bill and to show."""

import msgspec
from msgspec import UNSET

from baton.protocol import (
    BatonUsage,
    CompletionTokensDetails,
    CompletionUsage,
    PromptTokensDetails,
)
from baton.semantics.events import Call, Prompt, Usage

TOKENS_MAX = 2**40
"""A count beyond it is nonsense. Far below what every JSON reader takes exactly (2^53):
sums stay within that, and money within 64 bits."""

BYTES_PER_TOKEN = 4
"""For guesses only, where nobody counted: English text under byte-pair encodings."""

NONE = Usage(0, 0)


def add(left: Usage, right: Usage) -> Usage:
    """The usage of two calls whose prompts and choices are different ones.

    A detail that only one of them reported counts as 0 in the other; one that neither did stays
    unknown.
    """
    return Usage(
        prompt_tokens=left.prompt_tokens + right.prompt_tokens,
        completion_tokens=left.completion_tokens + right.completion_tokens,
        cached_tokens=_sum(left.cached_tokens, right.cached_tokens),
        reasoning_tokens=_sum(left.reasoning_tokens, right.reasoning_tokens),
        audio_prompt_tokens=_sum(left.audio_prompt_tokens, right.audio_prompt_tokens),
        image_prompt_tokens=_sum(left.image_prompt_tokens, right.image_prompt_tokens),
        audio_completion_tokens=_sum(left.audio_completion_tokens, right.audio_completion_tokens),
        cache_write_tokens=_sum(left.cache_write_tokens, right.cache_write_tokens),
        estimated=left.estimated or right.estimated,
    )


def clamp(usage: Usage, *, trusted: bool = True) -> Usage:
    """A report within what can be: counts from 0 to TOKENS_MAX, no detail above its total.

    Whatever had to be changed, and any report that is not `trusted`, is marked as estimated.
    """
    if possible(usage):
        return usage if trusted else msgspec.structs.replace(usage, estimated=True)
    prompt = _within(usage.prompt_tokens, TOKENS_MAX)
    completion = _within(usage.completion_tokens, TOKENS_MAX)
    assert prompt is not None
    assert completion is not None
    images = _within(usage.image_prompt_tokens, prompt)
    thought = _within(usage.reasoning_tokens, completion)
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=_within(usage.cached_tokens, prompt),
        reasoning_tokens=thought,
        audio_prompt_tokens=_within(usage.audio_prompt_tokens, prompt - (images or 0)),
        image_prompt_tokens=images,
        audio_completion_tokens=_within(usage.audio_completion_tokens, completion - (thought or 0)),
        cache_write_tokens=_within(usage.cache_write_tokens, prompt),
        estimated=True,
    )


def to_wire(usage: Usage, handoffs: int | None = None) -> CompletionUsage:
    """As the caller sees it: every detail an integer, the total always the sum.

    `usage` must be possible: an answer's is (`clamp`). Text is what is neither audio nor image nor
    reasoning. `handoffs` adds `usage.baton`, for streams, whose headers are gone when it is known.
    """
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    audio_prompt, images = usage.audio_prompt_tokens or 0, usage.image_prompt_tokens or 0
    audio, thought = usage.audio_completion_tokens or 0, usage.reasoning_tokens or 0
    return CompletionUsage(
        prompt,
        completion,
        prompt + completion,
        PromptTokensDetails(
            usage.cached_tokens or 0,
            prompt - audio_prompt - images,
            audio_prompt,
            images,
            usage.cache_write_tokens or 0,
        ),
        CompletionTokensDetails(completion - audio - thought, audio, thought),
        UNSET if handoffs is None else BatonUsage(handoffs),
    )


def so_far(usage: Usage, generated: int) -> Usage:
    """A running count as the caller may see it: it never shrinks.

    A guess that the upstream's own count at the end may fall below is good enough to charge for a
    cut, and not to be shown: of that only the tokens that certainly came, `generated`.
    """
    if not usage.estimated or usage.completion_tokens <= generated:
        return usage
    return msgspec.structs.replace(usage, completion_tokens=generated, reasoning_tokens=None)


def guess(prompt: Prompt) -> int:
    """Tokens of a prompt (or of any text) that nobody counted; of ids their number."""
    if isinstance(prompt, str):
        return -(-len(prompt.encode()) // BYTES_PER_TOKEN)
    return len(prompt)


def guess_prompts(call: Call) -> int:
    """The same of all that a call has an upstream read: each prompt, with its suffix."""
    suffix = guess(call.suffix) if call.suffix else 0
    return sum(map(guess, call.prompts)) + suffix * len(call.prompts)


def possible(usage: Usage) -> bool:
    """Whether every count is one: not below zero, not beyond TOKENS_MAX, no detail above its total.

    Most usage tells nothing but text and what was cached of it, which is seen at once."""
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    cached = usage.cached_tokens or 0
    if not (0 <= cached <= prompt <= TOKENS_MAX and 0 <= completion <= TOKENS_MAX):
        return False
    if not (
        usage.reasoning_tokens
        or usage.audio_prompt_tokens
        or usage.image_prompt_tokens
        or usage.audio_completion_tokens
        or usage.cache_write_tokens
    ):
        return True
    audio_prompt, images = usage.audio_prompt_tokens or 0, usage.image_prompt_tokens or 0
    audio, thought = usage.audio_completion_tokens or 0, usage.reasoning_tokens or 0
    return (
        min(audio_prompt, images, audio, thought) >= 0
        and audio_prompt + images <= prompt
        and audio + thought <= completion
        and 0 <= (usage.cache_write_tokens or 0) <= prompt
    )


def _sum(left: int | None, right: int | None) -> int | None:
    if left is None or right is None:
        return right if left is None else left
    return left + right


def _within(count: int | None, count_max: int) -> int | None:
    return None if count is None else min(max(count, 0), count_max)
