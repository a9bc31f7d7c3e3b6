"""A caller's connection: uvicorn's protocol, with the completion endpoint taken out before ASGI.

Theory of operation. uvicorn parses HTTP (llhttp) and runs everything but completions as ASGI. A
POST on a completion path becomes an `Exchange` instead: no scope, no message dicts, no queue, which
saves 19 µs of 56 a request (measured; uvicorn 0.54.0, whose internals this rides on, is pinned). A
connection serves one request at a time; what is pipelined behind it waits in `pending`, unread.

The limits stand here for all routes: header bytes and fields (431), body bytes (413), time for the
headers, the body, idling, and a client that takes nothing (408 or a cut). What is no end of a head,
a trailer or a chunk's extension is bounded as it comes (`_weigh`). A client that closes its
writing side counts as gone, as one that leaves looks the same: its request is cancelled. A refused
one is heard out (`LINGER_S`): closing on data that still comes makes its system drop the refusal.
"""

import asyncio
import functools

import httptools

from baton.errors import (
    RequestError,
    body_too_large,
    body_too_slow,
    headers_too_large,
    invalid,
    overloaded,
)
from baton.http.answering import Answering, Cycle
from baton.http.asgi import cycle
from baton.http.exchange import Exchange, edge_id, note, refusal
from baton.http.heads import fault, head_bytes, misframed, path_of, without_offer
from baton.http.long_body import LONG_BYTES, LongBody, receive
from baton.http.paths import Where, completion_path
from baton.http.shared import (
    DRAIN_HEADER_TIMEOUT_S,
    DRAIN_IDLE_S,
    LINGER_S,
    NEVER,
    WRITE_BUFFER_BYTES,
    Shared,
)
from baton.http.usual import Heads, Usual
from baton.telemetry.refused import Asked

CHUNK_BYTES = 8
"""What a body's byte may take on the wire, in a chunk of its own."""


class Connection(Answering):
    """Completions as exchanges, all else as ASGI, the same limits for both."""

    head_bytes = fed_bytes = body_bytes = excess_bytes = weighed_bytes = 0
    refused = midway = False
    """Midway: the parser has read a part of a request, and not its end."""
    begun: Exchange | None = None
    """Its head was read last."""
    heads: Heads
    connections_max: int
    """At this listener."""

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        # uvicorn itself narrows BaseTransport in this way.
        super().connection_made(transport)
        self.heads, self.url, self.headers = Heads(), b"", []
        transport.set_write_buffer_limits(WRITE_BUFFER_BYTES)
        if not self.shared.date:
            self.shared.renew(self.loop.time())
        draining = self.shared.draining  # accepted before that, told only now
        timeout_s = DRAIN_HEADER_TIMEOUT_S if draining else self.settings.header_timeout_s
        self._expect("headers", timeout_s)
        if len(self.connections) > self.connections_max:
            self.refuse(overloaded("Too many connections.", 1.0))

    def data_received(self, data: bytes) -> None:
        heads, fresh = self.heads, not self.midway
        if self.phase == "idle" or heads.halved:
            if heads.halved:
                data = heads.rejoined(data)
            if heads.usual is not None and fresh and self._is_usual(heads.usual, data):
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
        if self.midway:
            self._weigh()
            if isinstance(self.receiving, Exchange) and self.receiving is self.active:
                receive(self, self.receiving)
        begun, self.begun = self.begun, None
        if begun is not None and fresh:
            heads.learn(whole, begun)

    def _is_usual(self, head: Usual, data: bytes) -> bool:
        """Whether it has the head of the last request, and runs or waits for its body."""
        length, begin = head.promised(data)
        came = len(data) - begin
        if not begin or came > length or length > self.settings.body_bytes_max:
            return False
        if came == length:
            self._run_usual(head, data[begin:])
            return True
        self.heads.halved, self.head_bytes = data[:begin], begin
        self._expect("body", self.settings.body_timeout_s)
        if begin < len(data) or length >= LONG_BYTES:
            LongBody(
                self, length, memoryview(data)[begin:], functools.partial(self._rejoined, head)
            )
        return True

    def _rejoined(self, head: Usual, body: bytes) -> None:
        self.heads.halved = b""
        self.shared.bodies.forget(self)
        self._run_usual(head, body)

    def _run_usual(self, head: Usual, body: bytes) -> None:
        """Run a request with the head of the last one."""
        shared, self.headers, keep = self.shared, head.headers, not self.shared.draining
        self.phase, self.deadline = "answer", NEVER
        if head.plain and keep and shared.board is not None and not shared.crowded:
            self.active = flight = shared.board(self, head, body)
            if flight is not None:
                shared.exchanges += 1
                return flight.begin()
        self.active = exchange = Exchange(
            self, head.noted, where=head.where, http_1_0=False, keep=keep
        )
        exchange.take(body)
        self._run(exchange)
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self.deadline = NEVER
        self.shared.bodies.forget(self)
        for waiting in (self.active, *self.pending):
            if isinstance(waiting, tuple):
                waiting[0].disconnected = True
                waiting[0].message_event.set()
            elif isinstance(waiting, Exchange):
                if waiting.task is not None:
                    waiting.task.cancel()
                    if not waiting.begun:
                        self._ran(waiting)  # a task that is cancelled first never runs
            elif waiting is not None:
                self.shared.exchanges -= 1
                waiting.lost()
        self.pending.clear()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server stops: a connection closes after its answer. Without one it stays a moment
        more, idle or new: a request may be on its way on it, and closing would lose what its caller
        could not know of."""
        active = self.active
        if active is not None and not isinstance(active, (Exchange, tuple)):
            active.land()
        if self.active is None and self.phase == "idle":
            self._expect("idle", min(DRAIN_IDLE_S, self.settings.keep_alive_s))
        elif self.active is None and not self.heads.halved:
            self._expect("headers", DRAIN_HEADER_TIMEOUT_S)
        elif isinstance(self.active, tuple):
            self.active[0].keep_alive = False
        elif isinstance(self.active, Exchange) and not self.active.started:
            self.active.keep_alive = False  # else its head promised more, and one more is served

    # llhttp

    def on_message_begin(self) -> None:
        self.midway, self.expect_100_continue = True, False
        self.url, self.headers = b"", []
        self.head_bytes, self.body_bytes = self.fed_bytes, 0
        self.excess_bytes, self.weighed_bytes = -self.fed_bytes, 0

    def on_url(self, url: bytes) -> None:
        self.url += url
        if self.head_bytes > self.settings.header_bytes_max:
            self._measure_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.refused or self.receiving is not None:
            return  # behind a body: a proxy has put its own headers before that
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
        error = error or misframed(parser.get_http_version(), self.headers, noted)
        error = error or self.shared.misdirected(self.url, self.headers)
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
            return self.refuse(body_too_large(self.settings.body_bytes_max))
        size = receiving.size if isinstance(receiving, Exchange) else self.body_bytes
        if self.came(size) and isinstance(receiving, tuple):
            super().on_body(body)

    def on_message_complete(self) -> None:
        receiving, self.receiving, self.midway = self.receiving, None, False
        self.shared.bodies.forget(self)
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
        return cycle(self, self._stays(), self._next), self.app

    def _stays(self) -> bool:
        return self.parser.should_keep_alive() and not self.shared.draining

    # Limits

    def came(self, size: int) -> bool:
        """So much of the body is here by now. Whether it is still wanted."""
        self.shared.bodies.came(self, size)
        return not self.refused

    def _measure_head(self) -> None:
        """Exactly, once there is more than a head may have or too many fields."""
        large = head_bytes(self.url, self.headers) > self.settings.header_bytes_max
        if large or len(self.headers) > self.settings.header_fields_max:
            self.refuse(headers_too_large("The request's header is too large."))

    def _weigh(self) -> None:
        """Refuse a part of a message that has no end: the parser keeps a field until it is whole,
        and tells nothing of what stands around chunks. Counted are bytes that came after the read
        in which the message began, less what the body's chunks may need."""
        receiving = self.receiving
        body = receiving.size if isinstance(receiving, Exchange) else self.body_bytes
        grown, self.weighed_bytes = body - self.weighed_bytes, body
        self.excess_bytes = max(0, self.excess_bytes + self.fed_bytes - grown * CHUNK_BYTES)
        if self.excess_bytes <= 2 * self.settings.header_bytes_max:  # measured, it has one of them
            return
        if receiving is None:
            self.refuse(headers_too_large("The request's header is too large."))
        else:
            self.refuse(invalid("There is too much around the chunks of the request's body."))

    def refuse(self, error: RequestError) -> None:
        """Answer outside any exchange and hang up: the rest of the request is not wanted."""
        if self.refused:
            return
        self.refused, self.heads.halved = True, b""
        receiving = self.receiving
        self._let_go(receiving)
        answered = isinstance(receiving, tuple) and receiving[0].response_started
        if answered or (self.active is not None and receiving is not self.active):
            return self._close()  # it, or an earlier request, is being answered
        if isinstance(receiving, tuple):
            receiving[0].disconnected = True
            receiving[0].message_event.set()
        request_id = edge_id()
        self.transport.write(refusal(error, self.shared.date, request_id))
        self.shared.note(error, self.headers, lambda: self._asked(request_id))
        if not self.head_bytes or not self.transport.can_write_eof():
            return self._close()
        self.transport.write_eof()
        self.flow.resume_reading()
        self._expect("answer", LINGER_S)

    def _asked(self, request_id: str) -> Asked:
        """What is asked for, as far as its head is read."""
        path = path_of(self.url)
        route = f"{self.parser.get_method().decode()} {path}" if path else ""
        return Asked(request_id, route, "")

    def _let_go(self, receiving: Exchange | Cycle | None) -> None:
        """What came of a body that is refused: its client may stay for a while."""
        self.shared.bodies.forget(self)
        held = self.transport.get_protocol()
        if isinstance(held, LongBody):
            held.let_go()
        elif isinstance(receiving, Exchange):
            receiving.give()
        elif receiving is not None:
            receiving[0].body = bytearray()

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


def connection_class(shared: Shared, connections_max: int) -> type[Connection]:
    """The class for a listener's config in uvicorn, which makes one per connection without
    arguments of ours."""
    of_all = {"shared": shared, "connections_max": connections_max}
    return type("WorkerConnection", (Connection,), of_all)
