"""The order in which answers go out, on real sockets."""

import asyncio
import socket
import statistics
import threading
import time

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from baton.http.connection import Connection
from baton.http.exchange import Exchange
from baton.http.shared import SEND_BUFFER_BYTES
from tests.http.serving import TEXT, crowded, echo, listening, post, received, rest


def test_pipelined_requests_are_answered_in_order() -> None:
    """Requests of both kinds in one packet are answered one after the other."""
    with listening(echo) as listener, listener.connect() as client:
        client.sendall(post(b"1") + post(b"22", "/other") + post(b"3") + post(b"4"))
        data = received(client, b"\r\n\r\n:4")
        places = [data.index(text) for text in (b"\n:1", b"/other 2", b"\n:3", b"\n:4")]
        assert sorted(places) == places
        assert 4 == data.count(b"HTTP/1.1 200")


def test_a_pipelined_request_waits_for_a_slow_one() -> None:
    """The second exchange does not start before the first has answered."""
    order: list[bytes] = []
    gate = threading.Event()

    async def slow_first(exchange: Exchange) -> None:
        order.append(b"start " + exchange.body)
        if exchange.body == b"1":
            await asyncio.to_thread(gate.wait, 10)
        order.append(b"end " + exchange.body)
        exchange.respond(200, TEXT, exchange.body)

    with listening(slow_first) as listener, listener.connect() as client:
        client.sendall(post(b"1"))
        client.sendall(post(b"2"))
        gate.set()
        data = received(client, b"\r\n\r\n2")
        assert 2 == data.count(b"HTTP/1.1 200")
    assert [b"start 1", b"end 1", b"start 2", b"end 2"] == order


def test_too_many_exchanges_are_refused_at_once() -> None:
    """Beyond the limit in flight a request is 503 with retry-after, before any work."""
    with crowded() as (_, first, second, hold):
        first.sendall(post())
        second.sendall(post())
        answers = [received(second, b"}}")]
        hold.set()
        answers.append(received(first, b"done"))
        assert any(a.startswith(b"HTTP/1.1 503") and b"retry-after: 1" in a for a in answers)


def test_an_invitation_to_send_waits_its_turn() -> None:
    """`100 Continue` for a pipelined request never stands inside the answer before it."""
    more = threading.Event()

    async def stream(exchange: Exchange) -> None:
        exchange.start_stream(TEXT)
        exchange.send(b"first")
        await asyncio.to_thread(more.wait, 10)
        exchange.end(b"last " + exchange.body)

    with listening(stream) as listener, listener.connect() as client:
        client.sendall(post(b"1"))
        data = received(client, b"first")
        client.sendall(post(b"2", extra="Expect: 100-continue\r\n").removesuffix(b"2"))
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(4096)
        more.set()
        client.settimeout(10)
        data += received(client, b"100 Continue\r\n\r\n")
        client.sendall(b"2")
        data += received(client, b"last 2")
        assert data.index(b"last 1") < data.index(b"100 Continue") < data.index(b"last 2")


def test_draining_closes_connections_after_their_answer() -> None:
    """A stop lets a running exchange finish and then closes its connection."""
    started, finish = threading.Event(), threading.Event()

    async def wait(exchange: Exchange) -> None:
        started.set()
        await asyncio.to_thread(finish.wait, 10)
        exchange.respond(200, TEXT, b"done")

    with listening(wait) as listener, listener.connect() as client:
        client.sendall(post())
        assert started.wait(5)
        listener.shared.draining = True
        listener.server.should_exit = True
        finish.set()
        assert rest(client).endswith(b"done")


@pytest.mark.parametrize("size", [66_000, 400_000])
@pytest.mark.parametrize("path", ["/v1/completions", "/web"])
def test_a_large_answer_is_not_held_up(path: str, size: int) -> None:
    """On the machine itself a segment is 64 KiB: where the kernel took no more than one at a time,
    each waited for the client's system to acknowledge the one before, 40 ms after it."""
    large = b"x" * size

    async def answer(exchange: Exchange) -> None:
        exchange.respond(200, TEXT, large)

    async def web(request: Request) -> Response:
        return Response(large)

    took_s = []
    routes = Starlette(routes=[Route("/web", web, methods=["POST"])])
    with listening(answer, routes) as listener, listener.connect() as client:
        for _ in range(9):
            began_s = time.perf_counter()
            client.sendall(post(b"", path))
            received(client, large)
            took_s.append(time.perf_counter() - began_s)
    assert statistics.median(took_s) < 0.03, took_s


def test_who_reads_no_stream_has_a_small_buffer() -> None:
    """Also on a connection that took a large answer before."""
    sizes: list[int] = []

    async def answer(exchange: Exchange) -> None:
        if exchange.body == b"whole":
            return exchange.respond(200, TEXT, b"x" * 400_000 + b"!")
        exchange.start_stream(TEXT)
        while exchange.send(b"x" * 4096):
            pass
        connection = exchange._line
        assert isinstance(connection, Connection)
        its_socket = connection.transport.get_extra_info("socket")
        sizes.append(its_socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF))
        return exchange.abort()

    with listening(answer) as listener:
        for first in ([b"stream"], [b"whole", b"stream"]):
            with listener.connect() as client:
                for body in first:
                    client.sendall(post(body))
                    received(client, b"!" if body == b"whole" else b"200")
                rest(client)
    assert [SEND_BUFFER_BYTES * 2] * 2 == sizes  # the kernel counts what it needs for itself, too
