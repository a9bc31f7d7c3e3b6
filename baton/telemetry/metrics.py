"""Every number that Baton counts, declared once, cheap enough for the hot path.

Theory of operation. prometheus_client's own counters cost a lock and a label lookup each (1–2 µs
apiece). Here a request touches plain integers and bucket lists of one `Series` (per model and
upstream), all on the loop's thread; nothing is formatted before somebody scrapes.
`Metrics.snapshot` is plain data: it crosses processes (`publish.py`), adds up (`merge`) and becomes
Prometheus families (`exposition.py`).

Labels are bounded: model and upstream are names that an operator configured, and beyond
`SERIES_MAX` pairs everything counts as `other`. Never a key, a user or a request id.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import Literal, Protocol, get_args

import msgspec

from baton.telemetry.condition import Condition
from baton.telemetry.diary import COUNTED
from baton.telemetry.upstreams import UpstreamNumbers, added

SERIES_MAX = 1_000
ENDED_MAX = 256
"""Turns that ended and are not counted yet."""
OTHER = "other"
SECONDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0, 120.0, 300.0,
)  # fmt: skip
"""Upper bounds of every histogram: from an embedded first token to the longest allowed stream."""

Reason = Literal[
    "invalid", "key", "forbidden", "model", "rate", "quota", "overloaded", "context", "size",
    "host", "other",
]  # fmt: skip
REASONS: tuple[Reason, ...] = get_args(Reason)
"""Why a request was refused before any upstream was asked."""
End = Literal["settled", "released", "interrupted"]
ENDS: tuple[End, ...] = get_args(End)
"""How a hold ends, in the ledger's words."""
ContentEnd = Literal["kept", "dropped"]
CONTENT_ENDS: tuple[ContentEnd, ...] = get_args(ContentEnd)
"""What becomes of a content that is to be kept."""
RefusalEnd = Literal["kept", "summed", "dropped"]
REFUSAL_ENDS: tuple[RefusalEnd, ...] = get_args(RefusalEnd)
"""What becomes of a refused request: a row of its own, one more in the row of its like, or none."""


class Histogram(msgspec.Struct):
    """How often a time fell into each bucket (the last one is beyond all bounds), and their sum."""

    counts: list[int] = msgspec.field(default_factory=lambda: [0] * (len(SECONDS) + 1))
    sum_s: float = 0.0

    def observe(self, seconds: float, times: int = 1) -> None:
        self.counts[bisect_left(SECONDS, seconds)] += times
        self.sum_s += seconds * times

    def quantile(self, share: float) -> float | None:
        """Seconds within which so much of all fell, evenly within a bucket; None of nothing."""
        left = share * sum(self.counts)
        lower = 0.0
        for upper, count in zip((*SECONDS, SECONDS[-1]), self.counts, strict=True):
            if count and left <= count:
                return lower + (upper - lower) * left / count
            left -= count
            lower = upper
        return None

    def add(self, other: "Histogram") -> None:
        self.counts = [
            mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)
        ]
        self.sum_s += other.sum_s


class Series(msgspec.Struct):
    """What is counted for one model on one upstream. The hot path keeps a reference for a
    request.
    """

    model: str
    upstream: str
    statuses: list[int] = msgspec.field(default_factory=lambda: [0] * 6)
    """Answers by the first digit of their status; [0] counts clients that left before one."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    charge_nano: int = 0
    first_token: Histogram = msgspec.field(default_factory=Histogram)
    inter_token: Histogram = msgspec.field(default_factory=Histogram)
    duration: Histogram = msgspec.field(default_factory=Histogram)

    def answered(self, status: int, duration_s: float) -> None:
        """One request ended. `status` 0: the client left before it got one."""
        self.statuses[status // 100] += 1
        self.duration.observe(duration_s)

    def charged(self, prompt: int, completion: int, cached: int, nano: int) -> None:
        """What settling booked: tokens as the ledger has them, money in nano-USD."""
        self.prompt_tokens += prompt
        self.completion_tokens += completion
        self.cached_tokens += cached
        self.charge_nano += nano

    def streamed(self, first_s: float, mean_gap_s: float, gaps: int) -> None:
        """Time to the first token, and the mean time of the `gaps` between it and the last one.

        The mean stands for each gap: one bucket operation a request instead of one a token.
        """
        self.first_token.observe(first_s)
        if gaps:
            self.inter_token.observe(mean_gap_s, gaps)

    def add(self, other: "Series") -> None:
        self.statuses = [a + b for a, b in zip(self.statuses, other.statuses, strict=True)]
        self.charged(
            other.prompt_tokens, other.completion_tokens, other.cached_tokens, other.charge_nano
        )
        self.first_token.add(other.first_token)
        self.inter_token.add(other.inter_token)
        self.duration.add(other.duration)


class Snapshot(msgspec.Struct, kw_only=True):
    """All numbers of a process (or of several, merged) at one moment."""

    series: list[Series] = []
    rejected: dict[str, int] = {}
    holds: int = 0
    ends: dict[End, int] = {}
    """Holds that ended, by how."""
    fills: dict[str, int] = {}
    """Answers in which Baton made a field itself, by field."""
    contents: dict[ContentEnd, int] = {}
    """Contents that were to be kept, by what became of them."""
    refusals: dict[RefusalEnd, int] = {}
    """Refused requests, likewise."""
    journal_wait: Histogram = msgspec.field(default_factory=Histogram)
    in_flight: int = 0
    holds_open: int = 0
    processes: int = 1
    """Relay processes that live now: gauges of dead ones are dropped, their counters are kept."""
    upstreams: list[UpstreamNumbers] = []
    lines: dict[str, int] = {}
    """Of the log, by level (`diary.COUNTED`)."""
    condition: Condition = msgspec.field(default_factory=Condition)
    left: bool = False
    """Whether its process has ended as it should."""
    lost: int = 0
    """Processes that ended otherwise: killed, or by a crash."""

    def end(self) -> None:
        """Its process is no more: only what it counted stands."""
        self.in_flight = self.holds_open = self.processes = 0
        self.condition = Condition()
        self.lost += not self.left
        self.upstreams = [each.ended() for each in self.upstreams]

    def upstream(self, name: str) -> UpstreamNumbers:
        """The numbers of an upstream; none where nobody has any."""
        found = (each for each in self.upstreams if each.name == name)
        return next(found, UpstreamNumbers(name))

    def times(self, upstream: str) -> tuple[Histogram, Histogram]:
        """To its first token and between tokens, over all models."""
        first, between = Histogram(), Histogram()
        for series in self.series:
            if series.upstream == upstream:
                first.add(series.first_token)
                between.add(series.inter_token)
        return first, between


class Counting(Protocol):
    """What is added to the numbers when somebody asks for them."""

    def count(self, metrics: "Metrics") -> None: ...


class Metrics:
    """The numbers of this process. One thread (the loop's) writes; `snapshot` is taken on it
    too.
    """

    __slots__ = (
        "_ended",
        "_pairs",
        "_past_upstreams",
        "condition",
        "contents",
        "ends",
        "fills",
        "holds",
        "holds_lost",
        "in_flight",
        "journal_wait",
        "lines",
        "lost",
        "refusals",
        "rejections",
        "upstreams",
    )

    def __init__(self) -> None:
        self.upstreams: Callable[[], list[UpstreamNumbers]] = list
        """Asked when somebody wants to know: set by who has the upstreams."""
        self.condition: Callable[[], Condition] = Condition
        """Likewise."""
        self._past_upstreams: list[UpstreamNumbers] = []
        self._pairs: dict[tuple[str, str], Series] = {}
        self._ended: list[Counting] = []
        self.rejections: dict[str, int] = dict.fromkeys(REASONS, 0)
        self.journal_wait = Histogram()
        self.in_flight = 0
        """Completions under way: the relay adds and subtracts."""
        self.holds = 0
        self.holds_lost = 0
        """Holds that were open when an adopted process ended: the ledger's recovery ends them."""
        self.ends: dict[End, int] = dict.fromkeys(ENDS, 0)
        self.fills: dict[str, int] = {}
        self.contents: dict[ContentEnd, int] = dict.fromkeys(CONTENT_ENDS, 0)
        self.refusals: dict[RefusalEnd, int] = dict.fromkeys(REFUSAL_ENDS, 0)
        self.lines: dict[str, int] = dict.fromkeys(COUNTED, 0)
        self.lost = 0

    def series(self, model: str, upstream: str) -> Series:
        """The numbers of this pair. Give only configured names, or "" for what was never routed."""
        found = self._pairs.get((model, upstream))
        return found if found is not None else self._new(model, upstream)

    def rejected(self, reason: Reason) -> None:
        self.rejections[reason] += 1

    def ended(self, turn: Counting) -> None:
        """Count it when somebody asks, or with `ENDED_MAX` others."""
        self._ended.append(turn)
        if len(self._ended) >= ENDED_MAX:
            self._count()

    def _count(self) -> None:
        ended, self._ended = self._ended, []
        for turn in ended:
            turn.count(self)

    def held(self) -> None:
        self.holds += 1

    def hold_ended(self, end: End) -> None:
        self.ends[end] += 1

    def filled(self, fields: Iterable[str]) -> None:
        """Give only names of fields from the code: whatever a caller may send bounds nothing."""
        for field in fields:
            self.fills[field] = self.fills.get(field, 0) + 1

    def contents_ended(self, end: ContentEnd, times: int = 1) -> None:
        self.contents[end] += times

    def refusal_ended(self, end: RefusalEnd, times: int = 1) -> None:
        self.refusals[end] += times

    def snapshot(self) -> Snapshot:
        """The live numbers, not a copy: encode or merge it before the loop turns."""
        self._count()
        return Snapshot(
            series=list(self._pairs.values()),
            rejected=self.rejections,
            holds=self.holds,
            ends=self.ends,
            fills=self.fills,
            contents=self.contents,
            refusals=self.refusals,
            journal_wait=self.journal_wait,
            in_flight=self.in_flight,
            holds_open=self.holds - self.holds_lost - sum(self.ends.values()),
            upstreams=added([*self._past_upstreams, *self.upstreams()]),
            lines=self.lines,
            condition=self.condition(),
            lost=self.lost,
        )

    def adopt(self, past: Snapshot) -> None:
        """Go on counting where an ended process stopped, so that the sum of all never falls."""
        for series in past.series:
            self.series(series.model, series.upstream).add(series)
        for reason, count in past.rejected.items():
            known = reason if reason in self.rejections else "other"
            self.rejections[known] += count
        self._past_upstreams = added([*self._past_upstreams, *past.upstreams])
        self.holds += past.holds
        self.holds_lost += past.holds - sum(past.ends.values())
        for end in ENDS:
            self.ends[end] += past.ends.get(end, 0)
        for field, count in past.fills.items():
            self.fills[field] = self.fills.get(field, 0) + count
        for kept in CONTENT_ENDS:
            self.contents[kept] += past.contents.get(kept, 0)
        for noted in REFUSAL_ENDS:
            self.refusals[noted] += past.refusals.get(noted, 0)
        self.journal_wait.add(past.journal_wait)
        for level in COUNTED:
            self.lines[level] += past.lines.get(level, 0)
        self.lost += past.lost

    def _new(self, model: str, upstream: str) -> Series:
        if len(self._pairs) >= SERIES_MAX:
            model = upstream = OTHER
            if (model, upstream) in self._pairs:
                return self._pairs[model, upstream]
        series = self._pairs[model, upstream] = Series(model, upstream)
        return series


def merge(live: Iterable[Snapshot]) -> Snapshot:
    """One snapshot with the sums of several; none of them is changed."""
    total, snapshots = Metrics(), list(live)
    for snapshot in snapshots:
        total.adopt(snapshot)
    merged = total.snapshot()
    merged.in_flight = sum(each.in_flight for each in snapshots)
    merged.holds_open = sum(each.holds_open for each in snapshots)
    merged.processes = sum(each.processes for each in snapshots)
    for each in snapshots:
        merged.condition.add(each.condition)
    return merged
