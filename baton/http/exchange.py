"""One completion request and its answer, on one connection of a caller."""

import asyncio
import secrets
from collections.abc import Callable, Iterable
from typing import Protocol

from baton.errors import RequestError
from baton.http.paths import Where, path_to
from baton.telemetry.refused import Asked, model_in

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
    421: b"Misdirected Request",
    422: b"Unprocessable Content",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
}


NOTED_HEADERS = frozenset(
    (
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"expect",
        b"idempotency-key",
        b"origin",
        b"transfer-encoding",
        b"x-api-key",
        b"x-baton-deterministic",
        b"x-baton-strict",
    )
)
"""What Baton itself acts upon: found in one pass over a request's headers."""
WHOLE = b"HTTP/1.1 200 OK\r\n%b%bcontent-length: %d\r\n\r\n%b"
STATUS_LINES = {code: b"HTTP/1.1 %d %b\r\n" % (code, name) for code, name in REASONS.items()}


class Line(Protocol):
    """What an exchange needs of the connection that it is on."""

    headers: list[HeaderPair]

    @property
    def write_paused(self) -> bool: ...

    @property
    def client_address(self) -> str: ...

    def date(self) -> bytes: ...

    def write(self, data: bytes) -> bool: ...

    def filler(
        self, form: bytes, length: int, encode: Callable[[str], bytes]
    ) -> Callable[[str], bool]: ...

    def abort(self) -> None: ...

    async def drain(self) -> None: ...

    def exchange_done(self, exchange: "Exchange") -> None: ...


class Exchange:
    """What the completion room sees of HTTP.

    Writers: `respond` once; or `start_stream`, any number of `send`, then `end` (or `abort`). What
    they call `lines` are whole header lines, each with its CRLF. Once the client is gone every
    write does nothing, and the task that runs the exchange is cancelled.
    """

    body_complete = started = streams = done = begun = False
    """The body is whole; a byte of the answer went out; it is a stream; all of it is out; its task
    runs."""
    task: asyncio.Task[None] | None = None
    _chunks: bytearray | None = None
    """The body, where it came in more than one part: kept apart, small ones took 25 times that."""
    _body = b""
    size = 0
    """Bytes of the body that are here."""

    def __init__(
        self, line: Line, noted: dict[bytes, bytes], *, where: Where, http_1_0: bool, keep: bool
    ) -> None:
        """`noted`: what `note` found in the headers of the line."""
        self._line, self.noted = line, noted
        self.headers, self.where = line.headers, where
        self.model, self.door = where
        """The model that the path fixes (`/m/{model}/…`); "" when it fixes none, and the
        shape of request and answer (`doors`), "" for OpenAI's."""
        self.http_1_0, self.keep_alive = http_1_0, keep

    @property
    def client(self) -> str:
        """The address at the other end of the connection."""
        return self._line.client_address

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header; names are lower-case."""
        if name in NOTED_HEADERS:
            return self.noted.get(name)
        for field, value in self.headers:
            if field == name:
                return value
        return None

    @property
    def body(self) -> bytes:
        return self._body if self._chunks is None else bytes(self._chunks)

    def asked(self, request_id: str, model: str | None = None) -> Asked:
        """What is asked for. `model`: where the body is decoded; None: as far as it tells that."""
        if model is None:
            model = self.model or model_in(self.body)
        return Asked(request_id, f"POST {path_to(self.where)}", model)

    def take(self, body: bytes) -> None:
        """The whole body, which is within its limit."""
        self._body, self.size, self.body_complete = body, len(body), True

    def give(self) -> bytes:
        """What is here of the body, which is gone from here: the whole is taken later."""
        part, self._body, self._chunks = self.body, b"", None
        return part

    def add(self, part: bytes, body_bytes_max: int) -> bool:
        """Take a part of the body; False when there is too much of it."""
        self.size += len(part)
        if self.size > body_bytes_max:
            self._body, self._chunks = b"", None
            return False
        if self.size == len(part):
            self._body = part
        elif self._chunks is None:
            self._chunks = bytearray(self._body + part)
            self._body = b""
        else:
            self._chunks += part
        return True

    def respond(self, status: int, lines: bytes, body: bytes) -> None:
        """The whole answer in one write."""
        self.started = True
        line = self._line
        if status == 200 and self.keep_alive and not self.http_1_0:
            line.write(WHOLE % (line.date(), lines, len(body), body))
        else:
            head = self._head(status, lines)
            line.write(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body))
        self._finish()

    def start_stream(self, lines: bytes) -> None:
        """Status 200 and the headers."""
        self.started = self.streams = True
        if self.http_1_0:
            self.keep_alive = False  # the end of the connection is the end of the body
        head = self._head(200, lines)
        head += b"\r\n" if self.http_1_0 else b"transfer-encoding: chunked\r\n\r\n"
        self._line.write(head)

    def send(self, event: bytes) -> bool:
        """One SSE event in one write, framed as one HTTP chunk. False where the client takes less
        than it is sent (`paused`)."""
        return self._line.write(event if self.http_1_0 else b"%x\r\n%b\r\n" % (len(event), event))

    def sender(
        self, before: bytes, after: bytes, encode: Callable[[str], bytes]
    ) -> Callable[[str], bool]:
        """`send` of events that are the same but for a text, encoded, between these two."""
        if self.http_1_0:
            return lambda text: self.send(before + encode(text) + after)
        fixed = [part.replace(b"%", b"%%") for part in (before, after)]
        form = b"%%x\r\n%b%%b%b\r\n" % (*fixed,)
        return self._line.filler(form, len(before) + len(after), encode)

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

    def _head(self, status: int, lines: bytes) -> bytes:
        """All but what frames the body."""
        kept = b""
        if not self.keep_alive:
            kept = b"connection: close\r\n"
        elif self.http_1_0:
            kept = b"connection: keep-alive\r\n"
        first = STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
        return first + self._line.date() + lines + kept

    def _finish(self) -> None:
        self.done = True
        self._line.exchange_done(self)


def note(headers: Iterable[HeaderPair]) -> dict[bytes, bytes]:
    """The first value of each header that Baton acts upon."""
    noted: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in NOTED_HEADERS:
            noted.setdefault(name, value)
    return noted


def header_lines(pairs: Iterable[HeaderPair]) -> bytes:
    """Headers as they go out."""
    return b"".join([b"%b: %b\r\n" % pair for pair in pairs])


def header_pairs(lines: bytes) -> tuple[HeaderPair, ...]:
    """What `header_lines` was given."""
    pairs = [line.partition(b": ") for line in lines.split(b"\r\n") if line]
    return tuple((name, value) for name, _, value in pairs)


def error_lines(error: RequestError) -> bytes:
    """Content type and what the error itself wants told."""
    pairs = [(b"content-type", b"application/json")]
    pairs += [(name.encode(), value.encode("latin-1", "replace")) for name, value in error.headers]
    return header_lines(pairs)


def refusal(error: RequestError, date: bytes, request_id: str) -> bytes:
    """A whole answer outside any exchange, the last one of its connection."""
    body, first = error.body(), STATUS_LINES[error.status]
    end = b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(body), body)
    return b"".join([first, date, edge_lines(error, request_id), end])


def edge_id() -> str:
    """To ask about a request that is refused before it has an id."""
    return f"req_{secrets.token_hex(8)}"


def edge_lines(error: RequestError, request_id: str) -> bytes:
    """Of an error that no turn tells."""
    return b"%bx-request-id: %b\r\n" % (error_lines(error), request_id.encode())
