"""The arithmetic of a load: nearest ranks, failures by kind, nothing made up where nothing is."""

import pytest

from baton.cli.measured import Failure, Failures, Outcome, Percentiles, Tally, Times, within


@pytest.mark.parametrize(
    ("share", "value"), [(0.0, 1.0), (0.5, 1.0), (0.51, 2.0), (0.9, 5.0), (0.99, 5.0), (1.0, 9.0)]
)
def test_a_percentile_is_a_value_that_was_measured(share: float, value: float) -> None:
    """The least that so much of all is not above; of a hundred here fifty are 1, one is 9."""
    assert value == within([(1.0, 50), (2.0, 10), (5.0, 39), (9.0, 1)], share)


def test_times_are_milliseconds_to_three_digits() -> None:
    """Whatever their order; a microsecond is told as a thousandth."""
    times = Times()
    assert times.percentiles() is None
    times.add([2.0, 0.012345, 0.0000014])
    times.add([])
    assert Percentiles(12.3, 2000.0, 2000.0, 2000.0) == times.percentiles()
    alone = Times()
    alone.add([0.0000014])
    assert Percentiles(0.001, 0.001, 0.001, 0.001) == alone.percentiles()


def test_many_times_take_little_room() -> None:
    """A million between a millisecond and a second are at most 2,700 entries."""
    times = Times()
    times.add(0.001 + number % 999_000 / 1_000_000 for number in range(100_000))
    assert len(times._counts) <= 2_700
    found = times.percentiles()
    assert found is not None
    assert found.p50 == pytest.approx(51, rel=0.01)


def test_a_summary_tells_failures_apart_from_the_rest() -> None:
    """Rates and times are of whole answers; of each kind of failure the first one's words."""
    tally = Tally()
    for _ in range(3):
        tally.add(Outcome(0.1, None, 8, 0.02, (0.01, 0.03)))
    tally.add(Outcome(failure=Failure("cut", "gone")))
    tally.add(Outcome(failure=Failure("429", "slower")))
    tally.add(Outcome(failure=Failure("429", "slower still")))
    found = tally.summary(2.0)
    assert (6, 3, 2.0) == (found.requests, found.failed, found.seconds)
    assert (Failures("429", 2, "slower"), Failures("cut", 1, "gone")) == found.failures
    assert (1.5, 24, 12.0) == (
        found.requests_per_s,
        found.completion_tokens,
        found.completion_tokens_per_s,
    )
    assert Percentiles(100.0, 100.0, 100.0, 100.0) == found.latency_ms
    assert Percentiles(20.0, 20.0, 20.0, 20.0) == found.first_text_ms
    assert Percentiles(10.0, 30.0, 30.0, 30.0) == found.between_texts_ms


def test_what_was_not_told_is_not_a_number() -> None:
    """One answer without usage, and no sum is right; no texts, no times of them."""
    tally = Tally()
    for tokens in (8, None, 8):
        tally.add(Outcome(0.1, None, tokens))
    found = tally.summary(1.0)
    assert (None, None) == (found.completion_tokens, found.completion_tokens_per_s)
    assert (None, None) == (found.first_text_ms, found.between_texts_ms)
