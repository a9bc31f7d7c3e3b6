"""What counts against an upstream, and what does not."""

import msgspec
import pytest

from baton.sites import CHANGES_MAX, Site
from baton.upstreams.base import Kind, Phase, UpstreamError
from baton.upstreams.failures import failure
from tests.fakes.scripted import Scripted
from tests.hearing import hearing


class Clock:
    now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


def site() -> Site:
    return Site("gpu", Scripted(), clock=Clock())


def overloaded(status: int, retry_after_s: float | None) -> UpstreamError:
    return UpstreamError(
        "",
        phase="first_byte",
        kind="overloaded",
        retryable=True,
        status=status,
        retry_after_s=retry_after_s,
    )


@pytest.mark.parametrize(
    ("phase", "kind", "failed", "lost"),
    [
        ("connect", "refused", 1, 0),
        ("connect", "timeout", 1, 0),
        ("send", "network", 1, 0),
        ("first_byte", "timeout", 1, 0),
        ("first_byte", "protocol", 1, 0),
        ("first_byte", "status", 1, 0),
        ("stream", "network", 0, 1),
        ("stream", "timeout", 0, 1),
        ("stream", "protocol", 0, 1),
        ("connect", "overloaded", 0, 0),
    ],
)
def test_failures(phase: Phase, kind: Kind, failed: int, lost: int) -> None:
    """Whatever keeps an answer from coming or ending counts; our own full queue does not."""
    one = site()
    one.failed(failure(phase, kind))
    assert (failed, lost) == (one.failed_calls, one.lost_streams)
    assert (failed, lost) == (one.health.refusals, one.health.breaks)


@pytest.mark.parametrize(
    ("status", "told", "state", "seconds"),
    [
        (429, None, "suspect", 1.0),
        (429, 7.0, "paused", 7.0),
        (503, 7.0, "paused", 7.0),
        (529, None, "suspect", 1.0),
        (503, None, "suspect", 0.1),
    ],
)
def test_too_much(status: int, told: float | None, state: str, seconds: float) -> None:
    """An upstream that asks for patience gets it; a bare 503 is a failure like others."""
    one = site()
    one.failed(overloaded(status, told))
    assert state == one.state
    until_s = max(one.health.paused_until_s, one.health.until_s)
    assert seconds == pytest.approx(until_s - 50.0)


def test_an_ejection_is_told_once() -> None:
    """In the log, with its name; then the watch hears of its return."""
    one = site()
    with hearing() as told:
        for _ in range(9):
            one.failed(failure("connect", "refused", "connection refused"))
    assert [("gpu", 30, "connection refused")] == [
        (entry["upstream"], entry["seconds"], entry["reason"]) for entry in told
    ]
    assert ("ejected", True) == (one.state, one.troubled)
    one.accepted()
    assert "warming" == one.state
    one.whole()
    assert one.troubled


def test_the_upstream_tells_its_site() -> None:
    """Being made is enough: the site is the watch."""
    upstream = Scripted()
    one = Site("gpu", upstream, priority=2, weight=3, in_flight_max=4)
    assert upstream.watch is one
    upstream.in_flight = 3
    assert (3, 2, 3, 4) == (one.in_flight, one.priority, one.weight, one.in_flight_max)
    assert "<Site gpu healthy in_flight=3>" == repr(one)


def test_numbers() -> None:
    """What is told of it; its counters go on in its next form, its state does not."""
    upstream = Scripted()
    one = Site("gpu", upstream, clock=Clock())
    upstream.in_flight, upstream.waiting = 2, 1
    for _ in range(5):
        one.failed(failure("stream", "network"))
    one.handoffs, one.hedges_started, one.hedges_won = 4, 3, 2
    numbers = one.numbers()
    assert ("gpu", {"ejected": 1}) == (numbers.name, numbers.states)
    assert (2, 1) == (numbers.in_flight, numbers.waiting)
    assert (1, 0, 5, 4) == (
        numbers.ejections,
        numbers.failed_calls,
        numbers.lost_streams,
        numbers.handoffs,
    )
    assert (3, 2) == (numbers.hedges_started, numbers.hedges_won)
    next_form = Site("gpu", Scripted(), clock=Clock())
    next_form.count_on(one)
    expected = msgspec.structs.replace(numbers, states={"healthy": 1}, in_flight=0, waiting=0)
    assert expected == next_form.numbers()


def told(one: Site) -> list[tuple[float, str, str]]:
    return [(each.ago_s, each.state, each.reason) for each in one.noted()]


def test_changes_of_state_are_noted() -> None:
    """Ejected and why, half-open by time, back, and healthy by time; what passes in a moment is
    none, and each is told once."""
    clock = Clock()
    one = Site("gpu", Scripted(), clock=clock)
    one.failed(failure("connect", "refused"))
    one.failed(overloaded(429, 7.0))
    assert [] == told(one)
    clock.now_s += 10
    for _ in range(4):
        one.failed(failure("first_byte", "status"))
    clock.now_s += 2
    assert [(2.0, "ejected", "first_byte status")] == told(one)
    clock.now_s += 28
    assert [(0.0, "half-open", "")] == told(one)
    one.failed(UpstreamError("", phase="first_byte", kind="status", retryable=True, status=502))
    clock.now_s += 61
    one.accepted()
    one.whole()
    clock.now_s += 31
    assert [
        (92.0, "ejected", "first_byte status 502"),
        (31.0, "warming", ""),
        (0.0, "healthy", ""),
    ] == told(one)
    assert [] == told(one)


def test_changes_go_on_in_the_next_form() -> None:
    """Configured anew it is healthy, and that is a change; those that nobody asked for are kept."""
    one = site()
    for _ in range(5):
        one.failed(failure("send", "network"))
    next_form = site()
    next_form.count_on(one)
    assert ["ejected", "healthy"] == [state for _, state, _ in told(next_form)]


def test_changes_that_nobody_asks_for_are_bounded() -> None:
    """The oldest are forgotten."""
    one = site()
    clock = one._clock
    assert isinstance(clock, Clock)
    for _ in range(CHANGES_MAX):
        clock.now_s += 400
        one.failed(failure("send", "network"))
        for _ in range(5):
            one.failed(failure("send", "network"))
        clock.now_s += 400
        one.accepted()
    assert CHANGES_MAX == len(told(one))
