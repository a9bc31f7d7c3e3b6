"""How long a chunk of a prompt takes, as the steps measured so far tell. Pure.

Theory of operation. A chunk of n tokens behind d others takes about

    b · (START_TOKENS' worth + n) + c · n · (d + n/2)

seconds: b for what every token costs, and once more for the step itself; c for what it costs to
attend to one token before it. On a CPU the second part is what grows: with the default model on one
core a token behind 2,000 others takes six times as long as the first ones. Both factors follow each
measured step a little (normalised least mean squares): along the direction that this step tells
of, so that chunks at the beginning of prompts set b, and those far behind set c. A busier machine
makes both larger within a few steps.

llama.cpp's tiled kernel, which takes chunks of TILE_TOKENS and more, has a pace of its own."""

TILE_TOKENS = 64
"""The least tokens of one sequence that llama.cpp's CPU code attends by tiles."""
SHARE = 0.3
"""How much of an error one measurement corrects."""
COUNTED_MAX = 1.5
"""Times what was foreseen that one measurement counts for: a step during which the machine did
something else would make the next ones small for long."""
DEPTH_TOKENS = 512
"""The unit of depth in which b and c weigh about the same."""


class Factors:
    """What a step costs for what it computes and for what lies before that, as steps told so far.

    Both are seconds of one of the units that `seconds` is asked with: `plain` and `deep`."""

    def __init__(self, plain_s: float) -> None:
        self.plain_s, self.deep_s = plain_s, 0.0

    def seconds(self, plain: float, deep: float) -> float:
        return self.plain_s * plain + self.deep_s * deep

    def measured(self, plain: float, deep: float, seconds: float) -> None:
        """Such a step took so long: follow it a little."""
        foreseen_s = self.seconds(plain, deep)
        error_s = min(seconds, foreseen_s * COUNTED_MAX) - foreseen_s
        step = SHARE * error_s / (plain * plain + deep * deep)
        self.plain_s = max(self.plain_s + step * plain, self.plain_s / 2)
        self.deep_s = max(self.deep_s + step * deep, 0.0)


class Line:
    """Seconds of a chunk by its size and depth, for one kernel."""

    def __init__(self, start_s: float, token_s: float) -> None:
        """What a step costs by itself, and each of the first tokens of a prompt."""
        self._factors = Factors(token_s)
        self._start = start_s / token_s

    def seconds(self, tokens: int, depth: int) -> float:
        return self._factors.seconds(*self._features(tokens, depth))

    def tokens(self, seconds: float, depth: int) -> int:
        """How many fit; at least one, without which nothing would go on."""
        token_s = self._factors.plain_s
        each_s = token_s + self._factors.deep_s * depth / DEPTH_TOKENS
        return max(1, int((seconds - token_s * self._start) / each_s))

    def measured(self, tokens: int, depth: int, seconds: float) -> None:
        self._factors.measured(*self._features(tokens, depth), seconds)

    def _features(self, tokens: int, depth: int) -> tuple[float, float]:
        return self._start + tokens, tokens * (depth + tokens / 2) / DEPTH_TOKENS


class Pace:
    """Both kernels' lines. They begin as what a few tokens took at the start."""

    def __init__(self, start_s: float, token_s: float) -> None:
        self._small, self._tiled = Line(start_s, token_s), Line(start_s, token_s)

    def seconds(self, tokens: int, depth: int) -> float:
        """What the next `tokens` of a sequence that holds `depth` will take."""
        return self._line(tokens).seconds(tokens, depth)

    def tokens(self, seconds: float, depth: int) -> int:
        """How many tokens behind `depth` others take so long; at least one."""
        tiled = self._tiled.tokens(seconds, depth)
        if tiled >= TILE_TOKENS:
            return tiled
        return min(self._small.tokens(seconds, depth), TILE_TOKENS - 1)

    def measured(self, tokens: int, depth: int, seconds: float) -> None:
        """Such a chunk took so long in a step of its own."""
        self._line(tokens).measured(tokens, depth, seconds)

    def _line(self, tokens: int) -> Line:
        return self._tiled if tokens >= TILE_TOKENS else self._small
