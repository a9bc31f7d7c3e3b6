"""The logprobs of a stream's deltas: offsets that can be trusted, and the score of each choice.

Offsets are told by where the names of the tokens stand in the text (`semantics/places.py`), from
the prompt's length on; of a prompt that came as ids only the server knows that, and is believed.
Where a stop or the model's own end cut the text, the tokens of it that no text shows are left out,
but of an echo: whoever scores a prompt counts with the generated token, whatever it is.
"""

from baton.errors import Unheeded
from baton.semantics.events import Call, Delta, FinishReason, Logprobs
from baton.semantics.logprobs import Position, empty, join, legacy, part, read, told_start, trim
from baton.semantics.places import Letters, Places, is_part, other_name
from baton.upstreams.failures import failure


class LogprobsReader:
    """`exact`: the server tells the tokens of the text alone, with the text (another Baton).
    `lettered`: it names parts of a character by letters of Latin-1 (SGLang).

    Per choice: how far its text came, and the sum of the generated tokens' logprobs."""

    __slots__ = (
        "_call",
        "_exact",
        "_held",
        "_lettered",
        "_letters",
        "_places",
        "_scored_tokens",
        "_scores",
        "_token_counts",
    )

    def __init__(self, call: Call, *, exact: bool = False, lettered: bool = False) -> None:
        self._call, self._exact, self._lettered = call, exact, lettered
        self._letters: dict[int, Letters] = {}
        self._scores: dict[int, float] = {}
        self._scored_tokens: dict[int, int] = {}
        self._held: dict[int, Logprobs] = {}
        self._places: dict[int, Places] = {}
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
        try:
            positions = read(raw)
        except ValueError as error:
            raise failure("stream", "protocol", "logprobs of another shape") from error
        if self._lettered and positions:
            positions = self._renamed(index, text, positions)
        places = self._places.get(index)
        if places is None:
            places = Places(self._start(index, raw))
            if text and not positions and not self._exact:
                self._refuse()
            if text or positions:
                self._places[index] = places
        offsets = places.of(text, [at.token for at in positions or ()])
        if call.scored:
            self._score(index, positions or [], offsets)
        logprobs = None
        if call.logprobs is not None:
            came = None if positions is None else legacy(positions, offsets, call.logprobs)
            logprobs = self._seen(index, came, reason, places.end)
            if logprobs is None and reason is not None and index not in self._places:
                logprobs = empty()  # of no token at all: as a whole answer has them
        if not call.scored or reason is None:
            return Delta(index, text, reason, logprobs, token_ids)
        score, tokens = self._scores.get(index), self._scored_tokens.get(index)
        return Delta(index, text, reason, logprobs, token_ids, score, tokens)

    def _renamed(self, index: int, text: str, positions: list[Position]) -> list[Position]:
        """The same tokens, and their alternatives, by the names that they have elsewhere."""
        letters = self._letters.setdefault(index, Letters())
        names = letters.named(text, [at.token for at in positions])
        return [
            Position(name, at.logprob, at.top and _renamed_top(at.top, at.token, name))
            for name, at in zip(names, positions, strict=True)
        ]

    def _refuse(self) -> None:
        """Of a server that tells text and no logprobs, which it was asked for. RequestError."""
        call = self._call
        if call.logprobs is not None:
            remedy = "its server does not tell them; leave it out."
            raise Unheeded("logprobs", call.model, remedy)
        raise Unheeded("best_of", call.model, "its server tells no logprobs; leave it out.")

    def _seen(
        self, index: int, came: Logprobs | None, reason: FinishReason | None, end: int
    ) -> Logprobs | None:
        """Those of the text that came so far: the others wait for theirs, or have none."""
        parts = [each for each in (self._held.pop(index, None), came) if each is not None]
        if not parts or self._call.echo or self._exact:
            return came
        found = join(parts)
        shown = trim(found, end)
        behind = found.tokens[len(shown.tokens) :]
        if reason is None:
            if behind:
                self._held[index] = part(found, len(shown.tokens))[1]
            return shown
        # A half of a character that never became whole was generated: no stop took it away.
        return shown if reason == "stop" and not all(map(is_part, behind)) else found

    def _start(self, index: int, raw: bytes) -> int:
        """Where the text of a choice begins."""
        prompt = self._call.prompts[index // self._call.n]
        if self._call.echo:
            return 0
        return len(prompt) if isinstance(prompt, str) else told_start(raw)

    def _score(self, index: int, positions: list[Position], offsets: list[int]) -> None:
        prompt = self._call.prompts[index // self._call.n]
        for at, begins in zip(positions, offsets, strict=True):
            count = self._token_counts.get(index, 0)
            self._token_counts[index] = count + 1
            place = begins if isinstance(prompt, str) else count
            if at.logprob is not None and not (self._call.echo and place < len(prompt)):
                self._scores[index] = self._scores.get(index, 0.0) + at.logprob
                self._scored_tokens[index] = self._scored_tokens.get(index, 0) + 1


def _renamed_top(top: dict[str, float], token: str, name: str) -> dict[str, float]:
    return {name if other == token else other_name(other): top[other] for other in top}
