"""Rates: as many as the limit within a minute, of all limits or none, and the truth is told."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton.admission import rates
from baton.admission.rates import CELLS, MINUTE_NS, Decision, Left, Limit, duration

S_NS = 1_000_000_000


class Rows:
    """The cells of some limits, and a clock."""

    def __init__(self, *limits: Limit) -> None:
        self.limits, self.cells = limits, [0] * CELLS * len(limits)
        self.rows = range(0, CELLS * len(limits), CELLS)

    def arrive(self, at_ns: int) -> Decision | None:
        return rates.arrive(self.limits, self.cells, self.rows, at_ns)

    def reserve(self, tokens: int, at_ns: int) -> Decision | None:
        return rates.reserve(self.limits, self.cells, self.rows, tokens, at_ns)

    def end(self, reserved: int, used: int, at_ns: int) -> None:
        rates.end(self.limits, self.cells, self.rows, (reserved, used), at_ns)

    def left(self, at_ns: int) -> list[Left]:
        pairs = zip(self.limits, self.rows, strict=True)
        return [rates.left(limit, self.cells, row, at_ns) for limit, row in pairs]


def limit(scope: str = "key:a", **limits: int) -> Limit:
    return Limit(scope, f"the {scope}", **limits)


@given(
    st.integers(1, 200),
    st.lists(st.integers(0, 20 * S_NS), min_size=1, max_size=300),
    st.integers(0, 2**60),
)
def test_no_minute_has_more(per_minute: int, gaps: list[int], began: int) -> None:
    """In any minute at most twice the limit less one pass (a full one before, its refill after),
    at one instant never more than the limit; and who waits as told passes."""
    rows, passed = Rows(limit(requests_per_minute=per_minute)), []
    for at_ns in itertools.accumulate(gaps, initial=began):
        decision = rows.arrive(at_ns)
        assert decision is not None
        if decision.allowed:
            passed.append(at_ns)
        else:
            later = Rows(*rows.limits)
            later.cells = list(rows.cells)
            again = later.arrive(at_ns + math.ceil(decision.wait_s * 1e9) + 1000)
            assert again is not None
            assert again.allowed
    for first in passed:
        assert sum(first <= at < first + MINUTE_NS for at in passed) < 2 * per_minute + 1
        assert passed.count(first) <= per_minute


def test_a_minute_at_once_then_evenly() -> None:
    """The whole minute may be used at once; then one each 60/limit seconds."""
    rows = Rows(limit(requests_per_minute=3))
    told = [rows.arrive(0) for _ in range(4)]
    assert [(True, 2), (True, 1), (True, 0), (False, 0)] == [
        (each.allowed, each.remaining) for each in told if each is not None
    ]
    refused = told[-1]
    assert refused is not None
    assert (20.0, 60.0) == (refused.wait_s, refused.reset_s)
    assert refused.headers() == (
        ("x-ratelimit-limit-requests", "3"),
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", "1m0s"),
    )
    again = rows.arrive(20 * S_NS)
    assert again is not None
    assert again.allowed


def test_all_limits_or_none() -> None:
    """What one limit refuses counts nowhere; the refusal names the scope that lasts longest."""
    wide, narrow = limit("team:t", requests_per_minute=100), limit(requests_per_minute=1)
    rows = Rows(narrow, wide, limit("user:u", requests_at_once=1))
    first, second = rows.arrive(0), rows.arrive(0)
    assert first is not None
    assert second is not None
    assert ("the key:a", True, 0) == (first.name, first.allowed, first.remaining), "the tightest"
    assert ("the key:a", False, 60.0) == (second.name, second.allowed, second.wait_s)
    assert [Left(0, None, None), Left(99, None, None), Left(None, None, 0)] == rows.left(0)
    rows.end(0, 0, MINUTE_NS)
    assert [Left(1, None, None), Left(100, None, None), Left(None, None, 1)] == rows.left(MINUTE_NS)


def test_requests_at_once() -> None:
    """As many as the limit run; one that ends lets the next one in."""
    rows = Rows(limit("team:t"), limit(requests_at_once=2))
    assert [None, None] == [rows.arrive(0), rows.arrive(0)]
    refused = rows.arrive(0)
    assert refused is not None
    assert ("at_once", False, 1.0, ()) == (
        *(refused.kind, refused.allowed),
        *(refused.wait_s, refused.headers()),
    )
    lowered = rates.left(limit(requests_at_once=1), rows.cells, CELLS, 0)
    assert 0 == lowered.at_once, "more run than may by now"
    rows.end(0, 0, 0)
    assert Left(None, None, 1) == rows.left(0)[1]
    assert rows.arrive(0) is None
    assert rows.arrive(0) == refused
    for _ in range(3):
        rows.end(0, 0, 0)
    assert Left(None, None, 2) == rows.left(0)[1], "an end too many gives nothing"


def test_tokens_are_reserved_then_counted() -> None:
    """A reservation stands until its request ends, however long; then what was used counts."""
    rows = Rows(limit(tokens_per_minute=600))
    first = rows.reserve(400, 0)
    assert first is not None
    assert (True, 200) == (first.allowed, first.remaining)
    refused = rows.reserve(300, 10 * MINUTE_NS)
    assert refused is not None
    assert (False, 200) == (refused.allowed, refused.remaining)
    rows.end(400, 100, 10 * MINUTE_NS)
    assert [Left(None, 500, None)] == rows.left(10 * MINUTE_NS)
    assert [Left(None, 600, None)] == rows.left(10 * MINUTE_NS + 10 * S_NS)
    never = rows.reserve(601, 20 * MINUTE_NS)
    assert never is not None
    assert (False, math.inf) == (never.allowed, never.wait_s)
    assert rates.reserve((limit(),), [0] * CELLS, [0], 5, 0) is None, "nothing counts tokens"


def test_what_was_used_cannot_be_reserved() -> None:
    """Whatever row a limit's cells are in: of two limits each has its own."""
    rows = Rows(
        limit("team:t", tokens_per_minute=6_000, requests_at_once=9),
        limit(tokens_per_minute=600, requests_at_once=1),
    )
    assert rows.arrive(0) is None
    assert rows.reserve(500, 0) == Decision("tokens", "the key:a", True, 600, 100, 50.0)
    rows.end(500, 400, 0)
    assert [Left(None, 5_600, 9), Left(None, 200, 1)] == rows.left(0)
    refused = Decision("tokens", "the key:a", False, 600, 200, 40.0, 10.0)
    assert rows.reserve(300, 0) == refused
    assert [Left(None, 5_600, 9), Left(None, 200, 1)] == rows.left(0)
    assert rows.reserve(200, 0) == Decision("tokens", "the key:a", True, 600, 0, 60.0)
    assert [None, False] == [each and each.allowed for each in (rows.arrive(0), rows.arrive(0))]
    rows.end(300, 0, 0)
    assert [Left(None, 5_600, 9), Left(None, 200, 1)] == rows.left(0), "no more than was reserved"


@given(
    st.integers(1, 12) | st.sampled_from([200, rates.RATE_MAX, rates.RATE_MAX + 1, 10**12]),
    st.lists(st.sampled_from([0, 1, S_NS, 7 * S_NS, MINUTE_NS, -(10**15)]), max_size=40),
)
def test_a_single_limit_is_as_any_other(per_minute: int, gaps: list[int]) -> None:
    """Also after a clock that began anew, and beyond the greatest rate."""
    alone = limit(requests_per_minute=per_minute)
    rows, cells = Rows(limit("team:t"), alone), [0] * 2 * CELLS
    for at_ns in itertools.accumulate(gaps, initial=10**18):
        assert rows.arrive(at_ns) == rates.arrive_alone(alone, cells, CELLS, at_ns)
        assert rows.cells == cells
    assert rates.arrive_alone(limit(), cells, CELLS, 0) is None


def test_as_header_lines() -> None:
    """The same as by name; nothing of requests at once."""
    for decision in (
        Decision("requests", "the key:a", True, 3, 2, 20.0),
        Decision("tokens", "the key:a", False, 600, 0, 59.2, 1.0),
        Decision("at_once", "the key:a", False, 2, 0, 0.0, 1.0),
    ):
        told = "".join(f"{name}: {value}\r\n" for name, value in decision.headers())
        assert told.encode() == decision.lines()


@pytest.mark.parametrize("cell", range(CELLS))
def test_a_row_that_says_something_is_not_idle(cell: int) -> None:
    """Whichever of its cells does."""
    cells = [0] * 2 * CELLS
    assert rates.idle(cells, CELLS, 5)
    cells[CELLS + cell] = 6
    assert not rates.idle(cells, CELLS, 5)
    assert rates.idle(cells, 0, 5)


@given(
    st.lists(
        st.tuples(st.integers(0, 30 * S_NS), st.integers(1, 700), st.floats(0, 1)), max_size=60
    )
)
def test_tokens_never_exceed_the_minute(steps: list[tuple[int, int, float]]) -> None:
    """What is used within a minute and what may still be used never exceed twice the limit
    (a full minute before, its refill after), nor the limit at one instant."""
    per_minute, now_ns = 600, 0
    rows, pending, used = Rows(limit(tokens_per_minute=per_minute)), [], []
    for gap_ns, tokens, share in steps:
        now_ns += gap_ns
        decision = rows.reserve(tokens, now_ns)
        assert decision is not None
        if decision.allowed:
            pending.append((tokens, int(tokens * share)))
        elif pending:
            reserved, spent = pending.pop(0)
            rows.end(reserved, spent, now_ns)
            used.append((now_ns, spent))
        recent = sum(spent for at_ns, spent in used if at_ns > now_ns - MINUTE_NS)
        assert sum(reserved for reserved, _ in pending) <= per_minute
        assert recent + sum(reserved for reserved, _ in pending) <= 2 * per_minute
        at_once = sum(spent for at_ns, spent in used if at_ns == now_ns)
        assert at_once + sum(reserved for reserved, _ in pending) <= per_minute


def test_times_of_another_boot_count_nothing() -> None:
    """A clock that begins anew locks nobody out; more than a minute has is a minute."""
    rows = Rows(limit(requests_per_minute=1, tokens_per_minute=10))
    assert rows.arrive(10**18) is not None
    assert [Left(1, 10, None)] == rows.left(5)
    rows.end(0, 10**9, 5)
    assert [Left(1, 0, None)] == rows.left(5)
    assert not rates.idle(rows.cells, 0, 5)
    assert rates.idle(rows.cells, 0, 5 + MINUTE_NS)


def test_no_limit_no_decision() -> None:
    """Where nothing limits requests there is nothing to tell."""
    assert Rows(limit()).arrive(0) is None
    assert Rows().arrive(0) is None
    assert [Left(None, None, None)] == Rows(limit()).left(0)
    assert (False, True) == (
        limit(requests_per_minute=1).lasting,
        limit(tokens_per_minute=1).lasting,
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.12, "120ms"), (1, "1s"), (59.2, "1m0s"), (360, "6m0s"), (0.0001, "1ms"), (0, "0ms")],
)
def test_durations(seconds: float, text: str) -> None:
    """As OpenAI writes them, rounded up."""
    assert text == duration(seconds)
