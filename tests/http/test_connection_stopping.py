"""Connections of a server that stops."""

import contextlib
import time
from collections.abc import Callable

from baton.http.exchange import Exchange
from tests.http.serving import listening, received, rest


async def echo(exchange: Exchange) -> None:
    exchange.respond(200, b"", b":" + exchange.body)


def post(body: bytes, path: str = "/v1/completions") -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def test_a_request_under_way_when_the_server_stops_is_answered() -> None:
    """A new connection may still ask, on either side of ASGI, and is closed then; one that says
    nothing is closed soon; an idle one at once."""
    with listening(echo) as listener, contextlib.ExitStack() as clients:
        idle, new, other, silent = (clients.enter_context(listener.connect()) for _ in range(4))
        idle.sendall(post(b"1"))
        received(idle, b":1")
        wait_until(lambda: len(listener.server.server_state.connections) == 4)
        listener.shared.draining = listener.server.should_exit = True
        assert b"" == rest(idle)
        new.sendall(post(b"2"))
        other.sendall(post(b"3", "/other"))
        assert rest(new).endswith(b":2")
        assert b"connection: close" in rest(other).lower()
        assert b"" == rest(silent)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
