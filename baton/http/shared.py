"""What all connections of a worker have in common, and the sweep that keeps their times.

A time limit is one number per connection, `deadline`, compared twice a second: no timer per
request, and no clock read either, as deadlines count from the last sweep. So a limit is never met
early, and late by two sweeps at most.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from email.utils import formatdate
from typing import Any, Protocol

from uvicorn.server import ServerState

from baton.config import Settings
from baton.errors import RequestError
from baton.http.bodies import bodies
from baton.http.exchange import Exchange, HeaderPair, Line
from baton.http.heads import misdirected
from baton.http.hosts import allowed
from baton.http.usual import Usual
from baton.telemetry import diary
from baton.telemetry.metrics import Metrics
from baton.telemetry.refused import Asked

SWEEP_S = 0.5
NEVER = float("inf")
DRAIN_HEADER_TIMEOUT_S = 1.0
"""How long a stopping server waits for the request of a connection that is new."""
DRAIN_IDLE_S = 2.0
"""How long a stopping server waits for one more request on a connection that was used before."""
LINGER_S = 2.0
"""How long what a refused client still sends is read, and thrown away."""
MISDIRECTED_TOLD_S = 60.0
WRITE_BUFFER_BYTES = 8 * 1024
"""Unsent bytes beyond which a stream waits for its client: about forty tokens."""
SEND_BUFFER_BYTES = 32 * 1024
"""In the kernel, for each client (accepted sockets have what the listener has). Left to itself it
takes megabytes for a client that does not read, and each of its bytes came from an upstream."""
WHOLE_SEND_BUFFER_BYTES = 256 * 1024
"""The same where what is to be sent is here as a whole: a few segments of 64 KiB, which is what a
loopback has. With less, each waits until the client's system acknowledges the one before, 40 ms
after it: an answer of 300 kB took 92 to 136 ms instead of one."""
Room = Callable[[Exchange], Coroutine[Any, Any, None]]
"""Runs an exchange to its end: it answers every exchange and raises nothing."""


class Flight(Protocol):
    """A request that the fast path answers."""

    def begin(self) -> None:
        """Do what can be done at once. It is its connection's by now."""

    def lost(self) -> None:
        """Its client is gone."""

    def land(self) -> None:
        """Let it go on in the room, as an exchange (`FlightLine.land`), unless its end is near."""


class FlightLine(Line, Protocol):
    """What the fast path needs of the connection of a request."""

    def flown(self, flight: Flight) -> None:
        """Its answer is out."""

    def land(self, exchange: Exchange, room: Room, forsaken: Callable[[], None]) -> None:
        """The flight goes on as this exchange, in a task of the connection; `forsaken` is called
        where that is cancelled before it begins."""

    def answers(self, exchange: Exchange) -> None:
        """The flight is answered as this exchange now, in the same call."""


Boarding = Callable[[FlightLine, Usual, bytes], Flight | None]
"""Begin a request with this head and body on the fast path; None, and nothing done, where it is
not for it."""


Noting = Callable[[RequestError, Sequence[HeaderPair], Callable[[], Asked]], None]
"""Note what was refused at the edge: why, with which headers, and what was asked."""


def unnoted(error: RequestError, headers: Sequence[HeaderPair], asked: Callable[[], Asked]) -> None:
    """Nobody wants to know."""


class Shared:
    """One for all connections of a worker."""

    note: Noting = staticmethod(unnoted)

    def __init__(
        self,
        settings: Settings,
        room: Room,
        board: Boarding | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self.settings, self.room, self.board = settings, room, board
        self._metrics = metrics or Metrics()
        self._misdirected, self._told_s = 0, -NEVER
        self.hosts = allowed(settings.allowed_hosts, settings.own_names)
        """By which it may be asked for; None for any."""
        self.bodies = bodies(settings.body_bytes_max)
        """On their way."""
        self.draining = False
        self.exchanges = 0
        """Completions under way."""
        self.date = b""
        """A whole header line, renewed by the sweep: formatting it costs 3 µs."""
        self.now = 0.0
        """Loop time at the last sweep."""

    @property
    def crowded(self) -> bool:
        """Whether no more completions may begin."""
        return self.exchanges >= self.settings.requests_in_flight_max

    def misdirected(self, target: bytes, headers: Iterable[HeaderPair]) -> RequestError | None:
        """What is wrong with the name that Baton is asked for by. It is counted, and told, a line a
        minute at most: a list that lacks a name shuts its callers out, but anybody may ask by any.
        """
        error = None if self.hosts is None else misdirected(self.hosts, target, headers)
        if error is not None:
            self._refused_host(error)
        return error

    def _refused_host(self, error: RequestError) -> None:
        self._metrics.rejected("host")
        self._misdirected += 1
        if self.now >= self._told_s + MISDIRECTED_TOLD_S:
            # A terminal may show it, and do as it says.
            why = error.message.encode("ascii", "backslashreplace").decode()
            diary.warning("host refused", reason=why, requests=self._misdirected)
            self._misdirected, self._told_s = 0, self.now

    def renew(self, now: float) -> None:
        """Note the time, as the loop tells it."""
        self.now = now
        self.date = b"date: " + formatdate(usegmt=True).encode() + b"\r\n"


class Timed:
    """A connection whose time may run out."""

    deadline = NEVER
    """Loop time."""

    def overdue(self) -> None:
        """The deadline has passed."""
        raise NotImplementedError


async def sweep(shared: Shared, states: Sequence[ServerState]) -> None:
    """Renew the date and end what is overdue; runs until its task is cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        with diary.outliving("watching connections"):
            now = loop.time()
            shared.renew(now)
            for connection in [each for state in states for each in state.connections]:
                if isinstance(connection, Timed) and connection.deadline < now:
                    connection.overdue()
        await asyncio.sleep(SWEEP_S)
