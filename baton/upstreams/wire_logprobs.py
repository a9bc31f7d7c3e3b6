"""Log probabilities as servers send them, in OpenAI's legacy shape with offsets to be trusted.

Servers use two shapes: four parallel lists (vLLM, SGLang, OpenAI), or the chat list of
`{token, logprob, top_logprobs}` (llama-server). Their text_offset is -1 (SGLang), counts from 0
without the prompt (vLLM), or is absent: it is always counted anew, in code points from the start of
the prompt, and put right at the start of every delta by the text that came before it.
"""

import msgspec

from baton.semantics.events import Call, Delta, FinishReason, Logprobs
from baton.upstreams.failures import failure


class WireAlternative(msgspec.Struct):
    token: str
    logprob: float


class WirePosition(WireAlternative):
    top_logprobs: list[WireAlternative] | None = None


class WireLogprobs(msgspec.Struct):
    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float | None] | None] | None = None
    content: list[WirePosition] | None = None


Position = tuple[str, float | None, dict[str, float] | None]
"""A token, its logprob, and its alternatives; None for the first token of a prompt."""


class LogprobsReader:
    """Per choice: how much text came before, and the sum of the generated tokens' logprobs."""

    __slots__ = ("_call", "_scores", "_text_lengths", "_token_counts")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._scores: dict[int, float] = {}
        self._text_lengths: dict[int, int] = {}
        self._token_counts: dict[int, int] = {}

    def delta(
        self,
        index: int,
        text: str,
        reason: FinishReason | None,
        wire: WireLogprobs | None,
        token_ids: list[int] | None,
    ) -> Delta:
        """The delta of a choice with its logprobs and, on the last one, its score."""
        call = self._call
        came = self._text_lengths.get(index, 0)
        self._text_lengths[index] = came + len(text)
        positions = _positions(wire)
        offset = came + self._start(index)
        if call.scored:
            self._score(index, positions, offset)
        logprobs = None
        if call.logprobs is not None and positions is not None:
            logprobs = _legacy(positions, offset, call.logprobs)
        score = self._scores.get(index) if call.scored and reason is not None else None
        return Delta(index, text, reason, logprobs, token_ids, score)

    def _start(self, index: int) -> int:
        prompt = self._call.prompts[index // self._call.n]
        return len(prompt) if isinstance(prompt, str) and not self._call.echo else 0

    def _score(self, index: int, positions: list[Position] | None, offset: int) -> None:
        prompt = self._call.prompts[index // self._call.n]
        for token, logprob, _ in positions or ():
            count = self._token_counts.get(index, 0)
            self._token_counts[index] = count + 1
            place = offset if isinstance(prompt, str) else count
            if logprob is not None and not (self._call.echo and place < len(prompt)):
                self._scores[index] = self._scores.get(index, 0.0) + logprob
            offset += len(token)


def _positions(wire: WireLogprobs | None) -> list[Position] | None:
    """Either shape as a list of positions; None where there is none."""
    if wire is None:
        return None
    if wire.content is not None:
        return [
            (at.token, at.logprob, {other.token: other.logprob for other in at.top_logprobs or ()})
            for at in wire.content
        ]
    if wire.tokens is None or wire.token_logprobs is None:
        return None
    tops = wire.top_logprobs or [None] * len(wire.tokens)
    if not len(wire.tokens) == len(wire.token_logprobs) == len(tops):
        raise failure("stream", "protocol", "logprobs of unequal lengths")
    return [
        (token, logprob, None if logprob is None else _numbers(top))
        for token, logprob, top in zip(wire.tokens, wire.token_logprobs, tops, strict=True)
    ]


def _numbers(top: dict[str, float | None] | None) -> dict[str, float]:
    return {token: value for token, value in (top or {}).items() if value is not None}


def _legacy(positions: list[Position], offset: int, alternatives_max: int) -> Logprobs:
    found = Logprobs([], [], [], [])
    for token, logprob, top in positions:
        found.tokens.append(token)
        found.token_logprobs.append(logprob)
        found.top_logprobs.append(
            None if logprob is None else _greatest(top or {}, token, logprob, alternatives_max)
        )
        found.text_offset.append(offset)
        offset += len(token)
    return found


def _greatest(
    top: dict[str, float], token: str, logprob: float, alternatives_max: int
) -> dict[str, float]:
    """The asked number of alternatives, and always the token itself with the very same float."""
    if len(top) > alternatives_max:
        ranked = sorted(top.items(), key=lambda item: -item[1])[:alternatives_max]
        top = dict(ranked)
    top[token] = logprob
    return top
