"""A snapshot in Prometheus' text format: name, meaning and labels of every metric that Baton
shows.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from baton.telemetry.metrics import (
    SECONDS,
    ContentEnd,
    End,
    Histogram,
    RefusalEnd,
    Series,
    Snapshot,
)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LABELS = ("model", "upstream")
COUNTERS = (
    ("prompt_tokens", "Tokens of prompts, as charged."),
    ("completion_tokens", "Tokens of completions, as charged."),
    ("cached_tokens", "Prompt tokens that an upstream took from its cache."),
    ("charge_nano", "Charged to callers, in nano-USD."),
)
HISTOGRAMS = (
    ("first_token", "time_to_first_token", "From a request's arrival to its first token."),
    ("inter_token", "inter_token", "Between two tokens: each request's mean, counted once a gap."),
    ("duration", "request_duration", "From a request's arrival to the end of its answer."),
)
UPSTREAM_COUNTERS = (
    ("handoffs", "handoffs", "Calls that went on elsewhere."),
    ("ejections", "upstream_ejections", "Times that it was passed over for many failures."),
    ("failed_calls", "upstream_failed_calls", "Calls that could not be placed there."),
    ("lost_streams", "upstream_lost_streams", "Answers that broke off."),
    (
        "hedges_started",
        "hedges_started",
        "Requests that it did not begin to answer in time: another one was asked as well.",
    ),
    ("hedges_won", "hedges_won", "Of these, requests that the other one answered."),
)
UPSTREAM_GAUGES = (
    ("in_flight", "Calls under way or waiting."),
    ("waiting", "Of these, calls that wait for a place there."),
)
CONDITIONS = (
    ("journals_failing", "journals_failing", "Relay processes whose journal takes no rows."),
    (
        "unfolded_s",
        "unfolded_seconds",
        "For how long ended requests have waited to be in the book; the longest of all processes.",
    ),
    (
        "counting_apart",
        "counting_apart",
        "Relay processes that count rates without the other nodes (BATON_REDIS_URL).",
    ),
)
ENGINE_GAUGES = (
    ("running", "Choices that the engine computes now."),
    ("waiting", "Choices that wait for the engine."),
    ("sequences_max", "Choices that it can compute side by side."),
    ("kept_tokens", "Tokens in the memory of its sequences, at work or kept for later prompts."),
    ("context_tokens_max", "Tokens that one sequence can hold."),
)
ENGINE_COUNTERS = (
    ("steps", "Batches that the engine has computed."),
    ("prompt_tokens", "Prompt tokens that the engine was given."),
    ("generated_tokens", "Tokens that the engine has generated."),
    ("cached_tokens", "Prompt tokens that the engine had in its cache."),
    ("prompts", "Prompts that the engine has begun."),
    ("reused_prompts", "Of these, prompts whose beginning was in its cache."),
    ("batch_tokens", "Tokens in all batches that the engine has computed."),
    ("batch_sequences", "Sequences in all batches that the engine has computed."),
    ("drafted_tokens", "Tokens that the engine has computed on trial."),
    ("accepted_tokens", "Of these, tokens that came true."),
)
ENGINE_HISTOGRAMS = (
    ("step", "What the engine takes for one batch."),
    ("queue", "From a call's acceptance to the first batch that serves it."),
)


class Silent:
    """An engine that should answer and does not."""


class EngineNumbers(Protocol):
    """What the engine counts of itself (`baton.engine.wire.Description` has it)."""

    @property
    def running(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def prompt_tokens(self) -> int: ...
    @property
    def generated_tokens(self) -> int: ...
    @property
    def cached_tokens(self) -> int: ...
    @property
    def sequences_max(self) -> int: ...
    @property
    def context_tokens_max(self) -> int: ...
    @property
    def kept_tokens(self) -> int: ...
    @property
    def prompts(self) -> int: ...
    @property
    def reused_prompts(self) -> int: ...
    @property
    def batch_tokens(self) -> int: ...
    @property
    def batch_sequences(self) -> int: ...
    @property
    def drafted_tokens(self) -> int: ...
    @property
    def accepted_tokens(self) -> int: ...
    @property
    def step(self) -> Histogram: ...
    @property
    def queue(self) -> Histogram: ...


class Exposition(Collector):
    """One scrape: a merged snapshot, and what the engine says of itself."""

    def __init__(
        self, snapshot: Snapshot, engine: EngineNumbers | Silent | None, version: str
    ) -> None:
        self.snapshot, self.engine, self.version = snapshot, engine, version

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("baton_build", "What runs here.", {"version": self.version})
        yield from self._gauges()
        yield from self._series()
        yield from self._upstreams()
        yield from self._ledger()
        yield from self._condition()
        if self.engine is not None:
            yield from engine_families(self.engine)

    def _gauges(self) -> Iterator[Metric]:
        one = self.snapshot
        yield GaugeMetricFamily("baton_workers", "Relay processes alive.", one.processes)
        yield GaugeMetricFamily("baton_requests_in_flight", "Completions under way.", one.in_flight)
        yield GaugeMetricFamily("baton_holds_open", "Holds not yet ended.", one.holds_open)

    def _series(self) -> Iterator[Metric]:
        series = self.snapshot.series
        requests = CounterMetricFamily(
            "baton_requests", "Requests by the class of their status.", labels=(*LABELS, "status")
        )
        for one in series:
            for digit, count in enumerate(one.statuses):
                if count:
                    status = f"{digit}xx" if digit else "gone"
                    requests.add_metric((one.model, one.upstream, status), count)
        yield requests
        for name, meaning in COUNTERS:
            unit = "charge_nano_usd" if name == "charge_nano" else name
            yield counters(f"baton_{unit}", meaning, name, series)
        for attribute, name, meaning in HISTOGRAMS:
            yield histograms(f"baton_{name}_seconds", meaning, attribute, series)

    def _upstreams(self) -> Iterator[Metric]:
        found = self.snapshot.upstreams
        states = GaugeMetricFamily(
            "baton_upstream_state",
            "Relay processes for which it is in this state.",
            labels=("upstream", "state"),
        )
        for each in found:
            for state, count in each.states.items():
                states.add_metric((each.name, state), count)
        yield states
        for name, meaning in UPSTREAM_GAUGES:
            gauge = GaugeMetricFamily(f"baton_upstream_{name}", meaning, labels=("upstream",))
            for each in found:
                gauge.add_metric((each.name,), getattr(each, name))
            yield gauge
        for attribute, name, meaning in UPSTREAM_COUNTERS:
            family = CounterMetricFamily(f"baton_{name}", meaning, labels=("upstream",))
            for each in found:
                family.add_metric((each.name,), getattr(each, attribute))
            yield family

    def _ledger(self) -> Iterator[Metric]:
        one = self.snapshot
        yield CounterMetricFamily("baton_holds", "Holds that were reserved.", value=one.holds)
        yield by_name("baton_holds_ended", "Holds that ended, by how.", "end", one.ends)
        wait = HistogramMetricFamily(
            "baton_journal_wait_seconds", "Waits for the journal's commit."
        )
        wait.add_metric((), *buckets(one.journal_wait))
        yield wait
        meaning = "Requests refused before any upstream was asked."
        yield by_name("baton_rejected", meaning, "reason", one.rejected)
        yield by_name("baton_fills", "Answers with a field that Baton made.", "field", one.fills)
        meaning = "Contents to be kept, by whether they were or gave way."
        yield by_name("baton_contents", meaning, "end", one.contents)
        meaning = "Refused requests, by whether each has a row, is counted in one, or gave way."
        yield by_name("baton_refusals", meaning, "end", one.refusals)

    def _condition(self) -> Iterator[Metric]:
        one = self.snapshot
        for attribute, name, meaning in CONDITIONS:
            yield GaugeMetricFamily(f"baton_{name}", meaning, getattr(one.condition, attribute))
        meaning = "Relay processes that ended other than they should: killed, or by a crash."
        yield CounterMetricFamily("baton_workers_lost", meaning, value=one.lost)
        meaning = "Lines that relay processes logged of what is not as it should be, by level."
        yield by_name("baton_log_lines", meaning, "level", one.lines)


def by_name(
    name: str,
    meaning: str,
    label: str,
    counts: Mapping[End, int]
    | Mapping[ContentEnd, int]
    | Mapping[RefusalEnd, int]
    | Mapping[str, int],
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, meaning, labels=(label,))
    for value, count in counts.items():
        family.add_metric((value,), count)
    return family


def counters(
    name: str, meaning: str, attribute: str, series: Iterable[Series]
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, meaning, labels=LABELS)
    for one in series:
        family.add_metric((one.model, one.upstream), getattr(one, attribute))
    return family


def histograms(
    name: str, meaning: str, attribute: str, series: Iterable[Series]
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, meaning, labels=LABELS)
    for one in series:
        histogram: Histogram = getattr(one, attribute)
        family.add_metric((one.model, one.upstream), *buckets(histogram))
    return family


def buckets(histogram: Histogram) -> tuple[list[tuple[str, float]], float]:
    """Prometheus' buckets are cumulative; the last one counts everything."""
    names = [*(str(bound) for bound in SECONDS), "+Inf"]
    sums = accumulate(histogram.counts)
    return [(name, float(count)) for name, count in zip(names, sums, strict=True)], histogram.sum_s


def engine_families(engine: EngineNumbers | Silent) -> Iterator[Metric]:
    up = not isinstance(engine, Silent)
    yield GaugeMetricFamily("baton_engine_up", "1 where the engine answers, else 0.", int(up))
    if isinstance(engine, Silent):
        return
    for name, meaning in ENGINE_GAUGES:
        yield GaugeMetricFamily(f"baton_engine_{name}", meaning, getattr(engine, name))
    for name, meaning in ENGINE_COUNTERS:
        yield CounterMetricFamily(f"baton_engine_{name}", meaning, value=getattr(engine, name))
    for name, meaning in ENGINE_HISTOGRAMS:
        family = HistogramMetricFamily(f"baton_engine_{name}_seconds", meaning)
        family.add_metric((), *buckets(getattr(engine, name)))
        yield family


def render(snapshot: Snapshot, engine: EngineNumbers | Silent | None, version: str) -> bytes:
    """The body of GET /metrics; `engine` is None where there is none to answer."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Exposition(snapshot, engine, version))
    return generate_latest(registry)
