"""How upstreams fared, as pages draw it: a strip of states, bars and lines over time. Pure.

A state is told by colour and by height: the worse, the higher. The unit of a drawing's width is one
slot, of its height a percent.
"""

from collections.abc import Callable, Sequence
from itertools import groupby

import msgspec

from baton.web.admin_history import HistorySlot, SlotState

HEIGHT = 100.0
LINE_HEIGHT = 94.0
"""A line has a width: its highest value must not be cut."""
HEIGHTS: dict[SlotState, float] = {
    "idle": 10.0,
    "healthy": 40.0,
    "warming": 55.0,
    "degraded": 70.0,
    "half-open": 85.0,
    "ejected": 100.0,
}


class Run(msgspec.Struct, frozen=True):
    """Slots that follow each other in one state."""

    x: int
    width: int
    state: SlotState
    from_us: int
    until_us: int

    @property
    def height(self) -> float:
        return HEIGHTS[self.state]


class Strip(msgspec.Struct, frozen=True, kw_only=True):
    """An upstream's states over a window, and sums of all its slots."""

    upstream: str
    width: int
    runs: list[Run]
    requests: int
    failures: int
    """Calls that could not be placed, and answers that broke off."""
    handoffs: int
    ejections: int

    @property
    def states(self) -> list[SlotState]:
        """Those that there were, the worst first."""
        found = {run.state for run in self.runs}
        return sorted(found, key=lambda state: -HEIGHTS[state])


def strip(upstream: str, slots: Sequence[HistorySlot], span_s: int) -> Strip:
    runs, x = [], 0
    for state, same in groupby(slots, key=lambda slot: slot.state):
        group = list(same)
        until_us = group[-1].start_us + span_s * 10**6
        runs.append(Run(x, len(group), state, group[0].start_us, until_us))
        x += len(group)
    return Strip(
        upstream=upstream,
        width=x,
        runs=runs,
        requests=sum(slot.requests for slot in slots),
        failures=sum(slot.failed_calls + slot.lost_streams for slot in slots),
        handoffs=sum(slot.handoffs for slot in slots),
        ejections=sum(slot.ejections for slot in slots),
    )


class Bar(msgspec.Struct, frozen=True):
    """A part of a slot's bar."""

    name: str
    x: int
    y: float
    height: float


class Bars(msgspec.Struct, frozen=True):
    """Counts over time, on top of each other; `most` is what the full height stands for."""

    bars: list[Bar]
    most: int


def bars(slots: Sequence[HistorySlot], names: Sequence[str]) -> Bars:
    """Of these fields of slots."""
    most = max((sum(getattr(slot, name) for name in names) for slot in slots), default=0)
    found = []
    for x, slot in enumerate(slots):
        top = HEIGHT
        for name in names:
            if count := getattr(slot, name):
                height = round(HEIGHT * count / most, 2)
                top = round(top - height, 2)
                found.append(Bar(name, x, max(0.0, top), height))
    return Bars(found, most)


class Lines(msgspec.Struct, frozen=True):
    """Values over time, as paths of SVG by name; `most` is what the full height stands for."""

    paths: dict[str, str]
    most: float | None


def lines(slots: Sequence[HistorySlot], names: Sequence[str]) -> Lines:
    """Of these fields; a slot without a value is a gap."""
    values = [getattr(slot, name) for name in names for slot in slots]
    most: float | None = max((each for each in values if each is not None), default=None)
    if not most:
        return Lines({}, most)

    def y(value: float) -> float:
        return round(HEIGHT - LINE_HEIGHT * value / most, 2)

    return Lines({name: _path([getattr(slot, name) for slot in slots], y) for name in names}, most)


def _path(values: Sequence[float | None], y: Callable[[float], float]) -> str:
    """A step for each value, joined to the one before where there is one."""
    steps, joined = [], False
    for x, value in enumerate(values):
        if value is not None:
            steps.append(f"{'L' if joined else 'M'}{x} {y(value)}h1")
        joined = value is not None
    return "".join(steps)
