"""An upstream in use: what is configured of it, how it fares, and what runs there.

A Site lives as long as its upstream's configuration stays as it is, over all snapshots. It is the
`Watch` of its upstream, and a `Place` in the order of asking: pure decisions about it stand in
`routing/health.py` and `routing/order.py`; here they meet the clock.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

from baton.routing.health import Health, Standing
from baton.telemetry import diary
from baton.telemetry.upstreams import UpstreamNumbers
from baton.upstreams.base import Upstream, UpstreamError, Watch

UNLIMITED = 1_000_000_000
"""Calls under way at an upstream that queues them itself."""
CHANGES_MAX = 64
"""Changes of state that wait for somebody to tell of them; then the oldest are forgotten."""


class Change(NamedTuple):
    """A change of state that lasts."""

    ago_s: float
    state: Standing
    reason: str
    """Phase, kind and status of the failure that brought it; "" where none did."""


class Watched(Upstream, Protocol):
    """An upstream that tells how it fares, and how much runs there."""

    watch: Watch

    @property
    def in_flight(self) -> int: ...
    @property
    def waiting(self) -> int: ...


class Site:
    """One upstream's place. `clock` gives seconds of one monotonic clock."""

    __slots__ = (
        "_changes",
        "_clock",
        "_standing",
        "failed_calls",
        "handoffs",
        "health",
        "hedge_after_s",
        "hedges_started",
        "hedges_won",
        "in_flight_max",
        "lost_streams",
        "name",
        "priority",
        "upstream",
        "weight",
    )

    def __init__(
        self,
        name: str,
        upstream: Watched,
        *,
        priority: int = 0,
        weight: int = 100,
        in_flight_max: int = UNLIMITED,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name, self.upstream = name, upstream
        self.priority, self.weight, self.in_flight_max = priority, weight, in_flight_max
        self.hedge_after_s: float | None = None
        """Until another one is asked as well, where it has not begun to answer; None: never."""
        self.health = Health()
        self.failed_calls = 0
        """Calls that could not be placed, since the start."""
        self.lost_streams = 0
        """Answers that broke off, since the start."""
        self.handoffs = 0
        """Calls that went on elsewhere: counted by who hands over."""
        self.hedges_started = self.hedges_won = 0
        """Requests for which another one was asked as well, and those that it answered."""
        self._standing: Standing = "healthy"
        """As it was noted last."""
        self._changes: deque[tuple[float, Standing, str]] = deque(maxlen=CHANGES_MAX)
        self._clock = clock
        upstream.watch = self

    def __repr__(self) -> str:
        return f"<Site {self.name} {self.state} in_flight={self.in_flight}>"

    @property
    def in_flight(self) -> int:
        return self.upstream.in_flight

    @property
    def state(self) -> str:
        return self.health.state(self._clock())

    @property
    def troubled(self) -> bool:
        return self.health.troubled

    def failed(self, error: UpstreamError) -> None:
        """Judge by phase and kind. Its own words for "too many" are a wish, not a failure; and our
        own queue in front of it says nothing of it at all."""
        if error.phase == "connect" and error.kind == "overloaded":
            return
        now_s, health = self._clock(), self.health
        if error.kind == "overloaded" and (error.status != 503 or error.retry_after_s is not None):
            return health.pause(now_s, error.retry_after_s)
        placed = error.phase == "stream"
        if placed:
            self.lost_streams += 1
        else:
            self.failed_calls += 1
        ejections = health.ejections
        health.failed(now_s, placed=placed)
        if health.ejections > ejections:
            seconds = round(health.until_s - now_s)
            diary.warning(
                "upstream ejected", upstream=self.name, seconds=seconds, reason=error.detail
            )
            status = "" if error.status is None else f" {error.status}"
            self._note(now_s, f"{error.phase} {error.kind}{status}")
        return None

    def probed(self, error: UpstreamError | None) -> None:
        """Somebody asked only whether it is there. Breaks in a row end by whole answers alone."""
        if error is not None:
            self.failed(error)
        elif self.troubled and not self.health.breaks:
            self.accepted()

    def numbers(self) -> UpstreamNumbers:
        """What is told of it."""
        return UpstreamNumbers(
            name=self.name,
            states={self.state: 1},
            in_flight=self.in_flight,
            waiting=self.upstream.waiting,
            ejections=self.health.ejections,
            failed_calls=self.failed_calls,
            lost_streams=self.lost_streams,
            handoffs=self.handoffs,
            hedges_started=self.hedges_started,
            hedges_won=self.hedges_won,
        )

    def noted(self) -> list[Change]:
        """Changes of its state since this was asked, oldest first; those that only time brings are
        noted now."""
        now_s = self._clock()
        if self.health.standing(now_s) != self._standing:
            self._note(now_s)
        found = [Change(now_s - at_s, state, reason) for at_s, state, reason in self._changes]
        self._changes.clear()
        return found

    def count_on(self, earlier: "Site") -> None:
        """Take over what was counted in an earlier form of the same upstream: sums never fall."""
        self.failed_calls, self.lost_streams = earlier.failed_calls, earlier.lost_streams
        self.handoffs, self.health.ejections = earlier.handoffs, earlier.health.ejections
        self.hedges_started, self.hedges_won = earlier.hedges_started, earlier.hedges_won
        self._standing, self._changes = earlier._standing, earlier._changes

    def accepted(self) -> None:
        now_s = self._clock()
        self.health.accepted(now_s)
        if self._standing == "ejected" or self._standing == "half-open":
            self._note(now_s)

    def whole(self) -> None:
        self.health.whole(self._clock())

    def _note(self, now_s: float, reason: str = "") -> None:
        self._standing = self.health.standing(now_s)
        self._changes.append((now_s, self._standing, reason))
