"""A long body on its way: received into the place where it stays, without a parser in between.

Theory of operation. Once the head of a completion is known and some of its body is still to come,
the socket is given to a `LongBody` for as long. The system writes into one buffer of the body's
length what otherwise would be copied three times: into a part, out of the parser, into the whole.
No more than the body is ever read, so what comes behind it is untouched. Only bodies whose length
was told are received so, of the request whose turn it is; a chunked one is short or its parts are.

A head that is the usual one (`usual.py`) was not parsed: any rest of its body is received so. Where
the parser read the head, it is worth it for a long rest alone (`receive`): the parser, which saw
none of that, is replaced.

Time limits stay with the connection, which knows how long the body may take. When it refuses, it
has the socket back once more of the body comes, and that is dropped as any other.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

import httptools

from baton.http.exchange import Exchange

LONG_BYTES = 64 * 1024
"""Of a body still to come; less is received before the socket could be given away."""


class Taken(Protocol):
    """What is needed of the connection."""

    transport: asyncio.Transport
    refused: bool

    def came(self, size: int) -> bool:
        """So much of the body is here by now. Whether it is still wanted."""

    def connection_lost(self, exc: Exception | None) -> None: ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...


class LongBody(asyncio.BufferedProtocol):
    """The rest of one request's body, of which a part is here already."""

    def __init__(
        self,
        connection: Taken,
        length: int,
        part: bytes | memoryview,
        take: Callable[[bytes], None],
    ) -> None:
        """Takes over the connection's socket. `take` is given the whole body once it is here, and
        the connection has its socket back."""
        self._connection, self._take = connection, take
        self._body = bytearray(length)
        self._body[: len(part)] = part
        self._rest = memoryview(self._body)[len(part) :]
        connection.transport.set_protocol(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._rest

    def buffer_updated(self, nbytes: int) -> None:
        connection = self._connection
        if not connection.refused:
            self._rest = self._rest[nbytes:]
            if connection.came(len(self._body) - len(self._rest)) and self._rest:
                return
        connection.transport.set_protocol(cast(asyncio.Protocol, connection))
        if not connection.refused:
            # Typed as bytes, like any other: nobody writes into it from here on.
            self._take(cast(bytes, self._body))

    def let_go(self) -> None:
        """Of what has come, as it is refused."""
        self._body = bytearray(LONG_BYTES)
        self._rest = memoryview(self._body)

    def eof_received(self) -> None:
        """The client has gone in the middle: the transport closes."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()


class Parsed(Taken, Protocol):
    """A connection whose parser read the head."""

    parser: httptools.HttpRequestParser

    def on_message_complete(self) -> None: ...


def receive(connection: Parsed, exchange: Exchange) -> None:
    """Take over the socket, where enough of the body is still to come."""
    length = int(exchange.noted.get(b"content-length", 0))
    if length - exchange.size < LONG_BYTES:
        return

    def take(body: bytes) -> None:
        exchange.take(body)
        connection.parser = httptools.HttpRequestParser(connection)
        connection.on_message_complete()

    LongBody(connection, length, exchange.give(), take)
