"""In which order the upstreams of a model are asked, by how they are at this moment. Pure.

Priority comes first. Among equals the first place goes, in this order of reasons, to one that

1. is neither ejected, suspect nor paused (`health.py`) and has room (`in_flight_max`),
2. is the seat of the prompt (`affinity.py`) and carries at most LOAD_MAX times its share of what
   runs; with too much on it, the seat of the next deeper beginning is asked; without a seat,
3. the less loaded of two that are drawn by weight (Mitzenmacher's power of two choices), where load
   is calls under way for each unit of weight, and weight shrinks while an upstream warms up.

The others follow by load, for retries. Behind them stand those that nobody trusts now. Of the
upstreams of one priority at most half are passed over: the rest of the untrusted is asked where all
trusted ones are full, so that a few survivors are not buried. Where nobody is trusted, all are
asked alike: one that might work beats a certain error (panic mode). One that asked to be left alone
is left alone.

The same places, time and seed give the same order, in every process.
"""

import math
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Protocol

from baton.routing.affinity import drawn, seat
from baton.routing.health import Health

LOAD_MAX = 1.25
"""Of the mean: what the seat of a hot beginning bears (Mirrokni et al., 2016)."""
EJECTED_SHARE_MAX = 0.5
"""Of the upstreams of one priority."""


class Place(Protocol):
    """An upstream that may be asked, as it is now."""

    @property
    def name(self) -> str: ...
    @property
    def priority(self) -> int: ...
    @property
    def weight(self) -> int: ...
    @property
    def in_flight(self) -> int:
        """Calls under way, and those that wait for a connection."""
        ...

    @property
    def in_flight_max(self) -> int: ...
    @property
    def health(self) -> Health: ...


class Open:
    """A place in the draw."""

    __slots__ = ("load", "number", "place", "trusted", "weight")

    def __init__(self, number: int, place: Place, share: float, trusted: bool = True) -> None:
        self.number, self.place, self.trusted = number, place, trusted
        self.weight = place.weight * share
        self.load = place.in_flight / self.weight if self.weight else math.inf

    @property
    def full(self) -> bool:
        return self.place.in_flight >= self.place.in_flight_max


def order(
    places: Sequence[Place], now_s: float, seed: int, beginnings: Callable[[], list[int]]
) -> list[int]:
    """The numbers of the places to ask, first to last; empty where all want to be left alone.

    `beginnings` are the prompt's, and only made where they matter.
    """
    numbers = sorted(range(len(places)), key=lambda number: places[number].priority)
    found: list[int] = []
    passed_over: list[int] = []
    for _, group in groupby(numbers, key=lambda number: places[number].priority):
        opened, closed = _divided(places, list(group), now_s)
        if len(opened) > 1:
            _arrange(opened, seed, beginnings)
        found += [one.number for one in opened]
        passed_over += closed
    if found:
        return found + [n for n in passed_over if not places[n].health.ejected(now_s)]
    return _panic(places, passed_over, now_s, seed)


def _divided(
    places: Sequence[Place], group: list[int], now_s: float
) -> tuple[list[Open], list[int]]:
    """Those in the draw, and those that are passed over (the paused are neither)."""
    opened: list[Open] = []
    closed: list[int] = []
    for number in group:
        place = places[number]
        health = place.health
        if not health.troubled:
            opened.append(Open(number, place, 1.0))
        elif health.available(now_s):
            opened.append(Open(number, place, health.share(now_s)))
        elif not health.paused(now_s):
            closed.append(number)
    spared = len(closed) - int(len(group) * EJECTED_SHARE_MAX)
    if opened and spared > 0:
        closed.sort(key=lambda number: -places[number].health.until_s)
        spare = [closed.pop() for _ in range(spared)]
        opened += [Open(number, places[number], 1.0, trusted=False) for number in spare]
    return opened, closed


def _arrange(opened: list[Open], seed: int, beginnings: Callable[[], list[int]]) -> None:
    """The first by affinity or draw, the others by load; then the untrusted, the full, and the
    weightless."""
    drawable = [one for one in opened if one.weight and one.trusted and not one.full]
    first = None
    if len(drawable) > 1:
        first = _seated(drawable, beginnings()) or _of_two(drawable, seed)
    opened.sort(
        key=lambda one: (one is not first, not one.weight, one.full, not one.trusted, one.load)
    )


def _seated(opened: list[Open], beginnings: list[int]) -> Open | None:
    """Where the prompt's beginning sits, unless that bears too much already."""
    if not beginnings:
        return None
    weights = [one.weight for one in opened]
    names = [one.place.name for one in opened]
    running = sum(one.place.in_flight for one in opened) + 1
    fair = LOAD_MAX * running / sum(weights)
    fit = [one.place.in_flight + 1 <= math.ceil(fair * one.weight) for one in opened]
    for beginning in beginnings:
        number = seat(beginning, names, weights)
        if fit[number]:
            return opened[number]
    for number, fits in enumerate(fit):
        weights[number] *= fits
    return opened[seat(beginnings[-1], names, weights)]


def _of_two(opened: list[Open], seed: int) -> Open:
    one = _pick(opened, drawn(seed << 1))
    others = [each for each in opened if each is not one]
    other = _pick(others, drawn(seed << 1 | 1))
    return other if other.load < one.load else one


def _pick(opened: list[Open], at: float) -> Open:
    """By weight."""
    left = at * sum(one.weight for one in opened)
    for one in opened:
        left -= one.weight
        if left < 0:
            return one
    return opened[-1]


def _panic(places: Sequence[Place], numbers: list[int], now_s: float, seed: int) -> list[int]:
    """Nobody is trusted: one of them all, drawn alike; the suspects behind it."""
    if not numbers:
        return []
    first = numbers[int(drawn(seed << 1) * len(numbers))]
    suspects = [n for n in numbers if n != first and not places[n].health.ejected(now_s)]
    return [first, *suspects]
