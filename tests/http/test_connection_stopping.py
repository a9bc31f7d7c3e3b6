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
    """A connection may still ask, a new one on either side of ASGI and one that was used before,
    and is closed then; one that says nothing is closed soon."""
    with listening(echo) as listener, contextlib.ExitStack() as clients:
        used, idle, new, other, silent = (
            clients.enter_context(listener.connect()) for _ in range(5)
        )
        for client in (used, idle):
            client.sendall(post(b"1"))
            received(client, b":1")
        wait_until(lambda: len(listener.server.server_state.connections) == 5)
        listener.shared.draining = listener.server.should_exit = True
        wait_until(lambda: not listener.server.servers or not listener.server.servers[0].sockets)
        used.sendall(post(b"4"))
        assert rest(used).endswith(b":4")
        new.sendall(post(b"2"))
        other.sendall(post(b"3", "/other"))
        assert rest(new).endswith(b":2")
        assert b"connection: close" in rest(other).lower()
        assert b"" == rest(silent)
        assert b"" == rest(idle)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
