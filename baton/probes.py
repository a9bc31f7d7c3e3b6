"""Active probes: an upstream is asked whether it is there, where its operator wants that.

Off by default: requests tell how an upstream fares (`routing/health.py`), and a probe tells less:
it asks for the list of models. What it is good for is an upstream that seldom has requests, or
whose first failing ones would be missed. Any answer below 500 is one: also a 401 or 404 shows a
server that answers. A good probe ends an upstream's row of refusals; not its row of answers that
broke off, since only a request can tell that these are over. Each worker probes for itself.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from baton.sites import Site
from baton.telemetry import diary
from baton.upstreams.base import HttpRequest, UpstreamError
from baton.upstreams.failures import failure
from baton.upstreams.registry import Dialect

LOOK_S = 0.25
PROBE_TIMEOUT_S = 5.0
"""Or the interval, if that is less."""
FAULTY_STATUS = 500


class Probed(Protocol):
    """An HTTP upstream, as far as it is asked here."""

    async def status(self, request: HttpRequest) -> int:
        """Raises UpstreamError."""
        ...


def question(dialect: Dialect) -> HttpRequest:
    """Cheap, and known to nearly every server."""
    path = "/v1/models" if dialect.several_roots else "/models"
    return HttpRequest(path=path, body=b"", method="GET")


class Probe:
    """How one upstream is asked."""

    def __init__(
        self, site: Site, upstream: Probed, request: HttpRequest, interval_s: float
    ) -> None:
        self._site, self._upstream, self._request = site, upstream, request
        self.interval_s = interval_s
        self.next_s = 0.0

    async def ask(self) -> None:
        """Once, and tell its site."""
        if self._site.in_flight >= self._site.in_flight_max:
            return  # it would wait in line; those who run will tell
        with diary.outliving("probing an upstream"):
            await self._ask()

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(min(PROBE_TIMEOUT_S, self.interval_s)):
                status = await self._upstream.status(self._request)
        except TimeoutError:
            self._site.probed(failure("first_byte", "timeout", "a probe"))
        except UpstreamError as error:
            self._site.probed(error)
        else:
            bad = status >= FAULTY_STATUS
            told = failure("first_byte", "status", f"a probe: {status}") if bad else None
            self._site.probed(told)


class Probes:
    """All that are asked in one worker, by name. `clock` gives seconds of one monotonic clock."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._probes: dict[str, Probe] = {}

    def put(self, name: str, probe: Probe) -> None:
        """From now on, in place of what there was."""
        probe.next_s = self._clock() + probe.interval_s
        self._probes[name] = probe

    def forget(self, name: str) -> None:
        self._probes.pop(name, None)

    async def run(self) -> None:
        """For ever, each in its interval."""
        async with asyncio.TaskGroup() as group:
            while True:
                for probe in self.due():
                    group.create_task(probe.ask())
                await asyncio.sleep(LOOK_S)

    def due(self) -> list[Probe]:
        """Whose time has come; each is given once an interval."""
        now_s = self._clock()
        found = [probe for probe in self._probes.values() if probe.next_s <= now_s]
        for probe in found:
            probe.next_s = now_s + probe.interval_s
        return found
