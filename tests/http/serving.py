"""A worker's listener on 127.0.0.1 with a room of the test's choice, in a thread of its own."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from baton.config import Settings
from baton.http.connection import connection_class
from baton.http.exchange import Exchange
from baton.http.shared import SEND_BUFFER_BYTES, Room, Shared, sweep
from baton.telemetry.metrics import Metrics

TEXT = b"content-type: text/plain\r\n"


def post(body: bytes = b"hello", path: str = "/v1/completions", extra: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\n{extra}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def echo(exchange: Exchange) -> None:
    """Answers with what it was sent."""
    exchange.respond(200, TEXT, exchange.model.encode() + b":" + exchange.body)


async def told(request: Request) -> PlainTextResponse:
    """An ASGI route that tells how much body it got."""
    return PlainTextResponse(f"{request.url.path} {len(await request.body())}")


class Listener:
    """Address and inner state of a running listener."""

    def __init__(self, room: Room, settings: Settings, web: ASGIApp | None = None) -> None:
        """`web` is served beside the room; without it a route that tells what it got."""
        self.metrics = Metrics()
        self.shared = Shared(settings, room, metrics=self.metrics)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self.port: int = self.listening.getsockname()[1]
        self.loop: asyncio.AbstractEventLoop
        self.server = uvicorn.Server(
            uvicorn.Config(
                web or Starlette(routes=[Route("/{path:path}", told, methods=["GET", "POST"])]),
                http=connection_class(self.shared, self.shared.settings.connections_max),
                interface="asgi3",
                loop="none",
                ws="none",
                lifespan="off",
                log_config=None,
            )
        )
        self.thread = threading.Thread(target=lambda: uvloop.run(self._serve()))

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        sweeper = self.loop.create_task(sweep(self.shared, [self.server.server_state]))
        await self.server._serve([self.listening])
        sweeper.cancel()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)


@contextlib.contextmanager
def listening(room: Room, web: ASGIApp | None = None, **settings: object) -> Iterator[Listener]:
    """Run a listener while the block runs."""
    listener = Listener(room, Settings(**settings), web)  # type: ignore[arg-type]
    listener.thread.start()
    try:
        yield listener
    finally:
        listener.server.should_exit = True
        listener.thread.join(10)
        assert not listener.thread.is_alive()


@contextlib.contextmanager
def crowded() -> Iterator[tuple[Listener, socket.socket, socket.socket, threading.Event]]:
    """A listener that takes one exchange at a time, two callers, and what makes the room answer
    (`done`)."""
    hold = threading.Event()

    async def wait(exchange: Exchange) -> None:
        await asyncio.to_thread(hold.wait, 10)
        exchange.respond(200, TEXT, b"done")

    with (
        listening(wait, requests_in_flight_max=1) as listener,
        listener.connect() as first,
        listener.connect() as second,
    ):
        yield listener, first, second, hold


def filling(
    write: Callable[[bytes], bool], form: bytes, length: int, encode: Callable[[str], bytes]
) -> Callable[[str], bool]:
    """The `filler` of a line that writes so."""

    def fill(text: str) -> bool:
        part = encode(text)
        return write(form % (length + len(part), part))

    return fill


def received(client: socket.socket, until: bytes) -> bytes:
    """What the server says up to (at least) `until`; fails after the socket's time-out."""
    data = b""
    while until not in data:
        part = client.recv(65536)
        assert part, f"closed after {data!r}"
        data += part
    return data


def rest(client: socket.socket) -> bytes:
    """All that comes until the server hangs up."""
    data = b""
    while part := client.recv(65536):
        data += part
    return data
