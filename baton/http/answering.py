"""A caller's connection, the side of the answers: in which order they go out, and who makes them.

A connection serves one request at a time (`active`): an exchange in a task of the room, a flight on
the fast path, or a cycle of the ASGI side. What came in behind it waits in `pending`, unread.
`connection.py` is the other side: what comes in, and the limits.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, Literal

from uvicorn import Config
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from baton.errors import overloaded
from baton.http.exchange import Exchange, edge_id, edge_lines
from baton.http.shared import (
    DRAIN_IDLE_S,
    NEVER,
    SEND_BUFFER_BYTES,
    SWEEP_S,
    WHOLE_SEND_BUFFER_BYTES,
    Flight,
    Room,
    Shared,
    Timed,
)

Cycle = tuple[RequestResponseCycle, ASGI3Application]
Phase = Literal["headers", "body", "idle", "answer"]


class Answering(HttpToolsProtocol, Timed):
    """What answers go out on."""

    shared: Shared
    _wide = False
    """Whether the kernel takes more at once than of a stream."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.settings, self.deadline = self.shared.settings, NEVER
        self.phase: Phase = "headers"
        self.active: Exchange | Cycle | Flight | None = None
        self.receiving: Exchange | Cycle | None = None
        self.pending: deque[Exchange | Cycle] = deque()

    def pause_writing(self) -> None:
        """The client takes less than it is given."""
        super().pause_writing()
        if self._wide and isinstance(self.active, Exchange) and self.active.streams:
            self._set_wide(False)

    def _set_wide(self, wide: bool) -> None:
        self._wide, size = wide, WHOLE_SEND_BUFFER_BYTES if wide else SEND_BUFFER_BYTES
        its_socket = self.transport.get_extra_info("socket")
        its_socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)

    def _invite(self) -> None:
        """Ask for a body that its client holds back: once nothing else is being answered."""
        if self.expect_100_continue and isinstance(self.active, Exchange):
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _run(self, exchange: Exchange) -> None:
        if exchange is not self.active or self.transport.is_closing():
            return  # gone since it was its turn
        if self.shared.crowded:
            return self._shed(exchange)
        self.shared.exchanges += 1
        exchange.task = task = self.loop.create_task(self._serve(exchange, self.shared.room))
        self.tasks.add(task)

    def _shed(self, exchange: Exchange) -> None:
        error, request_id = overloaded("Too many requests in flight.", 1.0), edge_id()
        exchange.respond(error.status, edge_lines(error, request_id), error.body())
        self.shared.note(error, exchange.headers, lambda: exchange.asked(request_id))

    async def _serve(self, exchange: Exchange, room: Room) -> None:
        exchange.begun = True
        try:
            await room(exchange)
        finally:
            self._ran(exchange)

    def _ran(self, exchange: Exchange) -> None:
        assert exchange.task is not None
        self.shared.exchanges -= 1
        self.tasks.discard(exchange.task)

    def flown(self, flight: Flight) -> None:
        """The answer of the flight is out."""
        shared, self.active = self.shared, None
        shared.exchanges -= 1
        if self.transport.is_closing():
            return  # what is active when that closes counts as lost, once more
        if self.pending or self.receiving is not None or shared.draining or self.flow.read_paused:
            return self._next()
        self.server_state.total_requests += 1  # as `_next`, where nothing waits
        self.phase = "idle"
        self.deadline = shared.now + self.settings.keep_alive_s + SWEEP_S

    def answers(self, exchange: Exchange) -> None:
        """A flight is answered as this exchange, in the same call."""
        self.shared.exchanges -= 1
        self.active = exchange

    def land(self, exchange: Exchange, room: Room, forsaken: Callable[[], None]) -> None:
        """A flight goes on as this exchange."""
        self.active = exchange
        exchange.task = task = self.loop.create_task(self._serve(exchange, room))
        self.tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            if exchange.begun:
                return
            if task in self.tasks:
                self._ran(exchange)
            forsaken()

        task.add_done_callback(ended)

    def exchange_done(self, exchange: Exchange) -> None:
        """The answer of the exchange is out."""
        if exchange is not self.active or self.transport.is_closing():
            return
        if not exchange.keep_alive:
            return self._close()
        self._next()

    def _next(self) -> None:
        """An answer is out and the connection stays: serve what waits, or idle."""
        self.server_state.total_requests += 1
        self.active = self.pending.popleft() if self.pending else None
        if self.transport.is_closing():
            return self._close()
        if self.active is None and self.receiving is None:
            kept_s = DRAIN_IDLE_S if self.shared.draining else self.settings.keep_alive_s
            self._expect("idle", kept_s)
        elif self.active is not None:
            self._begin(self.active)
        if self.flow.read_paused and not self.pending:
            self.flow.resume_reading()

    def _begin(self, waited: Exchange | Cycle) -> None:
        """Serve what waited its turn, also if its body is still to come."""
        if waited is self.receiving:
            self._expect("body", self.settings.body_timeout_s)
            self._invite()
        else:
            self._expect("answer", NEVER)
        if isinstance(waited, tuple):
            self._start_asgi_task(*waited)
        elif waited.body_complete:
            self.loop.call_soon(self._run, waited)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        # Its answer may be large, and does not go through `write`.
        if not self._wide and not self.transport.is_closing():
            self._set_wide(True)
        super()._start_asgi_task(cycle, app)

    def _close(self) -> None:
        """Hang up once the client has taken what it was sent, or takes nothing for too long."""
        self.transport.close()
        self._expect("answer", self.settings.client_stall_timeout_s)

    # What an exchange needs (http.exchange.Line)

    @property
    def write_paused(self) -> bool:
        return self.flow.write_paused

    @property
    def client_address(self) -> str:
        return self.client[0] if self.client else ""

    def date(self) -> bytes:
        return self.shared.date

    def write(self, data: bytes) -> bool:
        if data and not self.transport.is_closing():
            if len(data) > SEND_BUFFER_BYTES and not self._wide:
                self._set_wide(True)
            self.transport.write(data)
        return not self.flow.write_paused

    def filler(
        self, form: bytes, length: int, encode: Callable[[str], bytes]
    ) -> Callable[[str], bool]:
        """Who writes `form` with an encoded text filled in, and before it in hexadecimal how many
        bytes that is with `length`; told as by `write`. One call a chunk where there would be
        five."""
        transport, flow = self.transport, self.flow
        closing, write = transport.is_closing, transport.write

        def fill(text: str) -> bool:
            if not closing():
                part = encode(text)
                write(form % (length + len(part), part))
            return not flow.write_paused

        return fill

    def abort(self) -> None:
        self.transport.abort()

    async def drain(self) -> None:
        self._expect("answer", self.settings.client_stall_timeout_s)
        await self.flow.drain()
        self.deadline = NEVER

    def _expect(self, phase: Phase, seconds: float) -> None:
        self.phase = phase
        self.deadline = self.shared.now + seconds + SWEEP_S  # never early, a second late at most
