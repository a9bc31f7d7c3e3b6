"""Counting: what the hot path adds is what a snapshot shows, and sums of processes are sums."""

import time
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from baton.telemetry.metrics import OTHER, SECONDS, SERIES_MAX, Histogram, Metrics, merge


def one_request(metrics: Metrics) -> None:
    series = metrics.series("tiny", "embedded")
    metrics.in_flight += 1
    metrics.held()
    metrics.journal_wait.observe(0.004)
    series.streamed(0.03, 0.012, 15)
    series.charged(12, 16, 4, 2_500)
    series.answered(200, 0.21)
    metrics.hold_ended("settled")
    metrics.in_flight -= 1


def test_a_request_is_counted_once_everywhere() -> None:
    """After one request each counter has grown by exactly what the request was."""
    metrics = Metrics()
    one_request(metrics)
    shot = metrics.snapshot()
    (series,) = shot.series
    assert [0, 0, 1, 0, 0, 0] == series.statuses
    assert (12, 16, 4, 2_500) == (
        series.prompt_tokens,
        series.completion_tokens,
        series.cached_tokens,
        series.charge_nano,
    )
    assert (1, 15, 1) == (
        sum(series.first_token.counts),
        sum(series.inter_token.counts),
        sum(series.duration.counts),
    )
    assert (1, 0, 0, 1) == (
        shot.holds,
        shot.holds_open,
        shot.in_flight,
        sum(shot.journal_wait.counts),
    )


@given(st.lists(st.floats(0, 1_000)))
def test_each_time_falls_into_the_first_bucket_that_holds_it(times: list[float]) -> None:
    """A bucket counts the times up to and including its bound, as Prometheus defines `le`."""
    histogram = Histogram()
    for seconds in times:
        histogram.observe(seconds)
    bounds = (0.0, *SECONDS, float("inf"))
    expected = [
        sum(low < seconds <= high or (low == 0.0 == seconds) for seconds in times)
        for low, high in pairwise(bounds)
    ]
    assert expected == histogram.counts


def test_labels_are_bounded() -> None:
    """However many models are named, there are at most SERIES_MAX pairs and one for all others."""
    metrics = Metrics()
    for number in range(SERIES_MAX + 50):
        metrics.series(f"model-{number}", "upstream").answered(200, 0.1)
    series = metrics.snapshot().series
    assert SERIES_MAX + 1 == len(series)
    assert 50 == metrics.series(OTHER, OTHER).statuses[2]


def test_merging_adds_counters_and_gauges_and_changes_no_part() -> None:
    """The sum of two processes is the sum of their numbers; the parts stay what they were."""
    first, second = Metrics(), Metrics()
    one_request(first)
    one_request(second)
    second.in_flight = 3
    second.rejected("rate")
    for metrics in (first, second):
        metrics.filled(("echo",))
        metrics.contents_ended("kept", 2)
        metrics.refusal_ended("summed", 3)
    before = first.snapshot().series[0].prompt_tokens
    merged = merge([first.snapshot(), second.snapshot()])
    assert (24, 2, 3, 2) == (
        merged.series[0].prompt_tokens,
        merged.holds,
        merged.in_flight,
        merged.processes,
    )
    assert 1 == merged.rejected["rate"]
    assert {"settled": 2, "released": 0, "interrupted": 0} == merged.ends
    assert {"echo": 2} == merged.fills
    assert {"kept": 4, "dropped": 0} == merged.contents
    assert {"kept": 0, "summed": 6, "dropped": 0} == merged.refusals
    assert before == first.snapshot().series[0].prompt_tokens


def test_open_holds_of_the_dead_are_not_ours() -> None:
    """Whoever adopts the counts of a process that died with a hold open has only its own open."""
    dead, living = Metrics(), Metrics()
    one_request(dead)
    dead.held()
    past = dead.snapshot()
    assert 1 == past.holds_open
    past.end()
    living.held()
    living.adopt(past)
    one_request(living)
    shot = living.snapshot()
    assert (4, 1, 2) == (shot.holds, shot.holds_open, shot.ends["settled"])


def test_a_request_costs_little() -> None:
    """All counting of one request stays far below what the relay may spend on it (2 µs on a quiet
    core).

    The bound here is ten times that: this test guards against locks, not against a busy machine.
    """
    metrics, best_s = Metrics(), float("inf")
    for _ in range(5):
        start = time.thread_time()
        for _ in range(2_000):
            one_request(metrics)
        best_s = min(best_s, (time.thread_time() - start) / 2_000)
    assert best_s < 20e-6, f"{best_s * 1e6:.2f} µs a request"
