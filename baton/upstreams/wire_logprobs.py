"""The logprobs of a stream's deltas: offsets that can be trusted, and the score of each choice.

Offsets are put right at the start of every delta by the text that came before it, so that tokens
which are only half a character do not move those behind them.
"""

from baton.errors import Unheeded
from baton.semantics.events import Call, Delta, FinishReason
from baton.semantics.logprobs import Position, legacy, places, read
from baton.upstreams.failures import failure


class LogprobsReader:
    """Per choice: how much text came before, and the sum of the generated tokens' logprobs."""

    __slots__ = ("_call", "_scored_tokens", "_scores", "_text_lengths", "_token_counts")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._scores: dict[int, float] = {}
        self._scored_tokens: dict[int, int] = {}
        self._text_lengths: dict[int, int] = {}
        self._token_counts: dict[int, int] = {}

    def delta(
        self,
        index: int,
        text: str,
        reason: FinishReason | None,
        raw: bytes,
        token_ids: list[int] | None,
    ) -> Delta:
        """The delta of a choice with its logprobs and, on the last one, its score."""
        call = self._call
        came = self._text_lengths.get(index, 0)
        self._text_lengths[index] = came + len(text)
        try:
            positions = read(raw)
        except ValueError as error:
            raise failure("stream", "protocol", "logprobs of another shape") from error
        if text and not came and not positions:
            self._refuse()
        offset = came + self._start(index)
        if call.scored:
            self._score(index, positions, offset)
        logprobs = None
        if call.logprobs is not None and positions is not None:
            logprobs = legacy(positions, offset, call.logprobs)
        if not call.scored or reason is None:
            return Delta(index, text, reason, logprobs, token_ids)
        score, tokens = self._scores.get(index), self._scored_tokens.get(index)
        return Delta(index, text, reason, logprobs, token_ids, score, tokens)

    def _refuse(self) -> None:
        """Of a server that tells text and no logprobs, which it was asked for. RequestError."""
        call = self._call
        if call.logprobs is not None:
            remedy = "its server does not tell them; leave it out."
            raise Unheeded("logprobs", call.model, remedy)
        raise Unheeded("best_of", call.model, "its server tells no logprobs; leave it out.")

    def _start(self, index: int) -> int:
        prompt = self._call.prompts[index // self._call.n]
        return len(prompt) if isinstance(prompt, str) and not self._call.echo else 0

    def _score(self, index: int, positions: list[Position] | None, offset: int) -> None:
        prompt = self._call.prompts[index // self._call.n]
        positions = positions or []
        for at, begins in zip(positions, places(positions, offset), strict=True):
            count = self._token_counts.get(index, 0)
            self._token_counts[index] = count + 1
            place = begins if isinstance(prompt, str) else count
            if at.logprob is not None and not (self._call.echo and place < len(prompt)):
                self._scores[index] = self._scores.get(index, 0.0) + at.logprob
                self._scored_tokens[index] = self._scored_tokens.get(index, 0) + 1
