"""Numbers of upstreams add up over processes."""

import msgspec

from baton.telemetry.upstreams import UpstreamNumbers, added


def numbers(state: str, **counts: int) -> UpstreamNumbers:
    return UpstreamNumbers("gpu", {state: 1}, **counts)


def test_sums() -> None:
    """One of each name; what was given stays as it was."""
    given = [
        numbers("healthy", in_flight=2, ejections=1, waiting=1),
        UpstreamNumbers("other", handoffs=5),
        numbers("ejected", in_flight=3, failed_calls=4, lost_streams=6, waiting=2),
        numbers("healthy", handoffs=1, hedges_started=3, hedges_won=2),
        numbers("healthy", hedges_started=1),
    ]
    before = msgspec.msgpack.encode(given)
    one, other = added(given)
    assert before == msgspec.msgpack.encode(given)
    assert {"healthy": 3, "ejected": 1} == one.states
    assert (4, 2) == (one.hedges_started, one.hedges_won)
    assert (5, 3, 1, 4, 6, 1) == (
        one.in_flight,
        one.waiting,
        one.ejections,
        one.failed_calls,
        one.lost_streams,
        one.handoffs,
    )
    assert ("other", 5) == (other.name, other.handoffs)


def test_the_worst_state_is_told() -> None:
    """An operator hears of the worker that has trouble; of nobody, nothing bad."""
    assert "ejected" == added([numbers("healthy"), numbers("ejected"), numbers("warming")])[0].state
    assert "healthy" == UpstreamNumbers("gpu").state


def test_the_ended_keep_their_counts() -> None:
    """And are in no state any more."""
    ended = numbers("ejected", in_flight=2, waiting=1, ejections=3).ended()
    assert ({}, 0, 0, 3) == (ended.states, ended.in_flight, ended.waiting, ended.ejections)
