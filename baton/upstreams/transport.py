"""The only way out: a keep-alive HTTP/1.1 client for one upstream, made to cost little per request.

Theory of operation. A transport belongs to one upstream and one event loop. It lends connections:
an idle one (the last used first, so that the others can grow old and be closed), else a new one,
else the caller waits in a line in which tenants take turns (`line.py`). What is given back goes to
whose turn it is before it becomes idle, so nobody overtakes. Who would wait too long is refused at
once.

There are no timers per request. One sweep per transport runs while it has connections, counts
ticks, and asks each connection whether it has been silent, busy or idle too long; connections note
the tick of their last byte. A limit is met within one tick after its time, never before.

A request that was written on a kept-alive connection which then closes without a byte of answer is
sent once more on a new connection: the server had closed it before the request came.

Over TLS, uvloop drops what it has received and not given out yet when the socket ends, and most
servers end it in the same moment as their answer. So there it never has any when it looks at the
socket: one read takes all (`SECURE_READ_BYTES`), and none comes in while a reader is behind.
"""

import asyncio
from collections import deque
from typing import Any

from baton.http.usual import UsualAnswers
from baton.upstreams.base import HttpRequest, UpstreamError
from baton.upstreams.connection import READ_BYTES, Body, Connection
from baton.upstreams.dialer import Dialer, TcpDialer
from baton.upstreams.endpoint import Endpoint
from baton.upstreams.failures import failure
from baton.upstreams.line import Line
from baton.upstreams.response import Response

SECURE_READ_BYTES = 128 * 1024
"""More than one read of the socket (64 KiB) and the begin of a TLS record (16 KiB) can hold."""
TICK_S_MAX = 0.25
TICK_S_MIN = 0.005
TICKS_PER_LIMIT = 8
WAITING_BLINDLY_MAX = 64
"""How many may wait (or as many as there are places) before it is known how fast the line moves."""
HOPE = 0.5
"""Of the longest wait: who would wait longer is refused at once, as the line may slow down."""
HEADS_MAX = 64
"""Distinct request heads that are kept; adapters have a handful."""


class Transport:
    """Sends requests to one upstream. Made and used inside one running event loop.

    `headers` go out with every request (the key among them): they are never logged, nor in repr.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        headers: tuple[tuple[str, str], ...] = (),
        dialer: Dialer | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.limits = limits = endpoint.limits
        self.tick, self.usual = 0, UsualAnswers()
        shortest_s = min(
            limits.first_byte_timeout_s,
            limits.stall_timeout_s,
            limits.total_timeout_s,
            limits.wait_timeout_s,
            limits.idle_s,
        )
        self.tick_s = min(TICK_S_MAX, max(TICK_S_MIN, shortest_s / TICKS_PER_LIMIT))
        self._headers = headers
        self._dialer = dialer or TcpDialer(endpoint)
        self._loop = asyncio.get_running_loop()
        read_bytes = SECURE_READ_BYTES if endpoint.secure else READ_BYTES
        self._view = memoryview(bytearray(read_bytes))
        self._heads: dict[tuple[str, str, tuple[tuple[str, str], ...]], bytes] = {}
        self._idle: deque[Connection] = deque()
        self._all: set[Connection] = set()
        self._taken = 0
        """Connections there are or that are being made: what connections_max limits."""
        self._line: Line[asyncio.Future[Connection | None]] = Line(limits.waiting_max)
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._retired = self._closed = False

    def __repr__(self) -> str:
        return (
            f"<Transport {self.endpoint.authority} connections={self._taken}"
            f" idle={len(self._idle)} waiting={len(self._line)}>"
        )

    @property
    def lent(self) -> int:
        """Connections in use or being made."""
        return self._taken - len(self._idle)

    @property
    def connections(self) -> int:
        """Open sockets, idle ones included."""
        return len(self._all)

    @property
    def waiting(self) -> int:
        """Requests in the queue for a connection."""
        return self._line.count

    async def send(self, request: HttpRequest, tenant: str = "") -> Response:
        """Send a request; returns once the status and the headers of the answer are there.

        `tenant` is whose turn it takes where requests wait. Raises UpstreamError. A cancel at any
        point closes the connection that was used.
        """
        head = self.head(request)
        connection = self._idle_connection()
        if connection is None:
            return await self._send_later(head, request, tenant)
        return await self.receive(self._write(connection, head, request.body), request, tenant)

    def begin(self, head: bytes, body: Body) -> Response | None:
        """Send a request at once, on an idle connection; None where there is none. `head` is what
        `head` made. Its answer is for `receive`, or for whoever listens."""
        connection = self._idle_connection()
        return None if connection is None else self._write(connection, head, body)

    def head(self, request: HttpRequest) -> bytes:
        """Everything before the length. ValueError where it holds what cannot be sent."""
        head = self._heads.get((request.method, request.path, request.headers))
        return self._make_head(request) if head is None else head

    async def receive(self, response: Response, request: HttpRequest, tenant: str = "") -> Response:
        """Returns once the status and the headers are there; of a request that is sent once more,
        those of its second answer. Raises as `send`."""
        try:
            await response.wait_head()
        except UpstreamError as error:
            soon = self._loop.time() - response.sent_s <= self.limits.stale_window_s
            answered = bool(response.received_bytes)
            if not response.reused or error.kind != "network" or not soon or answered:
                raise
            connection = await self._fresh(tenant)
            response = self._write(connection, self.head(request), request.body)
            await response.wait_head()
        return response

    def retire(self) -> None:
        """Keep no idle connection from now on; what runs, and what still comes, ends as usual."""
        self._retired = True
        while self._idle:
            self._idle.popleft().abort()

    def close(self) -> None:
        """Abort everything; whoever waits gets an UpstreamError."""
        self._closed = True
        for waiter in self._line.clear():
            if not waiter.done():
                waiter.set_exception(failure("connect", "network", "the transport was closed"))
        for connection in list(self._all):
            connection.close_abruptly("the transport was closed")
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()

    # what connections call

    def released(self, connection: Connection) -> None:
        """A connection is free again: the first in the queue gets it."""
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.set_result(connection)
        elif self._retired or self._closed:
            connection.abort()
        else:
            connection.idle_since_tick = self.tick
            self._idle.append(connection)

    def closed(self, connection: Connection) -> None:
        """A socket is gone; its place goes to the first in the queue."""
        if connection not in self._all:
            return  # it never came into use: whoever was making it frees the place
        self._all.remove(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._free_place()

    # inside

    def _write(self, connection: Connection, head: bytes, body: Body) -> Response:
        reused = connection.served > 0
        response = connection.send(head, body)
        response.reused, response.sent_s = reused, self._loop.time()
        return response

    def _idle_connection(self) -> Connection | None:
        """The last used of those that still look alive."""
        while self._idle:
            connection = self._idle.pop()
            if connection.alive and not connection.transport.is_closing():
                return connection
        return None

    async def _send_later(self, head: bytes, request: HttpRequest, tenant: str) -> Response:
        """`send` on another connection than an idle one."""
        since_s, full = self._loop.time(), self._taken >= self.limits.connections_max
        connection = await self._borrow(tenant)
        response = self._write(connection, head, request.body)
        if full:
            response.queued_s = response.sent_s - since_s
        return await self.receive(response, request, tenant)

    async def _borrow(self, tenant: str) -> Connection:
        """A new connection, or the place of one in the queue.

        Never an idle one: where one was stale the others may be as well, so a retry comes here."""
        if self._closed:
            raise failure("connect", "network", "the transport was closed")
        if self._taken < self.limits.connections_max:
            self._taken += 1
            return await self._connect()
        if self._idle:  # only for a retry: the oldest makes room, its place comes by the queue
            self._idle.popleft().abort()
        return await self._wait(tenant)

    async def _fresh(self, tenant: str) -> Connection:
        """A new connection, also where one that served before makes room for it."""
        connection = await self._borrow(tenant)
        if not connection.served:
            return connection
        self._all.discard(connection)  # its place is not free: it is ours
        connection.abort()
        return await self._connect()

    async def _connect(self) -> Connection:
        """A new connection in a place that is already counted."""
        loop, view = self._loop, self._view
        try:
            connection = await self._dialer.dial(lambda: Connection(self, view, loop))
            if not connection.alive:
                raise failure("connect", "network", "closed at once")
            if self._closed:
                connection.abort()
                raise failure("connect", "network", "the transport was closed")
        except BaseException:
            self._free_place()
            raise
        if self.endpoint.secure:
            secure: Any = connection.transport
            secure.set_read_buffer_limits(high=1, low=0)
        self._all.add(connection)
        if self._sweep_timer is None:
            self._sweep_timer = loop.call_later(self.tick_s, self._sweep)
        return connection

    async def _wait(self, tenant: str) -> Connection:
        """In the line for a connection, or for the place to make one."""
        line, now_s, limits = self._line, self._loop.time(), self.limits
        wait_s = line.wait_s(tenant, now_s)
        blind = not line.moves and line.count >= max(WAITING_BLINDLY_MAX, limits.connections_max)
        if blind or line.full(tenant) or wait_s > HOPE * limits.wait_timeout_s:
            error = failure("connect", "overloaded", "too many wait for a connection")
            error.retry_after_s = wait_s or None
            raise error
        waiter: asyncio.Future[Connection | None] = self._loop.create_future()
        line.join(tenant, waiter, now_s)
        try:
            connection = await waiter
        except asyncio.CancelledError:
            line.leave(tenant, waiter)
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._give_on(waiter.result())
            raise
        if connection is None:
            return await self._connect()
        if not connection.alive or connection.transport.is_closing():
            return await self._borrow(tenant)  # it died between being given and being taken
        return connection

    def _give_on(self, connection: Connection | None) -> None:
        """Something was given to a caller that no longer wants it."""
        if connection is None:
            self._free_place()
        elif connection.alive:
            self.released(connection)

    def _free_place(self) -> None:
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.set_result(None)
        else:
            self._taken -= 1

    def _next_waiter(self) -> "asyncio.Future[Connection | None] | None":
        if not self._line.count:
            return None
        now_s = self._loop.time()
        while (waiter := self._line.next(now_s)) is not None:
            if not waiter.done():
                return waiter
        return None

    def _sweep(self) -> None:
        self.tick += 1
        tick, tick_s, limits = self.tick, self.tick_s, self.limits
        for connection in list(self._all):
            connection.check(tick, tick_s)
        while self._idle and (tick - self._idle[0].idle_since_tick - 1) * tick_s >= limits.idle_s:
            self._idle.popleft().abort()
        for waiter in self._line.overdue(self._loop.time() - limits.wait_timeout_s):
            if not waiter.done():
                waiter.set_exception(failure("connect", "overloaded", "no connection became free"))
        self._sweep_timer = None
        if (self._all or self._line.count) and not self._closed:
            self._sweep_timer = self._loop.call_later(tick_s, self._sweep)

    def _make_head(self, request: HttpRequest) -> bytes:
        """Everything before the length, built once for each kind of request."""
        endpoint = self.endpoint
        target = endpoint.prefix + request.path
        if endpoint.query:
            target += ("&" if "?" in target else "?") + endpoint.query
        fields = (
            ("Host", endpoint.authority),
            *self._headers,
            *request.headers,
            ("Content-Type", "application/json"),
            ("Accept-Encoding", "identity"),
        )
        lines = [
            f"{request.method} {target} HTTP/1.1",
            *(f"{name}: {value}" for name, value in fields),
        ]
        for line in lines:
            if not line.isascii() or not line.isprintable():
                raise ValueError("a request line or header holds characters that cannot be sent")
        head = ("\r\n".join(lines) + "\r\nContent-Length: ").encode()
        if len(self._heads) >= HEADS_MAX:
            self._heads.clear()
        self._heads[request.method, request.path, request.headers] = head
        return head
