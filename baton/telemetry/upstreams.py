"""How each upstream fares, as plain data that crosses processes and adds up."""

from collections.abc import Iterable

import msgspec

WORST_FIRST = ("ejected", "half-open", "paused", "suspect", "warming", "healthy")
"""States of health: what an operator is told first."""


class StateChange(msgspec.Struct, frozen=True, kw_only=True):
    """A relay process came to see an upstream in another state."""

    at_us: int
    upstream: str
    worker: str
    """The process, by the name of its machine and its number."""
    state: str
    """ejected, half-open, warming or healthy"""
    reason: str
    """Phase, kind and status of the failure that brought it; "" where none did."""


class UpstreamNumbers(msgspec.Struct):
    """One upstream, as one relay process sees it (or several, merged)."""

    name: str
    states: dict[str, int] = {}
    """Relay processes by the state that it is in for them."""
    in_flight: int = 0
    ejections: int = 0
    failed_calls: int = 0
    """Calls that could not be placed."""
    lost_streams: int = 0
    """Answers that broke off."""
    handoffs: int = 0
    """Calls that went on elsewhere."""
    waiting: int = 0
    """Of `in_flight`, calls that wait for a place there."""
    hedges_started: int = 0
    """Requests for which another one was asked as well, as this one did not begin in time."""
    hedges_won: int = 0
    """Of these, requests that the other one answered."""

    @property
    def state(self) -> str:
        """The worst one."""
        return next((state for state in WORST_FIRST if self.states.get(state)), "healthy")

    def add(self, other: "UpstreamNumbers") -> None:
        for state, count in other.states.items():
            self.states = {**self.states, state: self.states.get(state, 0) + count}
        self.in_flight += other.in_flight
        self.waiting += other.waiting
        self.ejections += other.ejections
        self.failed_calls += other.failed_calls
        self.lost_streams += other.lost_streams
        self.handoffs += other.handoffs
        self.hedges_started += other.hedges_started
        self.hedges_won += other.hedges_won

    def ended(self) -> "UpstreamNumbers":
        """Of a process that is no more: what it counted, and nothing that it was."""
        return msgspec.structs.replace(self, states={}, in_flight=0, waiting=0)


def added(found: Iterable[UpstreamNumbers]) -> list[UpstreamNumbers]:
    """One of each name, with the sums; none of those given is changed."""
    sums: dict[str, UpstreamNumbers] = {}
    for each in found:
        sums.setdefault(each.name, UpstreamNumbers(each.name)).add(each)
    return list(sums.values())
