"""Several keys of one upstream: each request goes out with the next one that is not resting.

A key that is refused (401, 403) rests long, one that asked too much (429) as long as the upstream
says, else shortly; the same request goes on with the next key at once. When all rest, the one that
rests least goes out all the same, and what it is answered is the answer: its status, and the time
to wait, tell what is so. `KeyRing` decides and holds no clock; `RotatingTransport` sends.
"""

from collections.abc import Sequence

import msgspec

from baton.upstreams.base import HttpRequest
from baton.upstreams.dialer import Dialer
from baton.upstreams.endpoint import Endpoint
from baton.upstreams.refusals import seconds
from baton.upstreams.response import Response
from baton.upstreams.transport import Transport

REFUSED_REST_S = 300.0
"""An operator may have put a key right by then."""
BUSY_REST_S = 5.0
"""Where a 429 names no time."""
BUSY = 429
ROTATING_STATUSES = frozenset({401, 403, BUSY})

Headers = tuple[tuple[str, str], ...]


class KeyRing:
    """Which key is next. Pure: times come in."""

    def __init__(self, count: int) -> None:
        self._rests_until = [0.0] * count
        self._next = 0

    def take(self, now: float) -> int:
        """The next key in turn that does not rest, else the one that rests least."""
        rests = self._rests_until
        count = len(rests)
        for step in range(count):
            number = (self._next + step) % count
            if rests[number] <= now:
                self._next = number + 1
                return number
        return min(range(count), key=rests.__getitem__)

    def rest(self, number: int, until: float) -> None:
        """Do not take this key before then, if another will do."""
        self._rests_until[number] = max(self._rests_until[number], until)

    def ready(self, now: float) -> bool:
        """Whether any key does not rest."""
        return any(until <= now for until in self._rests_until)


class RotatingTransport(Transport):
    """A transport that sends each request with one of several keys."""

    def __init__(
        self,
        endpoint: Endpoint,
        headers: Headers,
        dialer: Dialer | None,
        keys: Sequence[Headers],
    ) -> None:
        super().__init__(endpoint, headers, dialer)
        self._keys = keys
        self._ring = KeyRing(len(keys))

    async def send(self, request: HttpRequest, tenant: str = "") -> Response:
        """As Transport.send. A key that is not accepted is followed by the others, each once."""
        for _ in self._keys[1:]:
            number, response = await self._send(request, tenant)
            if response.status not in ROTATING_STATUSES:
                return response
            self._ring.rest(number, self._loop.time() + _rest_s(response))
            if not self._ring.ready(self._loop.time()):
                return response
            response.dismiss()
        number, response = await self._send(request, tenant)
        if response.status in ROTATING_STATUSES:
            self._ring.rest(number, self._loop.time() + _rest_s(response))
        return response

    async def _send(self, request: HttpRequest, tenant: str) -> tuple[int, Response]:
        number = self._ring.take(self._loop.time())
        headers = (*self._keys[number], *request.headers)
        keyed = msgspec.structs.replace(request, headers=headers)
        return number, await super().send(keyed, tenant)


def _rest_s(response: Response) -> float:
    if response.status != BUSY:
        return REFUSED_REST_S
    return seconds(response.header("retry-after")) or BUSY_REST_S
