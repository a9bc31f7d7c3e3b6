"""Whole answers as most are: one text that ended in order, and a usage that can be believed.

The types check in one pass what `completions_wire.Choices` finds out step by step. Whatever does
not fit them is no usual answer, which says nothing against it: `BodyDecoder` is for all.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from baton.semantics.events import Delta, Usage
from baton.upstreams.completions_wire import TOKENS_MAX
from baton.upstreams.framing import ANSWER_BYTES_BASE, TOKEN_BYTES_MAX, UNREADABLE


class PromptDetails(msgspec.Struct):
    """Of a prompt of text, perhaps cached."""

    cached_tokens: Annotated[int, Meta(ge=0)] | None = None
    audio_tokens: Literal[0] | None = None
    image_tokens: Literal[0] | None = None
    cache_write_tokens: Literal[0] | None = None


class CompletionDetails(msgspec.Struct):
    """Of a completion of text alone."""

    reasoning_tokens: Literal[0] | None = None
    audio_tokens: Literal[0] | None = None


class ToldUsage(msgspec.Struct):
    prompt_tokens: Annotated[int, Meta(ge=1, le=TOKENS_MAX)]
    completion_tokens: Annotated[int, Meta(ge=1, le=TOKENS_MAX)]
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    prompt_cache_hit_tokens: None = None


class Choice(msgspec.Struct):
    text: str
    finish_reason: Literal["stop", "length"]
    index: Literal[-1, 0] = -1
    token_ids: list[int] | None = None


class Answer(msgspec.Struct):
    """A whole answer of one choice: its types check what `Choices` would find out step by step."""

    choices: Annotated[list[Choice], Meta(min_length=1, max_length=1)]
    usage: ToldUsage
    error: None = None
    object: str = ""


_ANSWER = msgspec.json.Decoder(Answer)
_NO_PROMPT_DETAILS, _NO_COMPLETION_DETAILS = PromptDetails(), CompletionDetails()


def one_whole(body: bytes, max_tokens: int) -> tuple[Delta, Usage] | None:
    """The choice and the usage of an answer that has one of each and is as most are: what
    `BodyDecoder` makes of it. None of any other, and of one that is none."""
    if len(body) > ANSWER_BYTES_BASE + max_tokens * TOKEN_BYTES_MAX:
        return None
    try:
        answer = _ANSWER.decode(body)
    except UNREADABLE:
        return None
    choice, told = answer.choices[0], answer.usage
    prompt, details = told.prompt_tokens, told.prompt_tokens_details
    cached = None if details is None else details.cached_tokens
    if answer.object == "error" or (cached is not None and cached > prompt):
        return None
    delta = Delta(0, choice.text, choice.finish_reason, None, choice.token_ids)
    generated = told.completion_tokens_details
    if details is None and generated is None:
        return delta, Usage(prompt, told.completion_tokens)
    if details is None:
        details = _NO_PROMPT_DETAILS
    if generated is None:
        generated = _NO_COMPLETION_DETAILS
    return delta, Usage(
        prompt,
        told.completion_tokens,
        cached,
        generated.reasoning_tokens,
        details.audio_tokens,
        details.image_tokens,
        generated.audio_tokens,
        details.cache_write_tokens,
    )
