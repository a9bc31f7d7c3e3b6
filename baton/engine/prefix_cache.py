"""Which tokens each sequence holds, and which of them serves a new prompt. Pure bookkeeping.

Finished sequences keep what they computed until their id is needed; running ones can be copied from
too. What stands here is exactly what llama.cpp's memory holds, so the reused length is exact. A
prompt is compared with all sequences at once, as arrays: 16 sequences of 2,048 tokens take some 30
µs.

The lowest free id is taken for a new prompt (see policy.py), so that what lies there would be lost
most often. `shelf` tells a better place for it: a free id whose content is empty, hardly more than
a copy of what the new prompt holds anyway, or older. Without the second rule prompts that begin
alike would fill all ids with copies of one beginning, and push out every other."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int32]

REUSE_TOKENS_MIN = 8
"""A copy moves a whole sequence, which takes as long as computing one or two tokens: fewer do not
pay."""
SHELVE_TOKENS_MIN = 64
"""Less than that is not worth carrying to another id."""


class PrefixCache:
    def __init__(self, sequences_max: int, sequence_tokens_max: int) -> None:
        self._tokens: Ints = np.zeros((sequences_max, sequence_tokens_max), np.int32)
        self._lengths = np.zeros(sequences_max, np.int64)
        self._used = np.zeros(sequences_max, np.int64)
        self._clock = 0

    def length(self, sequence: int) -> int:
        return int(self._lengths[sequence])

    @property
    def total(self) -> int:
        """Tokens of all sequences."""
        return int(self._lengths.sum())

    def tokens(self, sequence: int) -> Ints:
        """What the sequence holds."""
        return self._tokens[sequence, : self._lengths[sequence]]

    def append(self, sequence: int, tokens: Sequence[int] | Ints) -> None:
        """The sequence computed these tokens."""
        start = int(self._lengths[sequence])
        self._tokens[sequence, start : start + len(tokens)] = tokens
        self._lengths[sequence] = start + len(tokens)
        self.touch(sequence)

    def cut(self, sequence: int, length: int) -> None:
        self._lengths[sequence] = min(length, self._lengths[sequence])

    def copy(self, source: int, target: int, length: int) -> None:
        self._tokens[target, :length] = self._tokens[source, :length]
        self._lengths[target] = length
        self._used[target] = self._used[source]

    def touch(self, sequence: int) -> None:
        """Used just now."""
        self._clock += 1
        self._used[sequence] = self._clock

    def match(self, prompt: Sequence[int]) -> tuple[int, int]:
        """The sequence that holds most of the prompt's beginning, and how much of it; (-1, 0) for
        none.

        The last token never counts: it must be computed for its logits. Of equal ones the lowest
        id."""
        width = min(len(prompt) - 1, self._tokens.shape[1])
        if width < REUSE_TOKENS_MIN:
            return -1, 0
        wanted = np.asarray(prompt[:width], np.int32)
        candidates = np.flatnonzero(
            (self._lengths >= REUSE_TOKENS_MIN)
            & (self._tokens[:, :REUSE_TOKENS_MIN] == wanted[:REUSE_TOKENS_MIN]).all(axis=1)
        )
        best, longest = -1, 0
        for sequence in candidates:
            same = self._same(int(sequence), wanted)
            if same > longest:
                best, longest = int(sequence), same
        return best, longest

    def _same(self, sequence: int, wanted: Ints) -> int:
        width = min(wanted.size, int(self._lengths[sequence]))
        different = self._tokens[sequence, :width] != wanted[:width]
        first = int(different.argmax()) if width else 0
        return first if width and different[first] else width

    def shelf(
        self, sequence: int, kept: int, free: Iterable[int], prompt: Sequence[int] = ()
    ) -> int | None:
        """Where to carry what `sequence` holds before `prompt` is computed there and only `kept`
        tokens of it remain; None: nowhere.

        The best place is empty, else holds little that the prompt does not, else what was not used
        for longest; of equal ones the highest id, which is handed out last."""
        if self.length(sequence) - kept < SHELVE_TOKENS_MIN:
            return None
        places = [other for other in free if other != sequence]
        if not places:
            return None
        ages = {at: self._age(at) for at in places}
        if -1 not in ages.values():
            wanted = np.asarray(prompt[: self._tokens.shape[1]], np.int32)
            ages |= {at: 0 for at in places if self._covered(at, wanted)}
        best = min(places, key=lambda at: (ages[at], -at))
        return best if ages[best] < self._used[sequence] else None

    def _age(self, sequence: int) -> int:
        return int(self._used[sequence]) if self._lengths[sequence] else -1

    def _covered(self, sequence: int, wanted: Ints) -> bool:
        same = self._same(sequence, wanted)
        return same >= REUSE_TOKENS_MIN and self.length(sequence) - same < SHELVE_TOKENS_MIN
