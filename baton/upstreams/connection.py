"""One HTTP/1.1 connection to an upstream: its socket, its framing, its states.

Theory of operation. A `Connection` lives as long as its socket and carries one request at a time.
Each request has its own `Response`; the two know each other only while the request is under way, so
a late `close()` of a finished response can never hit the request that borrowed the connection next.

    idle ──send──> busy ──whole body read──> idle          (the pool gets it back)
                    │└──dismissed, body under way──> draining ──body ended──> idle
                    └──close(), cancel, failure, limit──> aborted, then closed

The socket is read into one buffer that all connections of a transport share: a read is turned into
body parts before the next one begins. What the parts of an answer may hold is bounded: beyond
`buffered_bytes_max` the socket is not read until the reader has taken what there is, which slows
the upstream through TCP. At most one more read (READ_BYTES; over TLS a little more than the 64 KiB
that a read of the socket has) lies in hand.

The head is collected until its empty line and limited before anything parses it. llhttp (httptools)
decides the framing and refuses every ambiguity: two lengths, length with chunking, folded lines,
bare CR or LF. What it leaves open is decided in `_Head`.
"""

import asyncio
from typing import Any, Protocol, cast

import httptools

from baton.http.usual import UsualAnswers
from baton.long_text import LONG_BYTES
from baton.upstreams.base import Kind, Phase
from baton.upstreams.endpoint import TransportLimits
from baton.upstreams.failures import failure, lost
from baton.upstreams.response import Response
from baton.upstreams.text_events import TakeRead

READ_BYTES = 8 * 1024
LINE_END = b"\n"[0]
BROKEN = (httptools.HttpParserError, httptools.HttpParserUpgrade)
DRAINED_BYTES_MAX = 4096
"""What may follow an answer that its reader has seen the end of: a last chunk, trailers."""

Body = bytes | tuple[bytes | memoryview, ...]
"""What a request says, or its parts: long ones are not joined, only written one after the other."""


class Pool(Protocol):
    """What a connection needs of the transport that owns it."""

    limits: TransportLimits
    tick: int
    """A coarse clock; connections note it instead of reading a real one."""
    usual: UsualAnswers

    def released(self, connection: "Connection") -> None: ...

    def closed(self, connection: "Connection") -> None: ...


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
        "_between",
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
        self._drained = self._between = False
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

    def send(self, head: bytes, body: Body) -> Response:
        """Write a request; its answer is to be awaited with `wait_head`."""
        assert self.alive, self
        assert self.response is None, self
        self.touched_tick = self._pool.tick
        self.served += 1
        self._partial_head = b""
        self._interim_answers, self._between = 0, False
        self.response = response = Response(self)
        if isinstance(body, bytes) and len(body) < LONG_BYTES:
            self.transport.write(b"%b%d\r\n\r\n%b" % (head, len(body), body))
            return response
        parts = (body,) if isinstance(body, bytes) else body
        self.transport.writelines((b"%b%d\r\n\r\n" % (head, sum(map(len, parts))), *parts))
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

    def close_abruptly(self, detail: str) -> None:
        """Abort, and tell the reader why."""
        self._fail("network", detail)

    def abort(self) -> None:
        """Close the socket now, whatever it was doing."""
        self.alive = False
        self.response = None
        self.transport.abort()

    # what the response calls

    @property
    def response_bytes_max(self) -> int:
        return self._pool.limits.response_bytes_max

    def release(self) -> None:
        """The whole answer was read: give the connection back, or close it where it cannot stay."""
        self.response = None
        self.draining = False
        if self.reading_paused and self.alive:
            self.resume()
        if self._keep and self.alive and not self.transport.is_closing():
            self._pool.released(self)
        else:
            self.abort()  # an end in order is waited for over TLS, and there is nothing to be said

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
        if response is None:
            return self._read_nobodys(nbytes)
        pool = self._pool
        self.touched_tick = pool.tick
        texts = response.texts
        if texts is not None and self._between and self._poured(response, texts, nbytes):
            return None
        try:
            if response.status:
                self._parser.feed_data(self._view[:nbytes])
            else:
                data = bytes(self._view[:nbytes])
                if not self._partial_head and (body := pool.usual.body_of(data)) is not None:
                    return self._whole(response, body, nbytes)
                self._feed_head(response, data)
        except BROKEN:
            return self._fail("protocol", "broken HTTP framing")
        if self._between and self._view[nbytes - 1] != LINE_END:
            self._between = False  # it ended within the next chunk's size
        response.received_bytes = received = response.received_bytes + nbytes
        if received > pool.limits.response_bytes_max:
            return self._fail("protocol", "an answer of too many bytes")
        if response.status:
            response.came()
        if response.buffered_bytes > pool.limits.buffered_bytes_max and not response.complete:
            self.reading_paused = True
            self.transport.pause_reading()
        return None

    def _read_nobodys(self, nbytes: int) -> None:
        """What comes behind an answer whose reader has seen its end."""
        if not self.draining:
            return self.abort()  # idle, and it speaks: nothing it says can be an answer
        try:
            self._parser.feed_data(self._view[:nbytes])
        except BROKEN:
            return self._fail("protocol", "broken HTTP framing")
        if self._drained and self._keep:
            self.release()
        elif self._drained or nbytes > DRAINED_BYTES_MAX:
            self.abort()
        return None

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

    def on_chunk_header(self) -> None:
        self._between = False

    def on_chunk_complete(self) -> None:
        self._between = True

    def on_message_complete(self) -> None:
        self._between = False  # what follows is no part of it
        if self.response is not None:
            self.response.complete = True
        else:
            self._drained = True

    # inside

    def _poured(self, response: Response, texts: TakeRead, nbytes: int) -> bool:
        """Whether it was texts and nothing else, as by far the most of a stream is, and was taken.
        llhttp stands between two chunks, and does not have to see what is whole ones."""
        try:
            taken = texts(bytes(self._view[:nbytes]))
        except Exception as error:  # noqa: BLE001 — it is raised where `pour` is awaited
            response.stop(error)
            return True
        if taken is False:
            response.stop()
        return taken is not None

    def _whole(self, response: Response, body: bytes, nbytes: int) -> None:
        """An answer whose head is known came whole."""
        usual = self._pool.usual
        response.head, response.head_folded, response.status = usual.head, usual.folded, 200
        response.received_bytes, response.complete, self._keep = nbytes, True, True
        if body:
            response.append(body)
        response.came()

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
        whole = not self._partial_head and not self._interim_answers
        self._partial_head = b""
        self._ends_by_close = head.ends_by_close
        self._parser.feed_data(data)
        whole = whole and response.complete and self._keep and response.status == 200
        if whole and len(data) <= limits.response_bytes_max:
            self._pool.usual.learn(data, response.head, response.head_folded)
        return None

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
