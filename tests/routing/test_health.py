"""The state machine of an upstream's health, in simulated time."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from baton.routing.health import (
    EJECTION_S,
    EJECTION_S_MAX,
    FAILURES_MAX,
    PAUSE_S,
    PAUSE_S_MAX,
    PROBE_S,
    WARMING_S,
    WARMING_SHARE_MIN,
    Health,
)


def refused(times: int, now_s: float = 0.0, health: Health | None = None) -> Health:
    health = health or Health()
    for _ in range(times):
        health.failed(now_s, placed=False)
    return health


def test_a_failure_makes_a_suspect_for_a_moment() -> None:
    """Longer with each in a row; a call that is taken clears it at once."""
    waits = [refused(times, 10.0).until_s - 10.0 for times in (1, 2, 3, 4)]
    assert [0.1, 0.2, 0.4, 0.8] == [round(wait, 9) for wait in waits]
    health = refused(2, 10.0)
    assert ("suspect", False) == (health.state(10.1), health.available(10.1))
    assert ("healthy", True, True) == (health.state(10.3), health.available(10.3), health.troubled)
    health.accepted(10.15)
    assert ("healthy", False) == (health.state(10.15), health.troubled)


def test_one_at_a_time_where_it_is_doubtful() -> None:
    """From the second failure in a row on, until a call is taken, or says nothing for long."""
    health = refused(1, 10.0)
    health.asked(10.2)
    assert health.available(10.2), "one failure is no reason to hold others back"
    refused(1, 10.2, health)
    health.asked(10.5)
    assert ("suspect", False) == (health.state(10.5), health.available(10.5))
    assert not health.ejected(10.5 + PROBE_S)
    assert health.available(10.5 + PROBE_S)
    refused(1, 10.6, health)
    assert health.available(11.1), "the next one, once its time is over"
    health.asked(11.1)
    health.accepted(11.2)
    health.asked(11.2)
    assert ("healthy", True) == (health.state(11.2), health.available(11.2))


def test_a_row_of_failures_ejects() -> None:
    """The fifth; each time for longer, up to a limit; failures of the ejected do not add to it."""
    health, now_s, waits = Health(), 100.0, []
    for number in range(12):
        refused(FAILURES_MAX if not number else 1, now_s, health)
        assert ("ejected", False, True) == (
            health.state(now_s),
            health.available(now_s),
            health.ejected(now_s),
        )
        waits.append(health.until_s - now_s)
        refused(3, now_s, health)
        now_s = health.until_s
    assert [EJECTION_S * n for n in range(1, 11)] + [EJECTION_S_MAX] * 2 == waits
    assert 12 == health.ejections


def test_half_open_lets_one_through() -> None:
    """The first to be asked closes the door behind it until it has told, or told nothing."""
    health = refused(FAILURES_MAX)
    now_s = EJECTION_S
    assert ("half-open", True) == (health.state(now_s), health.available(now_s))
    health.asked(now_s)
    assert not health.available(now_s)
    assert health.ejected(now_s)
    assert health.available(now_s + PROBE_S)
    health.accepted(now_s + 1)
    assert ("warming", True) == (health.state(now_s + 1), health.available(now_s + 1))


def test_it_comes_back_slowly() -> None:
    """A tenth of its share at first, all of it in the end; one failure meanwhile ejects again."""
    health = refused(FAILURES_MAX)
    health.accepted(EJECTION_S)
    shares = [health.share(EJECTION_S + at) for at in (0, WARMING_S / 2, WARMING_S)]
    assert [WARMING_SHARE_MIN, 0.5, 1.0] == shares
    health.whole(EJECTION_S + WARMING_S)
    assert ("healthy", False) == (health.state(EJECTION_S + WARMING_S), health.troubled)
    again = refused(FAILURES_MAX)
    again.accepted(EJECTION_S)
    again.failed(EJECTION_S + 1, placed=True)
    assert ("ejected", 2 * EJECTION_S) == (
        again.state(EJECTION_S + 1),
        again.until_s - EJECTION_S - 1,
    )


def test_a_long_good_time_is_forgiven() -> None:
    """The next ejection is a first one again."""
    health = refused(FAILURES_MAX)
    health.accepted(EJECTION_S)
    later_s = EJECTION_S + EJECTION_S_MAX + 1
    health.whole(later_s)
    refused(FAILURES_MAX, later_s, health)
    assert EJECTION_S == health.until_s - later_s


def test_what_always_breaks_off_is_found_out() -> None:
    """Accepting does not end a row of breaks; only a whole answer does."""
    health = Health()
    for _ in range(FAILURES_MAX):
        health.accepted(0.0)
        health.failed(0.0, placed=True)
    assert "ejected" == health.state(0.0)
    health.whole(1.0)
    assert ("ejected", EJECTION_S) == (health.state(1.0), health.until_s), "it sits that out"
    fair = Health()
    for _ in range(2 * FAILURES_MAX):
        fair.failed(0.0, placed=True)
        fair.whole(0.0)
    assert ("healthy", 0) == (fair.state(0.0), fair.ejections)


def test_old_answers_do_not_excuse_refusals() -> None:
    """What was accepted before still ends well, but nothing new is taken."""
    health = Health()
    for _ in range(FAILURES_MAX):
        health.failed(0.0, placed=False)
        health.whole(0.0)
    assert "ejected" == health.state(0.0)


def test_a_named_time_is_kept() -> None:
    """Up to a limit; it is no failure. Without a time it is passed over for a moment, if others
    are there."""
    health = Health()
    health.pause(5.0, 12.0)
    assert ("paused", False) == (health.state(16.9), health.available(16.9))
    assert ("healthy", True) == (health.state(17.0), health.available(17.0))
    health.whole(17.0)
    assert not health.troubled
    health.pause(20.0, 1e6)
    assert PAUSE_S_MAX == health.paused_until_s - 20.0
    other = Health()
    other.pause(0.0, None)
    assert ("suspect", PAUSE_S, False) == (other.state(0.0), other.until_s, other.ejected(0.0))
    assert (0, 0) == (health.refusals, health.breaks)


class Machine(RuleBasedStateMachine):
    """Any order of events, at any times."""

    def __init__(self) -> None:
        super().__init__()
        self.health, self.now_s = Health(), 1000.0

    @rule(seconds=st.floats(0.01, 400))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(placed=st.booleans())
    def fail(self, placed: bool) -> None:
        before = self.health.ejections
        self.health.failed(self.now_s, placed=placed)
        assert not self.health.available(self.now_s)
        assert self.health.ejections - before in (0, 1)

    @rule()
    def accept(self) -> None:
        self.health.accepted(self.now_s)
        assert not self.health.ejected(self.now_s)

    @rule()
    def end(self) -> None:
        self.health.whole(self.now_s)

    @rule()
    def ask(self) -> None:
        self.health.asked(self.now_s)

    @rule(told=st.none() | st.floats(0.001, 1e5))
    def pause(self, told: float | None) -> None:
        self.health.pause(self.now_s, told)
        assert not self.health.available(self.now_s)
        assert told is None or self.health.state(self.now_s) == "paused"

    @precondition(lambda self: not self.health.troubled)
    @rule()
    def untroubled(self) -> None:
        assert ("healthy", 1.0) == (
            self.health.state(self.now_s),
            self.health.share(self.now_s),
        )

    @invariant()
    def bounded(self) -> None:
        """Nobody is shut out for longer than the longest ejection; shares are shares."""
        health, now_s = self.health, self.now_s
        later_s = now_s + EJECTION_S_MAX + PROBE_S + 1e-6
        assert health.available(later_s)
        assert WARMING_SHARE_MIN <= health.share(now_s) <= 1
        assert health.until_s - now_s <= EJECTION_S_MAX + 1e-6
        assert health.paused_until_s - now_s <= PAUSE_S_MAX + 1e-6
        if health.state(now_s) in ("healthy", "warming"):
            assert health.available(now_s)
        if health.state(now_s) != "healthy":
            assert health.troubled


Machine.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestMachine = Machine.TestCase
