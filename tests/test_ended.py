"""What is told of a turn that ended: its line and its numbers, made from the same facts."""

import pytest

from baton.ended import CLIENT_GONE, Ended, rejection
from baton.errors import RequestError, bad_key, invalid, overloaded
from baton.ledger.entries import Timings
from baton.ledger.holds import Outcome
from baton.telemetry.metrics import Metrics


def ended(outcome: Outcome, error: RequestError | None = None, status: int = 200) -> Ended:
    """A turn of a quarter of a second."""
    return Ended("cmpl-1", "k1", "small", outcome, None, error, status, 1_000_000.0, 0.25)


def test_a_refusal_is_counted_by_its_reason() -> None:
    """No upstream was asked: neither its name nor a model stands for anything."""
    metrics, outcome = Metrics(), Outcome(state="released", attempts=0)
    ended(outcome, bad_key(), 401).count(metrics)
    snapshot = metrics.snapshot()
    assert 1 == snapshot.rejected["key"]
    assert [("", "", 1)] == [(s.model, s.upstream, s.statuses[4]) for s in snapshot.series]


def test_who_left_got_no_status() -> None:
    """In the line and in the numbers alike."""
    metrics, left = Metrics(), ended(Outcome(upstream="gpu"), status=CLIENT_GONE)
    left.count(metrics)
    assert [("small", "gpu", 1)] == [
        (s.model, s.upstream, s.statuses[0]) for s in metrics.snapshot().series
    ]
    line = left.line
    assert (0, 250.0, "gpu", None) == (
        line.status,
        line.total_ms,
        line.upstream,
        line.first_byte_ms,
    )
    assert 1_000_000.25 == line.time.timestamp()


@pytest.mark.parametrize(
    ("timings", "told"), [(Timings(), None), (Timings(9_000, 2_000, 40_000), 7.0)]
)
def test_the_wait_for_an_upstream(timings: Timings, told: float | None) -> None:
    """From the hold on; of who did not wait the line says nothing."""
    assert told == ended(Outcome(timings=timings)).line.queue_ms


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (bad_key(), "key"),
        (invalid("x", "prompt"), "invalid"),
        (overloaded("x", 1.0), "overloaded"),
        (RequestError(502, "x", code="upstream_error"), "other"),
    ],
)
def test_rejections_have_few_names(error: RequestError, reason: str) -> None:
    """A code that has no name of its own is `invalid` or `other`."""
    assert reason == rejection(error)
