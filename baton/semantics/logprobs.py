"""Log probabilities in OpenAI's legacy shape: made of what servers send, joined, cut and moved.

Servers send two shapes: four parallel lists (vLLM, SGLang, OpenAI) or the chat list of
`{token, logprob, top_logprobs}` (llama-server). Their text_offset is -1 (SGLang), counts without
the prompt (vLLM) or is absent, so it is always counted anew: in code points from the start of the
prompt.

What must hold of the result: four lists of one length; each logprob is finite and at most 0; the
token itself is among its alternatives with the very same float; the first token of an echoed prompt
has neither (nothing came before it).
"""

import math
from collections.abc import Sequence

import msgspec

from baton.semantics.events import Logprobs
from baton.semantics.places import name_of

LOGPROB_MIN = -9999.0
"""Stands for minus infinity (a banned token), which JSON cannot say; vLLM's value."""

UNDECODED = "\ufffd"
"""What stands for bytes that are no whole character."""


class Position(msgspec.Struct, frozen=True):
    """One token: its logprob and its alternatives; None where nothing came before it."""

    token: str
    logprob: float | None
    top: dict[str, float] | None = None


class _Alternative(msgspec.Struct):
    token: str
    logprob: float | None = None
    id: object = None
    bytes: msgspec.Raw = msgspec.Raw(b"null")


class _Chat(_Alternative):
    top_logprobs: list[_Alternative] | None = None


class _Wire(msgspec.Struct):
    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float | None] | None] | None = None
    content: list[_Chat] | None = None


_DECODER = msgspec.json.Decoder(_Wire | None)
_BYTES = msgspec.json.Decoder(list[int])


def read(raw: bytes) -> list[Position] | None:
    """The positions of a `logprobs` value of either shape; None where it holds none.

    Raises ValueError where it is neither. Lists shorter than `tokens` are filled up with None.
    """
    if raw in (b"", b"null"):
        return None
    try:
        wire = _DECODER.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError("logprobs of another shape") from error
    if wire is None or (wire.content is None and wire.tokens is None):
        return None
    if wire.content is not None:
        return [Position(_chat_name(at), at.logprob, _chat_top(at)) for at in wire.content]
    assert wire.tokens is not None
    count = len(wire.tokens)
    missing = [None] * count
    logprobs = [*(wire.token_logprobs or ()), *missing][:count]
    tops = [*(wire.top_logprobs or ()), *missing][:count]
    return [
        Position(token, logprob, _known(top))
        for token, logprob, top in zip(wire.tokens, logprobs, tops, strict=True)
    ]


class _Offsets(msgspec.Struct):
    text_offset: list[object] | None = None


def told_start(raw: bytes) -> int:
    """The first offset that a `logprobs` value tells; 0 where it tells none that can be."""
    try:
        told = msgspec.json.decode(raw, type=_Offsets | None)
    except (msgspec.DecodeError, RecursionError):
        return 0
    first = told.text_offset[0] if told is not None and told.text_offset else 0
    return first if isinstance(first, int) and first > 0 else 0


def legacy(positions: Sequence[Position], offsets: Sequence[int], alternatives: int) -> Logprobs:
    """The four lists of tokens that begin at these code points, with at most so many alternatives.

    The chosen token is always among them, so that there may be one more.
    """
    found = empty()
    found.text_offset.extend(offsets)
    for position in positions:
        logprob = None if position.logprob is None else finite(position.logprob)
        found.tokens.append(position.token)
        found.token_logprobs.append(logprob)
        found.top_logprobs.append(
            None if logprob is None else _top(position, logprob, alternatives)
        )
    return found


def finite(logprob: float) -> float:
    """A log probability that JSON can carry: at most 0, at least LOGPROB_MIN."""
    if math.isnan(logprob):
        return LOGPROB_MIN
    return min(max(logprob, LOGPROB_MIN), 0.0)


def empty() -> Logprobs:
    return Logprobs([], [], [], [])


def join(parts: Sequence[Logprobs]) -> Logprobs:
    """The logprobs of several deltas of one choice as one. Its lists may be those of a part."""
    if len(parts) == 1:
        return parts[0]
    whole = empty()
    for part in parts:
        whole.tokens += part.tokens
        whole.token_logprobs += part.token_logprobs
        whole.top_logprobs += part.top_logprobs
        whole.text_offset += part.text_offset
    return whole


def trim(logprobs: Logprobs, end: int) -> Logprobs:
    """Without the tokens that begin at or after the code point `end`: where the text was cut.

    A token that reaches over the cut stays whole: its logprob is that of the whole token.
    """
    count = len(logprobs.tokens)
    # A token of no text (half a character) stands where the next begins, and goes with it.
    while count and logprobs.text_offset[count - 1] >= end:
        count -= 1
    return _part(logprobs, slice(count))


def split(logprobs: Logprobs, at: int) -> tuple[Logprobs, Logprobs]:
    """The tokens that begin before the code point `at` (an echoed prompt's), and the others."""
    head = trim(logprobs, at)
    return head, _part(logprobs, slice(len(head.tokens), None))


def part(logprobs: Logprobs, count: int) -> tuple[Logprobs, Logprobs]:
    """The first `count` tokens, and the others."""
    return _part(logprobs, slice(count)), _part(logprobs, slice(count, None))


def shift(logprobs: Logprobs, distance: int) -> Logprobs:
    """With offsets moved by so many code points: the upstream saw another prompt than the caller's.

    Its other lists are those of the argument.
    """
    return Logprobs(
        logprobs.tokens,
        logprobs.token_logprobs,
        logprobs.top_logprobs,
        [offset + distance for offset in logprobs.text_offset],
    )


def _part(logprobs: Logprobs, which: slice) -> Logprobs:
    return Logprobs(
        logprobs.tokens[which],
        logprobs.token_logprobs[which],
        logprobs.top_logprobs[which],
        logprobs.text_offset[which],
    )


def _top(position: Position, logprob: float, alternatives: int) -> dict[str, float]:
    """The most likely alternatives and the token itself, whose float is the one beside it."""
    greatest = sorted((position.top or {}).items(), key=lambda item: -item[1])[:alternatives]
    top = {token: finite(value) for token, value in greatest}
    top[position.token] = logprob
    return top


def _chat_name(at: _Chat) -> str:
    """The token's own text: llama-server writes down what it sends in this event, which lacks what
    it holds back, or has more; among the alternatives the same id has the name."""
    if at.id is None:
        return _name(at)
    names = (_name(other) for other in at.top_logprobs or () if other.id == at.id)
    return next(names, _name(at))


def _chat_top(at: _Chat) -> dict[str, float] | None:
    return _known({_name(other): other.logprob for other in at.top_logprobs or ()})


def _name(at: _Alternative) -> str:
    """Halves of characters look alike as text; most servers tell their bytes beside it."""
    if UNDECODED not in at.token:
        return at.token
    try:
        return name_of(bytes(_BYTES.decode(at.bytes))) or at.token
    except (msgspec.DecodeError, ValueError, RecursionError):
        return at.token


def _known(top: dict[str, float | None] | None) -> dict[str, float] | None:
    if top is None:
        return None
    return {token: value for token, value in top.items() if value is not None}
