"""One completion request and its answer, on one connection of a caller."""

import asyncio
import secrets
from collections.abc import Iterable
from typing import Protocol

from baton.errors import RequestError

HeaderPair = tuple[bytes, bytes]
REASONS = {
    200: b"OK",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    408: b"Request Timeout",
    409: b"Conflict",
    413: b"Content Too Large",
    415: b"Unsupported Media Type",
    422: b"Unprocessable Content",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
}


class Line(Protocol):
    """What an exchange needs of the connection that it is on."""

    headers: list[HeaderPair]

    @property
    def write_paused(self) -> bool: ...

    def date(self) -> bytes: ...

    def write(self, data: bytes) -> None: ...

    def abort(self) -> None: ...

    async def drain(self) -> None: ...

    def exchange_done(self, exchange: "Exchange") -> None: ...


class Exchange:
    """What the completion room sees of HTTP.

    Writers: `respond` once; or `start_stream`, any number of `send`, then `end` (or `abort`).
    Once the client is gone every write does nothing, and the task that runs the exchange is
    cancelled.
    """

    __slots__ = (
        "_chunks",
        "_line",
        "_size",
        "arrived",
        "body_complete",
        "client",
        "done",
        "headers",
        "http_1_0",
        "keep_alive",
        "model",
        "started",
        "task",
    )

    def __init__(
        self, line: Line, *, model: str, client: str, arrived: float, http_1_0: bool, keep: bool
    ) -> None:
        self._line = line
        self.headers = line.headers
        self.model = model
        """The model that the path fixes (`/m/{model}/…`); "" when it fixes none."""
        self.client = client
        """The address at the other end of the connection."""
        self.arrived = arrived
        """Loop time when the headers were complete."""
        self.http_1_0, self.keep_alive = http_1_0, keep
        self.body_complete = self.started = self.done = False
        self.task: asyncio.Task[None] | None = None
        self._chunks: list[bytes] = []
        self._size = 0

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header; names are lower-case."""
        for field, value in self.headers:
            if field == name:
                return value
        return None

    @property
    def body(self) -> bytes:
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    def add(self, part: bytes, body_bytes_max: int) -> bool:
        """Take a part of the body; False when there is too much of it."""
        self._size += len(part)
        if self._size > body_bytes_max:
            self._chunks.clear()
            return False
        self._chunks.append(part)
        return True

    def respond(self, status: int, headers: Iterable[HeaderPair], body: bytes) -> None:
        """The whole answer in one write."""
        self.started = True
        parts = self._head(status, headers)
        parts.append(b"content-length: %d\r\n\r\n" % len(body))
        parts.append(body)
        self._line.write(b"".join(parts))
        self._finish()

    def start_stream(self, headers: Iterable[HeaderPair], first: bytes = b"") -> None:
        """Status 200 and the headers; with `first`, in one write with the first event."""
        self.started = True
        if self.http_1_0:
            self.keep_alive = False  # the end of the connection is the end of the body
        parts = self._head(200, headers)
        parts.append(b"\r\n" if self.http_1_0 else b"transfer-encoding: chunked\r\n\r\n")
        if first:
            parts.append(self._chunk(first))
        self._line.write(b"".join(parts))

    def send(self, event: bytes) -> None:
        """One SSE event in one write, framed as one HTTP chunk."""
        self._line.write(self._chunk(event))

    def end(self, last: bytes = b"") -> None:
        """The last event, if any, and the end of the stream, in one write."""
        tail = self._chunk(last) if last else b""
        self._line.write(tail if self.http_1_0 else tail + b"0\r\n\r\n")
        self._finish()

    def abort(self) -> None:
        """Break off: the client must not take what it has for whole."""
        self.done = True
        self._line.abort()

    @property
    def paused(self) -> bool:
        """Whether the client takes less than it is sent: await `drain` before sending more."""
        return self._line.write_paused

    async def drain(self) -> None:
        """Wait until the client has taken enough; one that takes nothing is cut after a time."""
        await self._line.drain()

    def _chunk(self, data: bytes) -> bytes:
        return data if self.http_1_0 else b"%x\r\n%b\r\n" % (len(data), data)

    def _head(self, status: int, headers: Iterable[HeaderPair]) -> list[bytes]:
        parts = [b"HTTP/1.1 %d %b\r\n" % (status, REASONS.get(status, b"")), self._line.date()]
        for name, value in headers:
            parts.append(b"%b: %b\r\n" % (name, value))
        if not self.keep_alive:
            parts.append(b"connection: close\r\n")
        elif self.http_1_0:
            parts.append(b"connection: keep-alive\r\n")
        return parts

    def _finish(self) -> None:
        self.done = True
        self._line.exchange_done(self)


def error_headers(error: RequestError) -> list[HeaderPair]:
    """Content type and what the error itself wants told."""
    pairs = [(b"content-type", b"application/json")]
    pairs += [(name.encode(), value.encode("latin-1", "replace")) for name, value in error.headers]
    return pairs


def edge_headers(error: RequestError) -> list[HeaderPair]:
    """Of an error that no exchange tells: an id to ask about, too."""
    return [*error_headers(error), (b"x-request-id", b"req_" + secrets.token_hex(8).encode())]
