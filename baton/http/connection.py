"""A caller's connection: uvicorn's protocol, with the completion endpoint taken out before ASGI.

Theory of operation. uvicorn parses HTTP (llhttp) and runs everything but completions as ASGI. A
POST on a completion path becomes an `Exchange` instead: no scope, no message dicts, no queue, which
saves 19 µs of 56 a request (measured; uvicorn 0.54.0, whose internals this rides on, is pinned and
the tests of this file prove it). A connection serves one request at a time; what a client
pipelines behind it waits in `pending`, and reading pauses meanwhile.

The limits stand here for all routes: header bytes and fields (431), body bytes (413), time for the
headers, the body, idling, and a client that takes nothing (408 or a cut). A time limit is one
number per connection, `deadline`, compared in a sweep twice a second: no timer per request.
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
from baton.http.exchange import REASONS, Exchange, HeaderPair

SWEEP_S = 0.5
COMPLETION_PATHS = (b"/v1/completions", b"/v1/completions/")
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
        self.settings = self.shared.settings
        self.deadline = NEVER
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
        self._expect("headers", self.settings.header_timeout_s)
        if len(self.connections) > self.settings.connections_max:
            self.refuse(overloaded("Too many connections.", 1.0))

    def data_received(self, data: bytes) -> None:
        if self.refused:
            return
        if self.phase == "idle":
            self._expect("headers", self.settings.header_timeout_s)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # An offer (Java's client makes one, of h2c) that we may ignore; the parser ends here.
            for waiting in (self.active, *self.pending):
                if isinstance(waiting, Exchange):
                    waiting.keep_alive = False
        except httptools.HttpParserError:
            self.refuse(invalid("The request is not valid HTTP/1.1."))

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
        """The server stops: an idle connection closes now, others after their answer."""
        if self.active is None:
            self.transport.close()
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
        if self.refused:
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
        self._expect("answer", NEVER)
        if isinstance(receiving, tuple):
            return super().on_message_complete()
        receiving.body_complete = True
        if receiving is self.active:
            self._run(receiving)

    def _exchange(self, model: str) -> Exchange:
        if self.expect_100_continue:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return Exchange(
            self,
            model=model,
            client=self.client[0] if self.client else "",
            arrived=self.loop.time(),
            http_1_0=self.parser.get_http_version() == "1.0",
            keep=self.parser.should_keep_alive(),
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
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self._next,
        )
        return self.cycle, self.app

    # The order of answers

    def _run(self, exchange: Exchange) -> None:
        if self.shared.exchanges >= self.settings.requests_in_flight_max:
            error = overloaded("Too many requests in flight.", 1.0)
            return exchange.respond(error.status, error_headers(error), error.body())
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
            return self.transport.close()
        self._next()

    def _next(self) -> None:
        """An answer is out and the connection stays: serve what waits, or idle."""
        self.server_state.total_requests += 1
        self.active = self.pending.popleft() if self.pending else None
        if self.transport.is_closing():
            return
        if self.shared.draining and self.active is None:
            return self.transport.close()
        if self.active is None and self.receiving is None:
            self._expect("idle", self.settings.keep_alive_s)
        elif isinstance(self.active, tuple):
            self._start_asgi_task(*self.active)
        elif self.active is not None and self.active.body_complete:
            self._run(self.active)
        if not self.pending:
            self.flow.resume_reading()

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
        if self.active is not None and self.receiving is not self.active:
            return self.transport.close()  # an earlier request is being answered
        body = error.body()
        parts = [b"HTTP/1.1 %d %b\r\n" % (error.status, REASONS.get(error.status, b""))]
        parts.append(self.shared.date)
        parts += [b"%b: %b\r\n" % pair for pair in error_headers(error)]
        parts.append(b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(body), body))
        self.transport.write(b"".join(parts))
        self.transport.close()

    def overdue(self) -> None:
        """The deadline has passed."""
        self.deadline = NEVER
        if self.phase == "answer" or self.transport.is_closing():
            self.transport.abort()  # the client takes nothing
        elif self.phase == "idle" or not self.header_bytes:
            self.transport.close()
        elif self.phase == "headers":
            self.refuse(body_too_slow(self.settings.header_timeout_s))
        else:
            self.refuse(body_too_slow(self.settings.body_timeout_s))


def error_headers(error: RequestError) -> list[HeaderPair]:
    """Content type and what the error itself wants told."""
    pairs = [(b"content-type", b"application/json")]
    pairs += [(name.encode(), value.encode("latin-1", "replace")) for name, value in error.headers]
    return pairs


def completion_path(url: bytes) -> str | None:
    """The model that a completion path fixes: "" when none; None when it is another path.

    >>> completion_path(b"/v1/completions"), completion_path(b"/m/a%2Fb/v1/completions?x=1")
    ('', 'a/b')
    """
    if url in COMPLETION_PATHS:
        return ""
    path = url.partition(b"?")[0]
    if path in COMPLETION_PATHS:
        return ""
    if path.startswith(b"/m/"):
        for suffix in COMPLETION_PATHS:
            if path.endswith(suffix) and len(path) > len(suffix) + 3:
                return unquote(path[3 : -len(suffix)].decode("latin-1"))
    return None


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
