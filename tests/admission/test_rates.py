"""Requests per minute: never more in any minute than allowed twice, exactly as many at once."""

from hypothesis import given
from hypothesis import strategies as st

from baton.admission.rates import Decision, Rate, duration

limits = st.integers(1, 10_000)


@given(limits, st.floats(0, 1e9))
def test_a_whole_minute_at_once(limit: int, now_s: float) -> None:
    """A rested key may send its minute's requests at once, and not one more."""
    rate = Rate()
    decisions = [rate.admit(limit, now_s) for _ in range(limit + 1)]
    assert [True] * limit + [False] == [decision.allowed for decision in decisions]
    assert list(range(limit - 1, -1, -1)) == [decision.remaining for decision in decisions[:-1]]


@given(limits, st.lists(st.floats(0, 90), max_size=50))
def test_waiting_as_told_is_enough(limit: int, pauses: list[float]) -> None:
    """Whoever waits as long as told passes; a refusal uses nothing up."""
    rate, now_s = Rate(), 1_000.0
    for _ in range(limit):
        rate.admit(limit, now_s)
    for pause in pauses:
        now_s += pause
        decision = rate.admit(limit, now_s)
        if not decision.allowed:
            assert 0 < decision.wait_s <= 60 / limit
            now_s += decision.wait_s + 1e-9
            assert rate.admit(limit, now_s).allowed


@given(st.integers(1, 60), st.lists(st.floats(0, 5), min_size=100, max_size=200))
def test_no_window_has_more_than_its_share(limit: int, pauses: list[float]) -> None:
    """In any stretch of time at most limit + limit × minutes requests pass."""
    rate, now_s, passed = Rate(), 0.0, []
    for pause in pauses:
        now_s += pause
        if rate.admit(limit, now_s).allowed:
            passed.append(now_s)
    for start in range(len(passed)):
        for end in range(start, len(passed)):
            minutes = (passed[end] - passed[start]) / 60
            assert end - start + 1 <= limit + limit * minutes + 0.01


def test_headers() -> None:
    """What is left, in OpenAI's words."""
    rate = Rate()
    first = rate.admit(60, 100.0)
    assert Decision(True, 0.0, 60, 59, 1.0) == first
    expected = {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
    }
    assert expected == dict(first.headers())


def test_durations() -> None:
    """As OpenAI writes them; never rounded down."""
    written = [duration(seconds) for seconds in (0.0, 0.0005, 0.12, 1.0, 1.2, 59.5, 60.0, 361.0)]
    assert ["0ms", "1ms", "120ms", "1s", "2s", "1m0s", "1m0s", "6m1s"] == written


def test_limit_that_changes_keeps_what_was_used() -> None:
    """A raised limit gives more at once; a lowered one does not give back."""
    rate = Rate()
    for _ in range(10):
        assert rate.admit(10, 0.0).allowed
    assert not rate.admit(10, 0.0).allowed
    assert rate.admit(20, 6.0).allowed
