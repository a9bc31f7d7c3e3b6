"""What requests of a load came to: times in percentiles, failures by kind. No I/O, no clock."""

import bisect
import itertools
from collections import Counter
from collections.abc import Iterable

import msgspec

MS_PER_S = 1_000


class Failure(msgspec.Struct, frozen=True):
    kind: str
    """The status, or: connection, timeout, cut, error (told within an answer), no completion."""
    message: str


class Outcome(msgspec.Struct, frozen=True):
    """One request. Of one that failed only that counts."""

    seconds: float = 0.0
    failure: Failure | None = None
    completion_tokens: int | None = None
    """None: the server did not tell."""
    first_text_s: float | None = None
    between_texts_s: tuple[float, ...] = ()


class Percentiles(msgspec.Struct, frozen=True):
    """Milliseconds within which so much of all came."""

    p50: float
    p90: float
    p99: float
    max: float


class Failures(msgspec.Struct, frozen=True):
    """How many of a kind, and what the first said."""

    kind: str
    requests: int
    first: str


class Summary(msgspec.Struct, frozen=True):
    """`requests` ended, `failed` among them; everything below is of the others alone."""

    requests: int
    failed: int
    failures: tuple[Failures, ...]
    seconds: float
    requests_per_s: float
    completion_tokens: int | None
    """None where an answer did not tell."""
    completion_tokens_per_s: float | None
    latency_ms: Percentiles | None
    first_text_ms: Percentiles | None
    between_texts_ms: Percentiles | None


class Times:
    """Any number of durations in bounded memory: equal to three digits, they are one entry."""

    def __init__(self) -> None:
        self._counts = Counter[float]()

    def add(self, seconds: Iterable[float]) -> None:
        self._counts.update(float(f"{each:.2e}") for each in seconds)

    def percentiles(self) -> Percentiles | None:
        """None of nothing."""
        if not self._counts:
            return None
        ordered = sorted(self._counts.items())
        shares = (0.5, 0.9, 0.99, 1.0)
        return Percentiles(*(round(MS_PER_S * within(ordered, share), 3) for share in shares))


def within(ordered: list[tuple[float, int]], share: float) -> float:
    """The least of the values, each with how often it is there, that so much of all is not above:
    a value that was measured, never one between two."""
    totals = list(itertools.accumulate(count for _, count in ordered))
    return ordered[bisect.bisect_left(totals, share * totals[-1])][0]


class Tally:
    """Takes outcomes in, and sums them up."""

    def __init__(self) -> None:
        self._requests = 0
        self._failed = Counter[str]()
        self._first = dict[str, str]()
        self._tokens: int | None = 0
        self._latency, self._first_text, self._between = Times(), Times(), Times()

    def add(self, outcome: Outcome) -> None:
        self._requests += 1
        if outcome.failure is not None:
            self._failed[outcome.failure.kind] += 1
            self._first.setdefault(outcome.failure.kind, outcome.failure.message)
            return
        self._latency.add((outcome.seconds,))
        if outcome.first_text_s is not None:
            self._first_text.add((outcome.first_text_s,))
        self._between.add(outcome.between_texts_s)
        if self._tokens is not None and outcome.completion_tokens is not None:
            self._tokens += outcome.completion_tokens
        else:
            self._tokens = None

    def summary(self, seconds: float) -> Summary:
        """Of what was added in so many seconds."""
        failed = self._failed.total()
        kinds = self._failed.most_common()
        return Summary(
            requests=self._requests,
            failed=failed,
            failures=tuple(Failures(kind, count, self._first[kind]) for kind, count in kinds),
            seconds=round(seconds, 3),
            requests_per_s=round((self._requests - failed) / seconds, 2),
            completion_tokens=self._tokens,
            completion_tokens_per_s=(
                None if self._tokens is None else round(self._tokens / seconds, 2)
            ),
            latency_ms=self._latency.percentiles(),
            first_text_ms=self._first_text.percentiles(),
            between_texts_ms=self._between.percentiles(),
        )
