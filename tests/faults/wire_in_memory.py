"""A server without sockets: the bytes of the real wire, handed to the relay's own connections.

    server = MemoryServer(FakeCompletions("vllm"))
    upstream = server.upstream("a")                # adapter, transport, HTTP framing: all real
    server.arm(Cut(after_bytes=400, reset=True))   # of the next answer

What a request is answered with is computed once and kept, so that the same answer can be broken at
thousands of places in a minute.
"""

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

from baton.upstreams.endpoint import TransportLimits, parse
from baton.upstreams.http import HttpUpstream
from baton.upstreams.registry import dialect
from baton.upstreams.transport import Transport
from tests.fakes.fake_completions import FakeCompletions
from tests.fakes.wire import Exchange, Request

HEAD_END = b"\r\n\r\n"
ConnectionT = TypeVar("ConnectionT", bound=asyncio.BaseProtocol)


@dataclasses.dataclass(frozen=True)
class Cut:
    """The connection ends behind so many bytes of an answer, which come in pieces of a size."""

    after_bytes: int
    reset: bool
    piece_bytes: int = 8 * 1024


class Caught:
    """Stands for an exchange of a fake; keeps what is sent."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.sent = b""

    async def send(self, *parts: bytes) -> None:
        self.sent += b"".join(parts)


class Line(asyncio.Transport):
    """One connection's other side."""

    def __init__(self, server: "MemoryServer", protocol: asyncio.BufferedProtocol) -> None:
        super().__init__()
        self._server, self._protocol = server, protocol
        self._loop = asyncio.get_running_loop()
        self._asked = self._coming = b""
        self._cut: Cut | None = None
        self._paused = self._over = False

    def write(self, data: Any) -> None:
        self._asked += data
        head, end, body = self._asked.partition(HEAD_END)
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if end and len(body) == length:
            self._asked = b""
            answer = self._server.answer(head, body)
            self._cut = self._server.hit(len(answer))
            self._coming += answer if self._cut is None else answer[: self._cut.after_bytes]
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        """The next piece, then what comes behind it."""
        if self._over or self._paused:
            return
        cut = self._cut
        buffer = cast(memoryview, self._protocol.get_buffer(-1))
        size = min(len(buffer), cut.piece_bytes if cut is not None else len(buffer))
        piece, self._coming = self._coming[:size], self._coming[size:]
        if piece:
            buffer[: len(piece)] = piece
            self._protocol.buffer_updated(len(piece))
        if self._coming:
            self._loop.call_soon(self._deliver)
        elif cut is not None and not self._over:
            if not cut.reset:
                self._protocol.eof_received()
            self._lose(ConnectionResetError() if cut.reset else None)

    def _lose(self, error: Exception | None) -> None:
        if not self._over:
            self._over = True
            self._protocol.connection_lost(error)

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        self._loop.call_soon(self._deliver)

    def is_closing(self) -> bool:
        return self._over

    def close(self) -> None:
        self._loop.call_soon(self._lose, None)

    def abort(self) -> None:
        self._loop.call_soon(self._lose, None)


class MemoryServer:
    """Implements the dialer of a transport; `fake` never listens."""

    def __init__(self, fake: FakeCompletions) -> None:
        self._fake = fake
        self._answers: dict[bytes, bytes] = {}
        self._armed: Cut | None = None
        self.hits = 0
        """Answers that were broken."""

    def arm(self, cut: Cut | None) -> None:
        """For the next answer that is long enough."""
        self._armed = cut

    def upstream(self, name: str, limits: TransportLimits | None = None) -> HttpUpstream:
        """Asks this server; to be called inside the loop that will use it."""
        kind = dialect(self._fake.dialect)
        endpoint = parse(
            "http://127.0.0.1:9",
            default_prefix=kind.prefix,
            allow_private=True,
            limits=limits or TransportLimits(),
        )
        return HttpUpstream(name, kind.adapter(), Transport(endpoint, (), self))

    async def dial(self, make: Callable[[], ConnectionT]) -> ConnectionT:
        connection = make()
        line = Line(self, cast(asyncio.BufferedProtocol, connection))
        connection.connection_made(line)
        return connection

    def answer(self, head: bytes, body: bytes) -> bytes:
        found = self._answers.get(body)
        if found is None:
            exchange = Caught(Request(head, body))
            self._fake._serial = 0  # so that equal questions have equal answers
            _run(self._fake._respond(cast(Exchange, exchange)))
            found = self._answers[body] = exchange.sent
        return found

    def hit(self, length: int) -> Cut | None:
        """The cut of an answer of so many bytes, if it is to be broken."""
        cut = self._armed
        if cut is None or cut.after_bytes >= length:
            return None
        self._armed = None
        self.hits += 1
        return cut


def _run(work: Coroutine[Any, Any, None]) -> None:
    """To its end, which it reaches by itself: it waits for nobody, but for its turn."""
    while True:
        try:
            work.send(None)
        except StopIteration:
            return
