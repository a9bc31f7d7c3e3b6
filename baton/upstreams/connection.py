"""One HTTP/1.1 connection to an upstream, and the answer that it is busy with.

Theory of operation. A `Connection` lives as long as its socket and carries one request at a time.
Each request has its own `Response`; the two know each other only while the request is under way, so
a late `close()` of a finished response can never hit the request that borrowed the connection next.

    idle ──send──> busy ──whole body read──> idle          (the pool gets it back)
                    │└──dismissed, body under way──> draining ──body ended──> idle
                    └──close(), cancel, failure, limit──> aborted, then closed

The socket is read into one buffer that all connections of a transport share: a read is turned into
body parts before the next one begins. What the parts of an answer may hold is bounded: beyond
`buffered_bytes_max` the socket is not read until the reader has taken what there is, which slows
the upstream through TCP. At most one more read (READ_BYTES) lies in hand.

The head is collected until its empty line and limited before anything parses it. llhttp (httptools)
decides the framing and refuses every ambiguity: two lengths, length with chunking, folded lines,
bare CR or LF. What it leaves open is decided in `_Head`.
"""

import asyncio
from typing import Any, Protocol, cast

import httptools

from baton.upstreams.base import Kind, Phase, UpstreamError
from baton.upstreams.endpoint import TransportLimits
from baton.upstreams.failures import failure, lost

READ_BYTES = 32 * 1024
PARTS_MAX = 64
"""Tiny chunks cost more as objects than as bytes: beyond so many parts they are joined."""
DRAINED_BYTES_MAX = 4096
"""What may follow an answer that its reader has seen the end of: a last chunk, trailers."""


class Pool(Protocol):
    """What a connection needs of the transport that owns it."""

    limits: TransportLimits
    tick: int
    """A coarse clock; connections note it instead of reading a real one."""

    def released(self, connection: "Connection") -> None: ...

    def closed(self, connection: "Connection") -> None: ...


class Response:
    """One answer. `read_some` gives body bytes as they come and b"" at the end; one reader.

    Whoever has it must read it to the end, `dismiss` it or `close` it. A cancelled read closes it.
    """

    __slots__ = (
        "_connection",
        "_parts",
        "_waiter",
        "body_bytes",
        "buffered_bytes",
        "complete",
        "error",
        "head",
        "head_folded",
        "received_bytes",
        "started_tick",
        "status",
    )

    def __init__(self, connection: "Connection") -> None:
        self._connection: Connection | None = connection
        self._parts: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self.body_bytes = self.buffered_bytes = self.received_bytes = 0
        self.complete = False
        self.error: UpstreamError | None = None
        self.head = self.head_folded = b""
        self.started_tick = connection.touched_tick
        self.status = 0

    def __repr__(self) -> str:
        state = "complete" if self.complete else "failed" if self.error else "running"
        return f"<Response {self.status} {state} body={self.body_bytes}>"

    def header(self, name: str) -> str | None:
        """The first value of a header, by its lower-case name; None where it is not sent."""
        key = b"\r\n" + name.encode() + b":"
        start = self.head_folded.find(key)
        if start < 0:
            return None
        start += len(key)
        return self.head[start : self.head.find(b"\r\n", start)].strip().decode("latin-1")

    async def read_some(self) -> bytes:
        """Some of the body, at least a byte; b"" once it has ended. Raises UpstreamError when the
        answer breaks off, after everything that came before the break has been read."""
        while not self._parts:
            if self.complete:
                return b""
            if self.error is not None:
                raise self.error
            await self._more()
        parts = self._parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self.buffered_bytes = 0
        connection = self._connection
        if connection is not None:
            if self.complete:
                self._connection = None
                connection.release()
            elif connection.reading_paused and connection.alive:
                connection.resume()
        return data

    async def read_all(self, body_bytes_max: int) -> bytes:
        """The whole body. Raises UpstreamError where it is larger, and closes."""
        found = bytearray()
        while data := await self.read_some():
            found += data
            if len(found) > body_bytes_max:
                self.close()
                raise failure("stream", "protocol", f"a body of more than {body_bytes_max} bytes")
        return bytes(found)

    async def wait_head(self) -> None:
        """Returns when status and headers are there; raises UpstreamError."""
        while not self.status:
            if self.error is not None:
                raise self.error
            await self._more()
        if self.complete and not self._parts and self._connection is not None:
            connection, self._connection = self._connection, None
            connection.release()

    def dismiss(self) -> None:
        """The reader has all it needs: let the rest of the body pass by, so that the connection can
        be used again, but only if it ends at once."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        self._parts.clear()
        if self.complete:
            connection.release()
        else:
            connection.drain()

    def close(self) -> None:
        """Abort unless the body was read whole. Any number of times, from anywhere."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self.error is None and not self.complete:
            self.error = failure("stream" if self.status else "first_byte", "network", "let go")
        connection.abort()
        self.wake()

    def wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def append(self, part: bytes) -> None:
        self._parts.append(part)
        self.buffered_bytes += len(part)

    def compact(self) -> None:
        if len(self._parts) > PARTS_MAX:
            self._parts[:] = [b"".join(self._parts)]

    async def _more(self) -> None:
        connection = self._connection
        assert connection is not None, "read before the end"
        assert self._waiter is None, "one reader"
        self._waiter = connection.loop.create_future()
        try:
            await self._waiter
        except asyncio.CancelledError:
            self.close()
            raise


class _Head:
    """What the raw head says of the body that follows. Names are folded to lower case."""

    __slots__ = ("ends_by_close", "fault")

    def __init__(self, folded: bytes) -> None:
        chunked = b"\r\ntransfer-encoding:" in folded
        self.ends_by_close = not chunked and b"\r\ncontent-length:" not in folded
        self.fault = ""
        if chunked and _values(folded, b"transfer-encoding") != [b"chunked"]:
            self.fault = "a transfer encoding that was not asked for"
        if b"\r\ncontent-encoding:" in folded:
            coded = [v for v in _values(folded, b"content-encoding") if v not in (b"", b"identity")]
            if coded:
                self.fault = "a compressed answer, which was not asked for"


def _values(folded: bytes, name: bytes) -> list[bytes]:
    pieces = folded.split(b"\r\n" + name + b":")[1:]
    return [piece.partition(b"\r\n")[0].strip() for piece in pieces]


class Connection(asyncio.BufferedProtocol):
    """The socket's side: bytes in, the current Response filled, the pool told what became of it."""

    __slots__ = (
        "_answered",
        "_drained",
        "_ends_by_close",
        "_interim_answers",
        "_keep",
        "_parser",
        "_partial_head",
        "_pool",
        "_view",
        "_writing_paused",
        "alive",
        "draining",
        "idle_since_tick",
        "loop",
        "reading_paused",
        "response",
        "served",
        "touched_tick",
        "transport",
    )

    def __init__(self, pool: Pool, view: memoryview, loop: asyncio.AbstractEventLoop) -> None:
        self._pool, self._view, self.loop = pool, view, loop
        self._parser: Any = httptools.HttpResponseParser(self)
        self._partial_head = b""
        self._interim_answers = 0
        self._keep = self._ends_by_close = self._writing_paused = False
        self._answered = self._drained = False
        self.alive = False
        self.draining = self.reading_paused = False
        self.response: Response | None = None
        self.served = 0
        self.touched_tick = self.idle_since_tick = pool.tick
        self.transport: asyncio.Transport

    def __repr__(self) -> str:
        state = "closed"
        if self.alive:
            state = "busy" if self.response else "draining" if self.draining else "idle"
        return f"<Connection {state} served={self.served}>"

    # what the transport calls

    def send(self, head: bytes, body: bytes) -> Response:
        """Write a request; its answer is to be awaited with `wait_head`."""
        assert self.alive, self
        assert self.response is None, self
        self.touched_tick = self._pool.tick
        self.served += 1
        self._partial_head = b""
        self._interim_answers = 0
        self._answered = False
        self.response = response = Response(self)
        self.transport.write(b"%b%d\r\n\r\n%b" % (head, len(body), body))
        return response

    def check(self, tick: int, tick_s: float) -> None:
        """Called by the transport's sweep: cut what has taken too long."""
        response, limits = self.response, self._pool.limits
        if response is None:
            if self.draining and tick - self.touched_tick > 1 + limits.stale_window_s / tick_s:
                self.abort()
            return
        if self.reading_paused:
            self.touched_tick = tick  # the upstream waits for us, not we for it
        silent_s = (tick - self.touched_tick - 1) * tick_s
        total_s = (tick - response.started_tick - 1) * tick_s
        limit_s = limits.stall_timeout_s if response.status else limits.first_byte_timeout_s
        if silent_s >= limit_s:
            self._fail("timeout", f"no byte for {limit_s:g} s")
        elif total_s >= limits.total_timeout_s:
            self._fail("timeout", f"not whole after {limits.total_timeout_s:g} s")

    @property
    def answered(self) -> bool:
        """Whether a byte of the answer to the last request came."""
        return self._answered

    def close_abruptly(self, detail: str) -> None:
        """Abort, and tell the reader why."""
        self._fail("network", detail)

    def abort(self) -> None:
        """Close the socket now, whatever it was doing."""
        self.alive = False
        self.response = None
        self.transport.abort()

    # what the response calls

    def release(self) -> None:
        """The whole answer was read: give the connection back, or close it where it cannot stay."""
        self.response = None
        self.draining = False
        if self.reading_paused and self.alive:
            self.resume()
        if self._keep and self.alive and not self.transport.is_closing():
            self._pool.released(self)
        else:
            self.alive = False
            self.transport.close()

    def drain(self) -> None:
        response, self.response = self.response, None
        assert response is not None
        self.draining, self._drained = True, False
        self.touched_tick = self._pool.tick
        if not self._keep or self.reading_paused:
            self.abort()

    def resume(self) -> None:
        self.reading_paused = False
        self.touched_tick = self._pool.tick
        self.transport.resume_reading()

    # asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.alive = True

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        response = self.response
        if response is None and not self.draining:
            self.abort()  # an idle connection that speaks: nothing it says can be an answer
            return
        self._answered = True
        if response is not None:  # a drain has one limit, however lively it is
            self.touched_tick = self._pool.tick
        try:
            if response is not None and not response.status:
                self._feed_head(response, bytes(self._view[:nbytes]))
            else:
                self._parser.feed_data(self._view[:nbytes])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail("protocol", "broken HTTP framing")
            return
        if response is not None:
            self._after_read(response, nbytes)
        elif self._drained and self._keep:
            self.release()
        elif self._drained or nbytes > DRAINED_BYTES_MAX:
            self.abort()

    def eof_received(self) -> bool:
        return False  # closes the transport; connection_lost says what that means

    def connection_lost(self, exc: Exception | None) -> None:
        response, self.response = self.response, None
        self.alive = False
        if response is not None and not response.complete:
            if exc is None and response.status and self._ends_by_close:
                response.complete = True
            elif response.error is None:
                response.error = lost(self._phase(response), exc)
        if response is not None:
            response.wake()
        self._pool.closed(self)

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self.touched_tick = self._pool.tick

    # httptools

    def on_message_begin(self) -> None:
        if self.response.complete if self.response is not None else self._drained:
            self._keep = False  # bytes behind the answer: nobody's, so nobody may get them

    def on_headers_complete(self) -> None:
        response = self.response
        if response is None or response.complete:
            return
        response.status = self._parser.get_status_code()
        # llhttp knows no end but the socket's for an answer without length; 204 and 304 have none.
        self._ends_by_close = self._ends_by_close and response.status not in (204, 304)
        self._keep = self._parser.should_keep_alive() and not self._ends_by_close

    def on_body(self, part: bytes) -> None:
        response = self.response
        if response is not None and not response.complete:
            response.append(part)
            response.body_bytes += len(part)

    def on_message_complete(self) -> None:
        if self.response is not None:
            self.response.complete = True
        else:
            self._drained = True

    # inside

    def _feed_head(self, response: Response, data: bytes) -> None:
        """Collect the head up to its empty line, step over 1xx answers, then let llhttp judge."""
        limits = self._pool.limits
        data = self._partial_head + data
        while True:
            if data[:7] != b"HTTP/1."[: len(data)]:
                return self._fail("protocol", "not HTTP/1")
            end = data.find(b"\r\n\r\n")
            if end > limits.head_bytes_max or (end < 0 and len(data) > limits.head_bytes_max):
                return self._fail("protocol", "a head of too many bytes")
            if end < 0:
                self._partial_head = data
                return None
            if data[8:10] != b" 1":
                break
            self._interim_answers += 1
            if data[8:12] == b" 101" or self._interim_answers > limits.interim_answers_max:
                return self._fail("protocol", "an interim answer that leads nowhere")
            data = data[end + 4 :]
        response.head = data[: end + 2]
        response.head_folded = folded = response.head.lower()
        head = _Head(folded)
        if head.fault or folded.count(b"\n") > limits.header_fields_max + 1:
            return self._fail("protocol", head.fault or "too many header fields")
        self._partial_head = b""
        self._ends_by_close = head.ends_by_close
        self._parser.feed_data(data)
        return None

    def _after_read(self, response: Response, nbytes: int) -> None:
        """Limits and back-pressure, once per read instead of once per part."""
        limits = self._pool.limits
        response.received_bytes += nbytes
        if response.received_bytes > limits.response_bytes_max:
            self._fail("protocol", f"an answer of more than {limits.response_bytes_max} bytes")
            return
        if response.buffered_bytes:
            response.compact()
            if response.buffered_bytes > limits.buffered_bytes_max and not response.complete:
                self.reading_paused = True
                self.transport.pause_reading()
            response.wake()
        elif response.complete or response.status:
            response.wake()

    def _fail(self, kind: Kind, detail: str) -> None:
        response = self.response
        self.abort()
        if response is None:
            return
        if not response.complete:
            response.error = response.error or failure(self._phase(response), kind, detail)
        response.wake()

    def _phase(self, response: Response) -> Phase:
        if response.status:
            return "stream"
        return "send" if self._writing_paused else "first_byte"
