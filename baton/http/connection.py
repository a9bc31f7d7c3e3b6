"""A caller's connection: uvicorn's protocol, with the completion endpoint taken out before ASGI.

Theory of operation. uvicorn parses HTTP (llhttp) and runs everything but completions as ASGI. A
POST on a completion path becomes an `Exchange` instead: no scope, no message dicts, no queue, which
saves 19 µs of 56 a request (measured; uvicorn 0.54.0, whose internals this rides on, is pinned and
the tests of this file prove it). A connection serves one request at a time; what a client
pipelines behind it waits in `pending`, and reading pauses meanwhile.

The limits stand here for all routes: header bytes and fields (431), body bytes (413), time for the
headers, the body, idling, and a client that takes nothing (408 or a cut). A time limit is one
number per connection, `deadline`, compared in a sweep twice a second: no timer per request.

A client that closes its writing side counts as gone, as one that leaves looks the same: its request
is cancelled. A refused client is heard out for a moment (`LINGER_S`), as closing on data that still
comes would make its system throw the refusal away.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from email.utils import formatdate
from typing import Any, Literal
from urllib.parse import unquote

import httptools
from uvicorn import Config
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from baton.config import Settings
from baton.errors import (
    RequestError,
    body_too_large,
    body_too_slow,
    encoded_body,
    headers_too_large,
    invalid,
    overloaded,
)
from baton.http.exchange import REASONS, Exchange, edge_headers
from baton.http.paths import completion_path

SWEEP_S = 0.5
DRAIN_HEADER_TIMEOUT_S = 1.0
"""How long a stopping server waits for the request of a connection that is new."""
LINGER_S = 2.0
"""How long what a refused client still sends is read, and thrown away."""
OFFER_HEADERS = (b"upgrade", b"http2-settings")
NEVER = float("inf")
Cycle = tuple[RequestResponseCycle, ASGI3Application]
Room = Callable[[Exchange], Coroutine[Any, Any, None]]
"""Runs an exchange to its end: it answers every exchange and raises nothing."""


class Shared:
    """What all connections of a worker have in common."""

    def __init__(self, settings: Settings, room: Room) -> None:
        self.settings, self.room = settings, room
        self.draining = False
        self.exchanges = 0
        """Completions under way."""
        self.date = b""
        """A whole header line, renewed by the sweep: formatting it costs 3 µs."""
        self.renew_date()

    def renew_date(self) -> None:
        self.date = b"date: " + formatdate(usegmt=True).encode() + b"\r\n"


class Connection(HttpToolsProtocol):
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
        self.phase: Literal["headers", "body", "idle", "answer"] = "headers"
        self.active: Exchange | Cycle | None = None
        self.receiving: Exchange | Cycle | None = None
        self.pending: deque[Exchange | Cycle] = deque()
        self.header_bytes = self.body_bytes = 0
        self.refused = False

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        # uvicorn itself narrows BaseTransport in this way.
        super().connection_made(transport)
        draining = self.shared.draining  # accepted before that, told only now
        timeout_s = DRAIN_HEADER_TIMEOUT_S if draining else self.settings.header_timeout_s
        self._expect("headers", timeout_s)
        if len(self.connections) > self.settings.connections_max:
            self.refuse(overloaded("Too many connections.", 1.0))

    def data_received(self, data: bytes) -> None:
        if self.phase == "idle":
            self._expect("headers", self.settings.header_timeout_s)
        while data and not self.refused:
            given, data = data, b""
            try:
                self.parser.feed_data(given)
            except httptools.HttpParserUpgrade as offer:
                data = self._without_offer(given[offer.args[0] :])
            except httptools.HttpParserError:
                self.refuse(invalid("The request is not valid HTTP/1.1."))

    def _without_offer(self, rest: bytes) -> bytes:
        """A request that offers another protocol (Java's client does, h2c), as if it did not.

        The parser ends at such a head and would lose the body: a new one reads it again."""
        version = self.parser.get_http_version().encode()
        head = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        head += [b"%b: %b" % pair for pair in self.headers if pair[0] not in OFFER_HEADERS]
        self.parser = httptools.HttpRequestParser(self)
        return b"\r\n".join([*head, b"", rest])

    def connection_lost(self, exc: Exception | None) -> None:
        self.deadline = NEVER
        for waiting in (self.active, *self.pending):
            if isinstance(waiting, tuple):
                waiting[0].disconnected = True
                waiting[0].message_event.set()
            elif waiting is not None and waiting.task is not None:
                waiting.task.cancel()
        self.pending.clear()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server stops: an idle connection closes now, others after their answer. A request may
        be on its way on a new one: closing it would lose what its caller could not know of."""
        if self.active is None and self.phase == "idle":
            self.transport.close()
        elif self.active is None:
            self._expect("headers", DRAIN_HEADER_TIMEOUT_S)
        elif isinstance(self.active, tuple):
            self.active[0].keep_alive = False
        else:
            self.active.keep_alive = False

    # llhttp

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.header_bytes = self.body_bytes = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count_header(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._count_header(len(name) + len(value) + 4)

    def on_headers_complete(self) -> None:
        offered = self.parser.should_upgrade()
        if offered and self.parser.get_method() == b"CONNECT":
            self.refuse(invalid("CONNECT is not served here."))
        if self.refused or offered:
            return
        for name, value in self.headers:
            if name == b"content-encoding" and value.lower() != b"identity":
                return self.refuse(encoded_body(value[:32].decode("latin-1")))
            if name == b"content-length" and int(value) > self.settings.body_bytes_max:
                return self.refuse(body_too_large(self.settings.body_bytes_max))
        posted = self.parser.get_method() == b"POST"
        model = completion_path(self.url) if posted else None
        self.receiving = self._cycle() if model is None else self._exchange(model)
        if self.phase == "headers":
            self._expect("body", self.settings.body_timeout_s)
        if self.active is not None:
            self.pending.append(self.receiving)
            return self.flow.pause_reading()
        self.active = self.receiving
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
        receiving, self.receiving = self.receiving, None
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

    def _exchange(self, model: str) -> Exchange:
        return Exchange(
            self,
            model=model,
            client=self.client[0] if self.client else "",
            arrived=self.loop.time(),
            http_1_0=self.parser.get_http_version() == "1.0",
            keep=self._stays(),
        )

    def _cycle(self) -> Cycle:
        """A request for the ASGI side, as uvicorn makes it."""
        url = httptools.parse_url(self.url)
        raw_path = url.path or b"/"
        version = self.parser.get_http_version()
        self.scope["method"] = self.parser.get_method().decode("ascii")
        self.scope["http_version"] = version
        self.scope["path"] = unquote(raw_path.decode("ascii"))
        self.scope["raw_path"] = raw_path
        self.scope["query_string"] = url.query or b""
        self.cycle = RequestResponseCycle(
            scope=self.scope,
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
            return exchange.respond(error.status, edge_headers(error), error.body())
        self.shared.exchanges += 1
        exchange.task = self.loop.create_task(self.shared.room(exchange))
        self.tasks.add(exchange.task)
        exchange.task.add_done_callback(self._ran)

    def _ran(self, task: asyncio.Task[None]) -> None:
        self.shared.exchanges -= 1
        self.tasks.discard(task)

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
        if self.transport.is_closing() or (self.shared.draining and self.active is None):
            return self._close()
        if self.active is None and self.receiving is None:
            self._expect("idle", self.settings.keep_alive_s)
        elif self.active is not None:
            self._begin(self.active)
        if not self.pending:
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

    def _expect(self, phase: Literal["headers", "body", "idle", "answer"], seconds: float) -> None:
        self.phase = phase
        self.deadline = self.loop.time() + seconds

    def _count_header(self, size: int) -> None:
        self.header_bytes += size
        limits = self.settings
        too_long = self.header_bytes > limits.header_bytes_max
        if too_long or len(self.headers) > limits.header_fields_max:
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
        body, reason = error.body(), REASONS.get(error.status, b"")
        parts = [b"HTTP/1.1 %d %b\r\n%b" % (error.status, reason, self.shared.date)]
        parts += [b"%b: %b\r\n" % pair for pair in edge_headers(error)]
        parts.append(b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(body), body))
        self.transport.write(b"".join(parts))
        if not self.header_bytes or not self.transport.can_write_eof():
            return self._close()
        self.transport.write_eof()
        self.flow.resume_reading()
        self._expect("answer", LINGER_S)

    def overdue(self) -> None:
        """The deadline has passed."""
        self.deadline = NEVER
        if self.phase == "answer":
            self.transport.abort()  # the client takes nothing
        elif self.phase == "idle" or not self.header_bytes:
            self._close()
        elif self.phase == "headers":
            self.refuse(body_too_slow(self.settings.header_timeout_s))
        else:
            self.refuse(body_too_slow(self.settings.body_timeout_s))


async def sweep(shared: Shared, state: ServerState) -> None:
    """Renew the date and end what is overdue; runs until its task is cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        shared.renew_date()
        now = loop.time()
        for connection in list(state.connections):
            if isinstance(connection, Connection) and connection.deadline < now:
                connection.overdue()
        await asyncio.sleep(SWEEP_S)


def connection_class(shared: Shared) -> type[Connection]:
    """The class for uvicorn's config, which makes one per connection without arguments of ours."""
    return type("WorkerConnection", (Connection,), {"shared": shared})
