"""A caller's connection: uvicorn's protocol, with the completion endpoint taken out before ASGI.

Theory of operation. uvicorn parses HTTP (llhttp) and runs everything but completions as ASGI. A
POST on a completion path becomes an `Exchange` instead: no scope, no message dicts, no queue, which
saves 19 µs of 56 a request (measured; uvicorn 0.54.0, whose internals this rides on, is pinned). A
connection serves one request at a time; what is pipelined behind it waits in `pending`, unread.

The limits stand here for all routes: header bytes and fields (431), body bytes (413), time for the
headers, the body, idling, and a client that takes nothing (408 or a cut). A client that closes its
writing side counts as gone, as one that leaves looks the same: its request is cancelled. A refused
one is heard out (`LINGER_S`): closing on data that still comes makes its system drop the refusal.
"""

import asyncio
from collections import deque
from typing import Any, Literal

import httptools
from uvicorn import Config
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from baton.errors import (
    RequestError,
    body_too_large,
    body_too_slow,
    headers_too_large,
    invalid,
    overloaded,
)
from baton.http.exchange import Exchange, edge_lines, note, refusal
from baton.http.heads import fault, head_bytes, located, without_offer
from baton.http.long_body import receive
from baton.http.paths import Where, completion_path
from baton.http.shared import (
    DRAIN_HEADER_TIMEOUT_S,
    DRAIN_IDLE_S,
    LINGER_S,
    NEVER,
    SWEEP_S,
    WRITE_BUFFER_BYTES,
    Shared,
    Timed,
)
from baton.http.usual import Usual, usual

Cycle = tuple[RequestResponseCycle, ASGI3Application]
Phase = Literal["headers", "body", "idle", "answer"]


class Connection(HttpToolsProtocol, Timed):
    """Completions as exchanges, all else as ASGI, the same limits for both."""

    shared: Shared

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
        self.active: Exchange | Cycle | None = None
        self.receiving: Exchange | Cycle | None = None
        self.pending: deque[Exchange | Cycle] = deque()
        self.head_bytes = self.fed_bytes = self.body_bytes = 0
        self.refused = self.midway = False  # midway: the parser has read a part of a request
        self.usual: Usual | None = None
        self.begun: Exchange | None = None  # its head is in the bytes that are being read

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        # uvicorn itself narrows BaseTransport in this way.
        super().connection_made(transport)
        transport.set_write_buffer_limits(WRITE_BUFFER_BYTES)
        if not self.shared.date:
            self.shared.renew(self.loop.time())
        draining = self.shared.draining  # accepted before that, told only now
        timeout_s = DRAIN_HEADER_TIMEOUT_S if draining else self.settings.header_timeout_s
        self._expect("headers", timeout_s)
        if len(self.connections) > self.settings.connections_max:
            self.refuse(overloaded("Too many connections.", 1.0))

    def data_received(self, data: bytes) -> None:
        if self.phase == "idle":
            if self.usual is not None and not self.midway and self._run_usual(self.usual, data):
                return
            self._expect("headers", self.settings.header_timeout_s)
        self.fed_bytes, whole = len(data), data
        self.head_bytes += self.fed_bytes
        while data and not self.refused:
            given, data = data, b""
            try:
                self.parser.feed_data(given)
            except httptools.HttpParserUpgrade as offer:
                data = without_offer(self.parser, self.url, self.headers) + given[offer.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
            except httptools.HttpParserError:
                self.refuse(invalid("The request is not valid HTTP/1.1."))
        if self.midway and isinstance(self.receiving, Exchange) and self.receiving is self.active:
            receive(self, self.receiving)
        begun, self.begun = self.begun, None
        if begun is not None and not self.midway and not begun.http_1_0:
            self.usual = usual(whole, self.headers, begun.noted, begun.where) or self.usual

    def _run_usual(self, head: Usual, data: bytes) -> bool:
        """Run a request with the head of the last one; False where it is another."""
        body = head.body_of(data)
        if body is None or len(body) > self.settings.body_bytes_max:
            return False
        self.headers, keep = head.headers, not self.shared.draining
        self.active = exchange = Exchange(
            self, head.noted, where=head.where, http_1_0=False, keep=keep
        )
        exchange.take(body)
        self.phase, self.deadline = "answer", NEVER
        self._run(exchange)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.deadline = NEVER
        for waiting in (self.active, *self.pending):
            if isinstance(waiting, tuple):
                waiting[0].disconnected = True
                waiting[0].message_event.set()
            elif waiting is not None and waiting.task is not None:
                waiting.task.cancel()
                if not waiting.begun:
                    self._ran(waiting)  # a task that is cancelled first never runs
        self.pending.clear()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server stops: a connection closes after its answer. Without one it stays a moment
        more, idle or new: a request may be on its way on it, and closing would lose what its caller
        could not know of."""
        if self.active is None and self.phase == "idle":
            self._expect("idle", min(DRAIN_IDLE_S, self.settings.keep_alive_s))
        elif self.active is None:
            self._expect("headers", DRAIN_HEADER_TIMEOUT_S)
        elif isinstance(self.active, tuple):
            self.active[0].keep_alive = False
        elif not self.active.started:  # else its head promised more, and one more is served
            self.active.keep_alive = False

    # llhttp

    def on_message_begin(self) -> None:
        self.midway, self.expect_100_continue = True, False
        self.url, self.headers = b"", []
        self.head_bytes, self.body_bytes = self.fed_bytes, 0

    def on_url(self, url: bytes) -> None:
        self.url += url
        if self.head_bytes > self.settings.header_bytes_max:
            self._measure_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))
        if self.head_bytes > self.settings.header_bytes_max:
            self._measure_head()

    def on_headers_complete(self) -> None:
        parser, method = self.parser, self.parser.get_method()
        if (offered := parser.should_upgrade()) and method == b"CONNECT":
            self.refuse(invalid("CONNECT is not served here."))
        if len(self.headers) > self.settings.header_fields_max:
            self._measure_head()
        if self.refused or offered:
            return
        noted = note(self.headers)
        error = fault(noted, self.settings.body_bytes_max)
        if error is not None:
            return self.refuse(error)
        self.expect_100_continue = noted.get(b"expect", b"").lower() == b"100-continue"
        where = completion_path(self.url) if method == b"POST" else None
        self.receiving = self._cycle() if where is None else self._exchange(where, noted)
        if self.active is not None:
            if self.phase == "headers":
                self._expect("body", self.settings.body_timeout_s)
            self.pending.append(self.receiving)
            return self.flow.pause_reading()
        self._expect("body", self.settings.body_timeout_s)
        self.active = self.receiving
        if self.expect_100_continue:
            self._invite()
        if isinstance(self.active, tuple):
            self._start_asgi_task(*self.active)

    def on_body(self, body: bytes) -> None:
        receiving = self.receiving
        if self.refused or receiving is None:
            return
        if isinstance(receiving, Exchange):
            fits = receiving.add(body, self.settings.body_bytes_max)
        else:
            self.body_bytes += len(body)
            fits = self.body_bytes <= self.settings.body_bytes_max
        if not fits:
            self.refuse(body_too_large(self.settings.body_bytes_max))
        elif isinstance(receiving, tuple):
            super().on_body(body)

    def on_message_complete(self) -> None:
        receiving, self.receiving, self.midway = self.receiving, None, False
        if self.refused or receiving is None:
            return
        if receiving is self.active:
            self._expect("answer", NEVER)
        elif self.active is None:  # answered before its body was here
            self._expect("idle", self.settings.keep_alive_s)
        if isinstance(receiving, tuple):
            return super().on_message_complete()
        receiving.body_complete = True
        if receiving is self.active:
            self._run(receiving)

    def _exchange(self, where: Where, noted: dict[bytes, bytes]) -> Exchange:
        self.begun = exchange = Exchange(
            self,
            noted,
            where=where,
            http_1_0=self.parser.get_http_version() == "1.0",
            keep=self._stays(),
        )
        return exchange

    def _cycle(self) -> Cycle:
        """A request for the ASGI side, as uvicorn makes it."""
        target, headers, expected = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()  # for its scope; it forgets what came already
        self.url, self.expect_100_continue = target, expected
        self.headers.extend(headers)
        version = self.parser.get_http_version()
        scope = self.scope
        scope["method"], scope["http_version"] = self.parser.get_method().decode("ascii"), version
        scope["path"], scope["raw_path"], scope["query_string"] = located(target)
        self.cycle = RequestResponseCycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and self._stays(),
            on_response=self._next,
        )
        return self.cycle, self.app

    def _stays(self) -> bool:
        return self.parser.should_keep_alive() and not self.shared.draining

    # The order of answers

    def _invite(self) -> None:
        """Ask for a body that its client holds back: once nothing else is being answered."""
        if self.expect_100_continue and isinstance(self.active, Exchange):
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _run(self, exchange: Exchange) -> None:
        if exchange is not self.active or self.transport.is_closing():
            return  # gone since it was its turn
        if self.shared.exchanges >= self.settings.requests_in_flight_max:
            error = overloaded("Too many requests in flight.", 1.0)
            return exchange.respond(error.status, edge_lines(error), error.body())
        self.shared.exchanges += 1
        exchange.task = task = self.loop.create_task(self._serve(exchange))
        self.tasks.add(task)

    async def _serve(self, exchange: Exchange) -> None:
        exchange.begun = True
        try:
            await self.shared.room(exchange)
        finally:
            self._ran(exchange)

    def _ran(self, exchange: Exchange) -> None:
        assert exchange.task is not None
        self.shared.exchanges -= 1
        self.tasks.discard(exchange.task)

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

    def write(self, data: bytes) -> None:
        if data and not self.transport.is_closing():
            self.transport.write(data)

    def abort(self) -> None:
        self.transport.abort()

    async def drain(self) -> None:
        self._expect("answer", self.settings.client_stall_timeout_s)
        await self.flow.drain()
        self.deadline = NEVER

    # Limits

    def _expect(self, phase: Phase, seconds: float) -> None:
        self.phase = phase
        self.deadline = self.shared.now + seconds + SWEEP_S  # never early, a second late at most

    def _measure_head(self) -> None:
        """Exactly, once there is more than a head may have or too many fields."""
        large = head_bytes(self.url, self.headers) > self.settings.header_bytes_max
        if large or len(self.headers) > self.settings.header_fields_max:
            self.refuse(headers_too_large("The request's header is too large."))

    def refuse(self, error: RequestError) -> None:
        """Answer outside any exchange and hang up: the rest of the request is not wanted."""
        if self.refused:
            return
        self.refused = True
        receiving = self.receiving
        answered = isinstance(receiving, tuple) and receiving[0].response_started
        if answered or (self.active is not None and receiving is not self.active):
            return self._close()  # it, or an earlier request, is being answered
        if isinstance(receiving, tuple):
            receiving[0].disconnected = True
            receiving[0].message_event.set()
        self.transport.write(refusal(error, self.shared.date))
        if not self.head_bytes or not self.transport.can_write_eof():
            return self._close()
        self.transport.write_eof()
        self.flow.resume_reading()
        self._expect("answer", LINGER_S)

    def overdue(self) -> None:
        """The deadline has passed."""
        self.deadline = NEVER
        if self.phase == "answer":
            self.transport.abort()  # the client takes nothing
        elif self.phase == "idle" or not self.head_bytes:
            self._close()
        elif self.phase == "headers":
            self.refuse(body_too_slow(self.settings.header_timeout_s))
        else:
            self.refuse(body_too_slow(self.settings.body_timeout_s))


def connection_class(shared: Shared) -> type[Connection]:
    """The class for uvicorn's config, which makes one per connection without arguments of ours."""
    return type("WorkerConnection", (Connection,), {"shared": shared})
