"""One choice of a call: what it samples next, and what of it goes out. Pure; the scheduler feeds it
logits."""

from collections.abc import Callable

import msgspec

from baton.engine.prompts import Prepared
from baton.engine.sampling import Floats, Sampling, choose, likeliest, log_normaliser, uniform
from baton.engine.text import Entry, TextOut, as_logprobs
from baton.semantics.events import Call, Delta, FinishReason
from baton.semantics.places import name_of

Piece = Callable[[int, bool], bytes]
"""The bytes of a token; of a special one its name if the flag is set, else nothing."""


class Vocabulary(msgspec.Struct, frozen=True):
    """What a choice must know of the tokens it chooses from."""

    piece: Piece
    ends: frozenset[int]
    """Tokens that end the text of this call."""


def score(
    row: Floats, token: int, alternatives: int, piece: Piece
) -> tuple[float, dict[str, float]]:
    """The logprob of `token`, and of so many alternatives by their text; the token is among them.

    Both come out of one expression, so that equal tokens have bit-equal logprobs in both places.
    Tokens of equal text would hide each other: the likelier one stays, the next one fills up."""
    normaliser = log_normaliser(row)
    logprob = float(row[token]) - normaliser
    top: dict[str, float] = {}
    room = alternatives
    while len(top) < alternatives:
        for other in likeliest(row, room):
            if len(top) < alternatives:
                top.setdefault(name_of(piece(other, True)), float(row[other]) - normaliser)
        if room >= row.size:
            break
        room = 2 * room + 8
    top.setdefault(name_of(piece(token, True)), logprob)
    return logprob, top


class Choice:
    """The state of one choice. All of it follows from the call and `ids`: replaying is feeding ids
    again."""

    def __init__(
        self, index: int, call: Call, prompt: Prepared, how: Sampling, words: Vocabulary
    ) -> None:
        self.index, self.ids = index, list[int]()
        self.finish_reason: FinishReason | None = None
        self._call, self._how, self._words = call, how, words
        self._sample = index if how.apart else index % call.n
        self._counts: dict[int, int] = {}
        self._score = 0.0
        self._text = TextOut(call.stop or (), len(prompt.text), prompt.tail)

    @property
    def left(self) -> int:
        """Tokens that it may still take."""
        return self._call.max_tokens - len(self.ids)

    def next(self, row: Floats) -> int:
        """The token that follows what was accepted so far."""
        chance = uniform(self._how.seed, self._sample, len(self.ids))
        return choose(row, self._how, self._counts, chance)

    def accept(self, token: int, row: Floats | None) -> Delta:
        """Take a token; `row` is where it was chosen from (None: logprobs will not be asked
        for)."""
        assert self.finish_reason is None
        entry = None if row is None else self._entry(token, row)
        self.ids.append(token)
        self._counts[token] = self._counts.get(token, 0) + 1
        if token in self._words.ends:
            self.finish_reason = "stop"
            text, entries = self._text.finish()
            if entry is not None and self._call.echo and len(self.ids) == 1:
                # Whoever scores a prompt slices the last entry off, whatever token it is.
                entry.start = self._text.length
                entries.append(entry)
        else:
            text, entries = self._text.feed(self._words.piece(token, False), entry)
            if self._text.stopped:
                self.finish_reason = "stop"
            elif len(self.ids) >= self._call.max_tokens:
                self.finish_reason = "length"
                rest, more = self._text.finish()
                text, entries = text + rest, entries + more
        return self._delta(text, entries, token)

    def _entry(self, token: int, row: Floats) -> Entry | None:
        """Its logprobs, where the call asks for them or for their sum."""
        wanted = self._call.logprobs
        if wanted is None and not self._call.scored:
            return None
        logprob, top = score(row, token, wanted or 0, self._words.piece)
        self._score += logprob
        if wanted is None:
            return None
        return Entry(name_of(self._words.piece(token, True)), logprob, top)

    def _delta(self, text: str, entries: list[Entry], token: int) -> Delta:
        done = self.finish_reason is not None
        return Delta(
            index=self.index,
            text=text,
            finish_reason=self.finish_reason,
            logprobs=None if self._call.logprobs is None else as_logprobs(entries),
            token_ids=[token],
            score=self._score if done and self._call.scored else None,
        )
