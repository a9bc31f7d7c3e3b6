"""An HTTP/1.1 server on 127.0.0.1 that answers with whatever bytes a test wants.

It reads whole requests, records them, and runs one answering coroutine per request, which writes
raw bytes, waits, closes or resets. It counts what tests ask about: accepted connections, and
answers that the other side broke off (which the socket tells at once).
"""

import asyncio
import contextlib
import json
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Self, cast


class Request:
    """One request as it arrived; header names in lower case."""

    def __init__(self, head: bytes, body: bytes) -> None:
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.path, _ = lines[0].split(" ", 2)
        pairs = [line.partition(":") for line in lines[1:] if line]
        self.headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        self.head, self.body = head, body


class Exchange:
    """One request under way; the answering coroutine's handle on the socket."""

    def __init__(self, session: "_Session", request: Request) -> None:
        self._session, self.request = session, request
        self.sent_bytes = 0

    @property
    def server(self) -> "WireServer":
        return self._session.server

    async def send(self, *parts: bytes) -> None:
        """Write, one segment per part, waiting while the socket takes no more."""
        for part in parts:
            await self._session.writable.wait()
            self._session.transport.write(part)
            self.sent_bytes += len(part)

    async def stall(self) -> None:
        """Say nothing more, for ever."""
        await asyncio.get_running_loop().create_future()

    def close(self) -> None:
        """End the connection in order (FIN)."""
        self._session.ended = True
        self._session.transport.close()

    def reset(self) -> None:
        """End it with RST."""
        self._session.ended = True
        sock = self._session.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._session.transport.abort()


Answer = Callable[[Exchange], Awaitable[None]]


class _Session(asyncio.Protocol):
    def __init__(self, server: "WireServer") -> None:
        self.server = server
        self.buffer = b""
        self.task: asyncio.Task[None] | None = None
        self.ended = False
        self.writable = asyncio.Event()
        self.writable.set()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.server.sessions.add(self)
        self.server.accepted += 1
        self.server.changed()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self.next_request()

    def next_request(self) -> None:
        head, separator, rest = self.buffer.partition(b"\r\n\r\n")
        if self.task is not None or not separator:
            return
        lengths = [
            int(line.partition(b":")[2])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        ]
        length = lengths[0] if lengths else 0
        if len(rest) < length:
            return
        self.buffer = rest[length:]
        request = Request(head, rest[:length])
        self.server.requests.append(request)
        self.server.changed()
        self.task = asyncio.get_running_loop().create_task(self.answer(Exchange(self, request)))

    async def answer(self, exchange: Exchange) -> None:
        await self.server.answer(exchange)
        self.task = None
        self.server.answered += 1
        self.server.changed()
        if not self.ended:
            self.next_request()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.sessions.discard(self)
        if self.task is not None and not self.ended:
            self.server.aborted += 1
        if self.task is not None:
            self.task.cancel()
        self.server.changed()


class WireServer:
    """`async with WireServer(answer) as server:` listens on `server.port`."""

    def __init__(self, answer: Answer, *, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self.accepted = self.answered = self.aborted = 0
        self.sessions: set[_Session] = set()
        self.port = port
        self._tls = tls
        self._change = asyncio.Event()
        self._listener: asyncio.Server | None = None

    @property
    def url(self) -> str:
        scheme = "https" if self._tls else "http"
        return f"{scheme}://127.0.0.1:{self.port}"

    @property
    def listening(self) -> Sequence[socket.socket]:
        """The sockets that it accepts on; what is set on them holds for new connections."""
        assert self._listener is not None
        return self._listener.sockets

    def changed(self) -> None:
        self._change.set()

    async def until(self, condition: Callable[[], bool], within_s: float = 5.0) -> None:
        """Returns when the condition holds; TimeoutError when it does not in time.

        Looks at every change of this server and, for conditions on the other side, each 5 ms."""
        async with asyncio.timeout(within_s):
            while not condition():
                self._change.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.005):
                        await self._change.wait()

    async def start(self) -> Self:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            lambda: _Session(self), "127.0.0.1", self.port, ssl=self._tls
        )
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        assert self._listener is not None
        self._listener.close()
        for session in list(self.sessions):
            session.ended = True
            session.transport.abort()
        await self.until(lambda: not self.sessions)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()


def whole(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A complete answer with a length."""
    fields = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers)
    return "\r\n".join(fields).encode() + b"\r\n\r\n" + body


def chunked_head(*headers: str, status: str = "200 OK") -> bytes:
    fields = (f"HTTP/1.1 {status}", "Transfer-Encoding: chunked", *headers)
    return "\r\n".join(fields).encode() + b"\r\n\r\n"


def json_answer(body: dict[str, Any], status: str = "200 OK") -> bytes:
    return whole(json.dumps(body).encode(), "Content-Type: application/json", status=status)


def whole_head(answer: bytes) -> bytes:
    return whole(b"x" * len(answer), "Content-Type: application/json")[: -len(answer)]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"
