"""Long bodies take the socket for as long as they come, and give it back whatever happens."""

import hashlib
import socket
import threading
import time
from collections.abc import Callable

import pytest

from baton.http import connection, long_body
from baton.http.exchange import Exchange
from tests.http.serving import Listener, listening, received, rest

LONG = bytes(range(256)) * 4096
TEXT = b"content-type: text/plain\r\n"


def head(body: bytes, extra: str = "") -> bytes:
    lines = (
        f"POST /v1/completions HTTP/1.1\r\nHost: x\r\n{extra}Content-Length: {len(body)}\r\n\r\n"
    )
    return lines.encode()


def post(body: bytes, extra: str = "") -> bytes:
    return head(body, extra) + body


async def digest(exchange: Exchange) -> None:
    exchange.respond(200, TEXT, hashlib.sha256(exchange.body).hexdigest().encode())


def told(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of the bodies that took a socket."""
    lengths: list[int] = []

    class Noted(long_body.LongBody):
        def __init__(
            self,
            connection: long_body.Taken,
            length: int,
            part: bytes | memoryview,
            take: Callable[[bytes], None],
        ) -> None:
            lengths.append(length)
            super().__init__(connection, length, part, take)

    monkeypatch.setattr(long_body, "LongBody", Noted)
    monkeypatch.setattr(connection, "LongBody", Noted)
    return lengths


@pytest.mark.parametrize("first", [120, 50_000, 300_000])
def test_a_long_body_is_received_whole(taken: list[int], first: int) -> None:
    """Byte for byte, in whatever pieces; the connection serves on, also what came behind it."""
    asked = post(LONG)
    with listening(digest) as listener, listener.connect() as client:
        for _ in range(2):
            client.sendall(asked[:first])
            client.sendall(asked[first:] + post(b"short") + post(LONG[:-1]))
            data = received(client, told(LONG[:-1]))
            places = [data.index(told(body)) for body in (LONG, b"short")]
            assert sorted(places) == places
            assert 3 == data.count(b"HTTP/1.1 200")
    assert len(LONG) in taken


def test_a_short_rest_is_not_worth_it(taken: list[int]) -> None:
    """What nearly came whole, and what has no length, goes through the parser."""
    chunked = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with listening(digest) as listener, listener.connect() as client:
        client.sendall(post(LONG[:60_000])[:50_000])
        client.sendall(post(LONG[:60_000])[50_000:])
        received(client, told(LONG[:60_000]))
        client.sendall(chunked + b"%x\r\n%b\r\n0\r\n\r\n" % (len(LONG), LONG))
        received(client, told(LONG))
    assert [] == taken


@pytest.mark.parametrize("came", [0, 1, 50_000, 300_000])
def test_behind_a_head_that_is_known_nothing_is_parsed(taken: list[int], came: int) -> None:
    """Whatever the head came with: the rest is received in its place, short or long, and what comes
    behind it is served. Already the second request of a connection has such a head."""
    with listening(digest) as listener, listener.connect() as client:
        client.sendall(head(LONG))
        client.sendall(LONG)
        received(client, told(LONG))
        for body in (LONG, LONG[: came + 10]):
            taken.clear()
            client.sendall(head(body) + body[:came])
            until(lambda: awaits(listener))
            client.sendall(body[came:] + post(b"short"))
            data = received(client, told(b"short"))
            assert data.index(told(body)) < data.index(told(b"short"))
            assert 2 == data.count(b"HTTP/1.1 200")
            alone = came == 0 and body is not LONG
            assert ([] if alone else [len(body)]) == taken


def test_a_client_that_waits_is_asked_for_its_body(taken: list[int]) -> None:
    """100-continue comes before the body."""
    with listening(digest) as listener, listener.connect() as client:
        client.sendall(head(LONG, "Expect: 100-continue\r\n"))
        received(client, b"100 Continue\r\n\r\n")
        client.sendall(LONG)
        received(client, told(LONG))
    assert [len(LONG)] == taken


def test_one_that_comes_too_slowly_is_408(taken: list[int]) -> None:
    """Within the body's time, however lively; what still comes is dropped."""
    with listening(digest, body_timeout_s=0.2) as listener, listener.connect() as client:
        client.sendall(post(LONG)[:300_000])
        data = received(client, b"timeout")
        assert data.startswith(b"HTTP/1.1 408")
        client.sendall(LONG[:5000])
        client.shutdown(socket.SHUT_WR)
        rest(client)
        assert 1 == len(taken)


def test_a_rest_that_comes_too_slowly_is_408(taken: list[int]) -> None:
    """Behind a known head, too; the connection closes."""
    with listening(digest, body_timeout_s=0.2) as listener, listener.connect() as client:
        client.sendall(post(b"short"))
        received(client, told(b"short"))
        client.sendall(post(LONG)[:300_000])
        assert received(client, b"timeout").startswith(b"HTTP/1.1 408")
        client.sendall(LONG[:5000])
        client.shutdown(socket.SHUT_WR)
        rest(client)
        assert [len(LONG)] == taken


def test_a_long_body_while_the_server_stops(taken: list[int]) -> None:
    """It is heard out and answered, and its connection closes behind it."""
    with listening(digest) as listener, listener.connect() as client:
        client.sendall(post(b"short"))
        received(client, told(b"short"))
        client.sendall(post(LONG)[:300_000])
        until(lambda: awaits(listener))
        listener.shared.draining = True
        client.sendall(post(LONG)[300_000:])
        data = rest(client)
        assert data.endswith(told(LONG))
        assert b"connection: close" in data


def test_a_client_that_leaves_in_the_middle(taken: list[int]) -> None:
    """Nothing is run, nothing stays behind; others are served."""
    ran = threading.Event()

    async def run(exchange: Exchange) -> None:
        ran.set()
        await digest(exchange)

    with listening(run) as listener:
        with listener.connect() as client:
            client.sendall(post(LONG)[:300_000])
            until(lambda: taken != [])
        with listener.connect() as other:
            until(lambda: len(listener.server.server_state.connections) == 1)
            assert not ran.is_set()
            other.sendall(post(LONG))
            received(other, told(LONG))


def awaits(listener: Listener) -> bool:
    """Whether a connection waits for the rest of a body whose head it knows."""
    connections = list(listener.server.server_state.connections)
    return any(
        isinstance(each, connection.Connection) and each.heads.halved for each in connections
    )


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)
