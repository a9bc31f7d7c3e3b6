"""Bodies on their way: together they take no more than their limit, whoever sends them."""

import socket
import time
from collections.abc import Callable

import pytest

from baton.http.bodies import Bodies
from tests.http.serving import Listener, echo, listening, received, rest

LENGTH, LIMIT = 900_000, 2_500_000
"""Two bodies fit, three do not."""
HEADS = {
    "told": f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {LENGTH}\r\n\r\n",
    "chunked": "POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    "asgi": f"POST /other HTTP/1.1\r\nHost: x\r\nContent-Length: {LENGTH}\r\n\r\n",
}


def framed(kind: str, part: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(part), part) if kind == "chunked" else part


def begin(listener: Listener, kind: str, *, fits: bool = True) -> socket.socket:
    """A caller that has sent all of its body but 100 bytes; where it `fits`, once that is here."""
    bodies = listener.shared.bodies
    client, before = listener.connect(), bodies.bytes
    client.sendall(HEADS[kind].encode())
    for start in range(0, LENGTH - 100, 50_000):
        part = b"x" * min(50_000, LENGTH - 100 - start)
        client.sendall(framed(kind, part))
    until(lambda: not fits or bodies.bytes == before + LENGTH - 100)
    return client


def finish(client: socket.socket, kind: str) -> bytes:
    last = framed(kind, b"x" * 100) + (b"0\r\n\r\n" if kind == "chunked" else b"")
    client.sendall(last)
    data = received(client, b"\r\n\r\n")
    client.close()
    return data.partition(b"\r\n")[0]


@pytest.mark.parametrize("kind", list(HEADS))
def test_the_oldest_of_too_many_is_refused(kind: str) -> None:
    """With 503, and what came of it is let go: those behind it are served, and nothing stays
    counted. A short body is served whatever there is."""
    with listening(echo, body_bytes_max=1_000_000) as listener:
        bodies = listener.shared.bodies = Bodies(LIMIT)
        clients = [begin(listener, kind) for _ in range(2)]
        clients.append(begin(listener, kind, fits=False))
        answer = rest(clients[0])
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 1" in answer.lower()
        with listener.connect() as short:
            short.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
            assert received(short, b":x").startswith(b"HTTP/1.1 200")
        for client in clients[1:]:
            assert b"HTTP/1.1 200 OK" == finish(client, kind)
        assert 0 == bodies.bytes
        clients[0].close()


@pytest.mark.parametrize("kind", list(HEADS))
def test_who_leaves_or_is_refused_counts_no_more(kind: str) -> None:
    """Neither a caller that leaves in the middle, nor one that is too slow."""
    with listening(echo, body_bytes_max=1_000_000, body_timeout_s=0.5) as listener:
        bodies = listener.shared.bodies = Bodies(LIMIT)
        slow, leaving = begin(listener, kind), begin(listener, kind)
        leaving.close()
        assert rest(slow).startswith(b"HTTP/1.1 408")
        slow.close()
        until(lambda: bodies.bytes == 0)


def test_a_head_that_is_known() -> None:
    """Bodies behind the same head count as others do."""
    with listening(echo, body_bytes_max=1_000_000) as listener, listener.connect() as client:
        bodies = listener.shared.bodies = Bodies(LIMIT)
        for _ in range(2):
            client.sendall(HEADS["told"].encode() + b"x" * (LENGTH - 100))
            until(lambda: bodies.bytes == LENGTH - 100)
            client.sendall(b"x" * 100)
            data = b""
            while len(data) < LENGTH:
                data += client.recv(65536)
            assert data.startswith(b"HTTP/1.1 200")
            assert 0 == bodies.bytes


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
