"""One answer of an upstream, as its reader sees it; apart from the connection that carries it.

What comes in is put here by the connection and taken by one reader. The two know each other only
while the answer is under way: a late `close()` can never hit the next request on the connection.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from baton.upstreams.base import UpstreamError
from baton.upstreams.failures import failure
from baton.upstreams.text_events import TakeRead

PARTS_MAX = 64
"""Tiny chunks cost more as objects than as bytes: beyond so many parts they are joined."""


class Carrier(Protocol):
    """What an answer needs of its connection."""

    alive: bool
    loop: asyncio.AbstractEventLoop
    reading_paused: bool
    touched_tick: int

    @property
    def response_bytes_max(self) -> int: ...

    def release(self) -> None: ...
    def drain(self) -> None: ...
    def resume(self) -> None: ...
    def abort(self) -> None: ...


class Response:
    """One answer. `read_some` gives body bytes as they come and b"" at the end; one reader.

    Whoever has it must read it to the end, `dismiss` it or `close` it. A cancelled read closes it.
    """

    status = 0
    complete = reused = False
    """Whether its end came; whether its connection had served before."""
    sent_s = 0.0
    """When the request went out (loop time)."""
    queued_s = 0.0
    """How long it had waited for that, where all places were taken."""
    head = head_folded = b""
    buffered_bytes = received_bytes = 0
    error: UpstreamError | None = None
    _waiter: asyncio.Future[None] | None = None
    _take: Callable[[bytes], bool] | None = None
    """Who is given the body as it comes, while `pour` waits."""
    texts: TakeRead | None = None
    """Who is asked first, while `pour` waits."""
    _heard: Callable[[], None] | None = None
    """Who is told of the first news, while nobody reads (`listen`)."""

    def __init__(self, connection: Carrier) -> None:
        self._connection: Carrier | None = connection
        self._parts: list[bytes] = []
        self.started_tick = connection.touched_tick

    def __repr__(self) -> str:
        state = "complete" if self.complete else "failed" if self.error else "running"
        return f"<Response {self.status} {state} received={self.received_bytes}>"

    @property
    def bytes_left(self) -> int:
        """That may still come, as texts that are poured or else. 0 once it was read whole."""
        connection = self._connection
        return 0 if connection is None else connection.response_bytes_max - self.received_bytes

    def header(self, name: str) -> str | None:
        """The first value of a header, by its lower-case name; None where it is not sent."""
        key = b"\r\n" + name.encode() + b":"
        start = self.head_folded.find(key)
        if start < 0:
            return None
        start += len(key)
        return self.head[start : self.head.find(b"\r\n", start)].strip().decode("latin-1")

    def is_of(self, media_type: bytes) -> bool:
        """Whether the body is of this type (lower case), or the answer does not say."""
        if b"\r\ncontent-type: " + media_type in self.head_folded:
            return True  # the usual spelling, without building strings
        told = self.header("content-type")
        return told is None or told.lower().startswith(media_type.decode())

    async def read_some(self) -> bytes:
        """Some of the body, at least a byte; b"" once it has ended. Raises UpstreamError when the
        answer breaks off, after everything that came before the break has been read."""
        parts = self._parts
        while not parts:
            if self.complete:
                self.taken()
                return b""
            if self.error is not None:
                raise self.error
            await self._more()
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

    async def pour(self, take: Callable[[bytes], bool], texts: TakeRead | None = None) -> None:
        """Give the body to `take` as it comes, in the same call in which the socket was read: no
        reader is woken for each part. Returns when `take` says that it is enough, and before the
        end of the answer: what there is then is for `read_some`. Raises what `take` raises.

        `texts` is tried first, where there is one, with what was read as it stands on the wire."""
        if self._parts or self.complete or self.error is not None:
            return
        self._take, self.texts = take, texts
        try:
            await self._more()
        finally:
            self._take = self.texts = None

    async def read_all(self, body_bytes_max: int) -> bytes:
        """The whole body. Raises UpstreamError where it is larger, and closes."""
        found = bytearray()
        while data := await self.read_some():
            found += data
            if len(found) > body_bytes_max:
                self.close()
                raise failure("stream", "protocol", f"a body of more than {body_bytes_max} bytes")
        return bytes(found)

    def listen(self, heard: Callable[[], None]) -> None:
        """Have `heard` called once, at the first news: the head with whatever came in the same
        read, or a failure. Until then nobody may read."""
        self._heard = heard

    def unheard(self) -> None:
        """Whoever listened does not any more: the answer is a reader's."""
        self._heard = None

    @property
    def whole_body(self) -> bytes | None:
        """The body, if all of it came in one part. It stays: `taken` lets go of it."""
        parts = self._parts
        return parts[0] if self.complete and len(parts) == 1 else None

    def taken(self) -> None:
        """The whole body was taken: the connection serves others."""
        connection, self._connection = self._connection, None
        self._parts.clear()
        if connection is not None:
            connection.release()

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
        elif self.error is None:  # else it is gone, and nobody can use it again
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
        """Let the reader look, where one waits."""
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)
        elif self._heard is not None:
            heard, self._heard = self._heard, None
            heard()

    def came(self) -> None:
        """Bytes were read from the socket: tell whoever waits for them."""
        if self._take is None or self.complete:
            return self.wake()
        parts = self._parts
        if not parts:
            return None
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self.buffered_bytes = 0
        try:
            if self._take(data):
                return None
        except Exception as error:  # noqa: BLE001 — it is raised where `pour` is awaited
            return self.stop(error)
        return self.stop()

    def stop(self, error: Exception | None = None) -> None:
        """`pour` returns, or raises that error."""
        self._take = self.texts = None
        waiter = self._waiter
        if error is not None and waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_exception(error)
        self.wake()

    def append(self, part: bytes) -> None:
        """A part of the body came."""
        self._parts.append(part)
        self.buffered_bytes += len(part)
        if len(self._parts) > PARTS_MAX:
            self._parts[:] = [b"".join(self._parts)]

    async def _more(self) -> None:
        """Until there is more to look at. A cancelled wait closes."""
        connection = self._connection
        assert connection is not None, "read before the end"
        assert self._waiter is None, "one reader"
        self._waiter = waiter = connection.loop.create_future()
        try:
            await waiter
        except asyncio.CancelledError:
            self.close()
            raise
