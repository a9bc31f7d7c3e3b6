"""Further attempts are a tenth of the requests."""

from hypothesis import given
from hypothesis import strategies as st

from baton.routing.budget import RETRIES_MAX, RETRIES_MIN, Budget


def taken(budget: Budget, now_s: float, most: int = 10_000) -> int:
    """How many attempts it gives at one moment."""
    count = 0
    while count < most and budget.take(now_s):
        count += 1
    return count


def test_a_tenth_of_the_requests() -> None:
    """Beyond what a quiet relay has at the start."""
    budget = Budget()
    assert RETRIES_MIN == taken(budget, 0.0)
    budget.requests += 50
    assert (5, 2) == (taken(budget, 0.0), budget.refused)


def test_saving_has_an_end() -> None:
    """A thousand good hours are no right to a storm."""
    budget = Budget()
    budget.requests += 10**9
    assert RETRIES_MAX == taken(budget, 0.0)


def test_the_quiet_get_some_back() -> None:
    """One a second, up to the least; time adds nothing above it."""
    budget = Budget()
    taken(budget, 0.0)
    assert [1, 1, RETRIES_MIN] == [taken(budget, at) for at in (1.0, 2.0, 100.0)]
    budget.requests += 100
    assert 10 == taken(budget, 100.0)


def test_what_was_not_used_comes_back() -> None:
    """Once more may be taken, and nothing beyond what may be saved."""
    budget = Budget(tokens_min=2.0, tokens_max=2.0)
    assert budget.take(0.0)
    budget.give_back()
    assert 2 == taken(budget, 0.0)
    for _ in range(3):
        budget.give_back()
    assert 2 == taken(budget, 0.0)


@given(st.lists(st.tuples(st.integers(0, 100), st.floats(0, 5)), max_size=40))
def test_never_more_than_granted(steps: list[tuple[int, float]]) -> None:
    """Whatever comes when: a tenth of all requests, the start, and one a second."""
    budget, now_s, count = Budget(), 0.0, 0
    for requests, wait_s in steps:
        budget.requests += requests
        now_s += wait_s
        count += taken(budget, now_s)
        assert count <= 0.1 * budget.requests + RETRIES_MIN + now_s + 1e-6
