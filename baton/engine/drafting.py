"""How many of a stream's next tokens are computed on trial, beside the one that is due. Pure.

Theory of operation. A step of one stream with four tokens costs a CPU far less than four steps, for
the weights are read once (docs/decisions/0042). Texts that quote (a list, code that is edited)
repeat what stands before, so the tokens that followed there are a draft of what follows here. They
are computed together with the token that is due; each row is then sampled as ever, and drafted
tokens count for as long as they are what was sampled. So a draft changes when tokens come, never
which.

`Lookup` is one stream's tokens with an index of its n-grams. It foretells every next token, whether
or not a draft is made of that, and sees whether it came true. So what drafts are worth is known
without trying any: by how many foretold tokens came true just before (a streak), how often the next
one did, too. A text that does not repeat pays for the index alone, which is microseconds a token.

`Costs` foresees the seconds of a step by its tokens n and by what lies before them:

    a · shape[n] + b · (n + 1) · depth

The form fits the default model within a tenth (1 to 8 tokens behind 0 to 2,000). The shape, in
steps of one token, is measured once (trial.py); a and b follow every measured step, so that a size
that was not used for long is judged by those that were. They are seconds of the thread's processor
time: what others do on the machine shall count little.
"""

from collections.abc import Iterable, Mapping, Sequence

from baton.engine.pace import DEPTH_TOKENS, Factors

SIZES = (2, 4, 8)
"""Tokens of a step with a draft. llama.cpp's kernels take rows in twos and fours: 3 tokens take
longer than 4."""
NGRAM, NGRAM_SHORT = 3, 2
"""How many tokens must be alike for what followed to be foretold; the longer is asked first."""
PROMPT_TOKENS_MAX = 8192
"""Of a prompt's end that are indexed: some milliseconds' work."""
GAIN_MIN = 1.08
"""Tokens a second that a draft must promise, in those of a step without: estimates err."""
STREAKS = 5
"""Kinds of streaks: of 0, 1, 2 to 3, 4 to 7, and more tokens that came true."""
FORESEEN = (0.2, 0.4, 0.6, 0.75, 0.85)
"""How often a foretold token comes true after each kind of streak, until that was seen."""
FORESEEN_WEIGHT = 4.0
"""How many observations that counts for, at first."""
KEPT = 0.9
"""What an observation weighs when the next one of its kind has come."""


class Costs:
    """Seconds of a step of one stream, by its tokens: those that the engine tried at its start."""

    def __init__(self, tried_s: Mapping[int, float]) -> None:
        """What a step of each size took behind next to nothing; size 1 is among them."""
        self._factors = Factors(tried_s[1])
        self._shape = {size: seconds / tried_s[1] for size, seconds in tried_s.items()}
        self.sizes = tuple(sorted(size for size in tried_s if size > 1))

    def seconds(self, size: int, depth: int) -> float:
        return self._factors.seconds(*self._features(size, depth))

    def measured(self, size: int, depth: int, seconds: float) -> None:
        """A step of one of the sizes took so long."""
        self._factors.measured(*self._features(size, depth), seconds)

    def _features(self, size: int, depth: int) -> tuple[float, float]:
        return self._shape[size], (size + 1) * depth / DEPTH_TOKENS


class Lookup:
    """One stream's tokens, and what they foretell of the next ones.

    Invariant: what it foretells depends on the tokens alone, not on how they were fed."""

    def __init__(self, prompt: Sequence[int]) -> None:
        self._tokens: list[int] = []
        self._long: dict[tuple[int, ...], int] = {}
        self._short: dict[tuple[int, ...], int] = {}
        """Where the latest occurrence of an n-gram was followed by something."""
        self._at = -1
        """Which of the tokens is foretold; -1: none."""
        self._streak = 0
        """How many foretold tokens came true one after the other."""
        self._true = [share * FORESEEN_WEIGHT for share in FORESEEN]
        self._seen = [FORESEEN_WEIGHT] * STREAKS
        self.fed = 0
        """Tokens that were generated so far."""
        for token in prompt[-PROMPT_TOKENS_MAX:]:
            self._index(token)

    def feed(self, generated: Iterable[int]) -> None:
        """The next tokens of the stream."""
        for token in generated:
            self._judge(token)
            self._index(token)
            self.fed += 1

    def size(self, costs: Costs, depth: int, room: int) -> int:
        """Tokens of the step that promises most of them a second; 1: no draft.

        `depth`: how many tokens lie before it; `room`: how many may come of it."""
        best, best_rate = 1, GAIN_MIN / costs.seconds(1, depth)
        if self._at < 0:
            return best
        hoped, chance, streak, at = 1.0, 1.0, self._streak, 1
        for size in costs.sizes:
            if size > room:
                break
            while at < size:
                chance *= self._share(streak)
                hoped, streak, at = hoped + chance, streak + 1, at + 1
            if (rate := hoped / costs.seconds(size, depth)) > best_rate:
                best, best_rate = size, rate
        return best

    def draft(self, count: int) -> list[int]:
        """So many tokens as they are foretold now: a text that repeats itself goes on so."""
        assert self._at >= 0, "nothing is foretold"
        found = self._tokens[self._at : self._at + count]
        while len(found) < count:
            found.append(found[self._at + len(found) - len(self._tokens)])
        return found

    def _share(self, streak: int) -> float:
        kind = _kind(streak)
        return self._true[kind] / self._seen[kind]

    def _judge(self, token: int) -> None:
        """See whether it is what was foretold."""
        if self._at < 0:
            return
        kind, came_true = _kind(self._streak), self._tokens[self._at] == token
        self._true[kind] = self._true[kind] * KEPT + came_true
        self._seen[kind] = self._seen[kind] * KEPT + 1
        self._streak = self._streak + 1 if came_true else 0
        # What came true is followed further: it is alike for longer than any n-gram.
        self._at = self._at + 1 if came_true else -1

    def _index(self, token: int) -> None:
        tokens = self._tokens
        tokens.append(token)
        if len(tokens) < NGRAM:
            return
        long, short = tuple(tokens[-NGRAM:]), tuple(tokens[-NGRAM_SHORT:])
        if not self._streak:
            self._at = self._long.get(long, self._short.get(short, -1))
        self._long[long] = self._short[short] = len(tokens)


def _kind(streak: int) -> int:
    """Its place in FORESEEN."""
    return min(streak.bit_length(), STREAKS - 1)
