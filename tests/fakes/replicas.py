"""Upstreams in simulated time, and a relay in front of them: an hour passes in a second.

world = World("abc")
world.replicas["a"].down = True
for _ in world.requests(seconds=60, per_second=50): ...   # True where it was answered
"""

import heapq
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, TypeVar

import msgspec

from baton.answer import Answer
from baton.handing import Bounds
from baton.relay import Relay
from baton.routing.budget import Budget
from baton.semantics.events import Call, Event
from baton.sites import Site
from baton.upstreams.base import Capabilities, Unwatched, UpstreamError, UpstreamStream, Watch
from baton.upstreams.failures import failure
from tests.fakes.scripted import END, EXACT, planned

Result = TypeVar("Result")


def at_once(work: Coroutine[Any, Any, Result]) -> Result:
    """What a coroutine returns that never waits."""
    try:
        work.send(None)
    except StopIteration as end:
        found: Result = end.value
        return found
    raise AssertionError("it waited")


class Replica:
    """Takes calls at once and answers them later, or fails them at once while it is `down`."""

    fingerprint: str | None = None

    def __init__(self, name: str) -> None:
        self.name = name
        self.capabilities: Capabilities = EXACT
        self.watch: Watch = Unwatched()
        self.in_flight = self.waiting = 0
        self.down = False
        self.breaks = False
        """It accepts, and breaks off."""
        self.calls: list[Call] = []

    async def open(self, call: Call) -> UpstreamStream:
        self.calls.append(call)
        if self.down:
            error = failure("first_byte", "network")
            self.watch.failed(error)
            raise error
        if self.watch.troubled:
            self.watch.accepted()
        self.in_flight += 1
        return Running(self)

    async def close(self) -> None:
        """Nothing to close."""


class Running:
    """One call under way."""

    def __init__(self, replica: Replica) -> None:
        self.replica, self.events = replica, [[END]]
        self.prompt_tokens: int | None = None

    async def read(self) -> Sequence[Event]:
        if self.events:
            return self.events.pop()
        if self.replica.breaks:
            error = failure("stream", "network")
            self.replica.watch.failed(error)
            raise error
        if self.replica.watch.troubled:
            self.replica.watch.whole()
        return ()

    def close(self) -> None:
        """It is counted out when its time is over."""


class World:
    """Time, replicas of one model, and the relay that asks them."""

    def __init__(self, names: str, service_s: float = 0.2) -> None:
        self.now_s = 1000.0
        self.service_s = service_s
        self.replicas = {name: Replica(name) for name in names}
        self.sites = {
            name: Site(name, replica, clock=self.clock) for name, replica in self.replicas.items()
        }
        self.retries = Budget()
        self.relay = Relay(self.sites, self.retries, Bounds(handoffs_max=0), self.clock)
        self._running: list[tuple[float, int, Replica, Answer]] = []
        self._number = 0

    def clock(self) -> float:
        return self.now_s

    @property
    def attempts(self) -> int:
        """Calls that any replica saw so far."""
        return sum(len(replica.calls) for replica in self.replicas.values())

    def wait(self, seconds: float) -> None:
        """Time passes; what runs ends when its time has come."""
        until_s = self.now_s + seconds
        while self._running and self._running[0][0] <= until_s:
            self.now_s, _, replica, answer = heapq.heappop(self._running)
            replica.in_flight -= 1
            try:
                while at_once(answer.read()):
                    pass
            except UpstreamError:
                answer.close()
        self.now_s = until_s

    def ask(self, prompt: str = "", service_s: float | None = None) -> str | None:
        """One request: who took it; None where nobody did."""
        self._number += 1
        plan = msgspec.structs.replace(
            planned(*self.replicas, prompts=[prompt]), seed=self._number * 2654435761 % 2**32
        )
        try:
            answer = at_once(self.relay.open(plan))
        except UpstreamError:
            return None
        ends_s = self.now_s + (self.service_s if service_s is None else service_s)
        replica = self.replicas[answer.upstream]
        heapq.heappush(self._running, (ends_s, self._number, replica, answer))
        return answer.upstream

    def requests(
        self, seconds: float, per_second: float, prompt: Callable[[int], str] = lambda _: ""
    ) -> Iterator[str | None]:
        """Requests at even distances, one after the other."""
        for number in range(round(seconds * per_second)):
            yield self.ask(prompt(number))
            self.wait(1 / per_second)
