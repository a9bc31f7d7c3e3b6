"""Which tickets failed, however many, in runs."""

from hypothesis import given
from hypothesis import strategies as st

from baton.ledger.failed import FAILURES_MAX, Failed


@given(st.sets(st.integers(min_value=1, max_value=60)))
def test_tickets(failed: set[int]) -> None:
    """Exactly those that failed have."""
    found = Failed()
    for ticket in sorted(failed):
        found.add(ticket)
    assert failed == {ticket for ticket in range(1, 62) if found.has(ticket)}
    assert bool(failed) == found.any


def test_more_than_are_remembered() -> None:
    """Beyond so many runs all older tickets count as failed: none is ever taken for durable."""
    found = Failed()
    for ticket in range(2, 2 * FAILURES_MAX + 6, 2):
        found.add(ticket)
    told = [found.has(ticket) for ticket in (1, 2, 3, 4, 5, 6, 7, 8)]
    assert told == [True, True, True, True, False, True, False, True]


def test_a_long_outage_is_one_run() -> None:
    """However many tickets fail in a row, what was durable before them stays durable."""
    found = Failed()
    for ticket in range(2, FAILURES_MAX + 4):
        found.add(ticket)
    assert not found.has(1)
    assert found.has(2)
