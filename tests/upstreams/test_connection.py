"""A connection's framing: any split of an answer's bytes is the same answer."""

import itertools

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from baton.upstreams.base import UpstreamError
from tests.fakes.wire import LAST_CHUNK, chunk, chunked_head, whole
from tests.upstreams.wired import Bench

BODY = bytes(range(256)) * 3
ANSWERS = {
    "length": whole(BODY, "X: y"),
    "chunks": chunked_head() + chunk(BODY[:5]) + chunk(BODY[5:]) + LAST_CHUNK,
    "trailers": chunked_head() + chunk(BODY) + b"0\r\nX-Sum: 1\r\n\r\n",
    "interim": b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 100 C\r\n\r\n" + whole(BODY),
    "no reason": b"HTTP/1.1 200\r\nContent-Length: 768\r\n\r\n" + BODY,
}


async def answer_in(pieces: list[bytes], *, ends: bool = False) -> tuple[int, bytes, list[str]]:
    bench = Bench()
    response = bench.connection.send(b"POST / HTTP/1.1\r\nContent-Length: ", b"{}")
    assert bench.socket.written == b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"
    for piece in pieces:
        bench.receive(piece)
    if ends:
        bench.connection.connection_lost(None)
    await response.wait_head()
    return response.status, await response.read_all(10_000), bench.owner.told


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_cut_at_every_byte(name: str) -> None:
    """Status, body and release are the same wherever the bytes are split in two."""
    data = ANSWERS[name]

    async def scenario() -> None:
        for place in range(len(data)):
            found = await answer_in([data[:place], data[place:]] if place else [data])
            assert found == (200, BODY, ["released"])

    uvloop.run(scenario())


@settings(max_examples=100, deadline=None)
@given(name=st.sampled_from(sorted(ANSWERS)), places=st.lists(st.integers(1, 1000), max_size=30))
def test_cut_anywhere(name: str, places: list[int]) -> None:
    """Likewise in any number of pieces."""
    data = ANSWERS[name]
    edges = sorted({0, len(data), *(place % len(data) for place in places)})
    pieces = [data[a:b] for a, b in itertools.pairwise(edges)]
    assert uvloop.run(answer_in(pieces)) == (200, BODY, ["released"])


def test_a_body_that_ends_by_close() -> None:
    """Without length or chunks the close is the end, and the connection is not given back."""
    pieces = [b"HTTP/1.0 200 OK\r\n\r\n", BODY]
    assert uvloop.run(answer_in(pieces, ends=True)) == (200, BODY, ["closed"])


def test_a_reset_is_no_end_of_a_body() -> None:
    """An answer without length that breaks off by a reset was cut: it is not whole."""

    async def scenario() -> None:
        bench = Bench()
        response = bench.connection.send(b"", b"")
        bench.receive(b"HTTP/1.0 200 OK\r\n\r\n" + BODY)
        bench.connection.connection_lost(ConnectionResetError())
        assert await response.read_some() == BODY
        with pytest.raises(UpstreamError) as caught:
            await response.read_some()
        assert (caught.value.phase, caught.value.kind) == ("stream", "network")

    uvloop.run(scenario())


def test_an_idle_connection_that_speaks_is_aborted() -> None:
    """What it says can be no answer, so its socket serves nobody any more."""

    async def scenario() -> None:
        bench = Bench()
        response = bench.connection.send(b"", b"")
        bench.receive(whole(BODY))
        assert (await response.read_some(), bench.socket.done) == (BODY, [])
        bench.receive(b"x")
        assert (bench.socket.done, bench.connection.alive) == (["abort"], False)

    uvloop.run(scenario())


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_answers_without_a_body(status: str) -> None:
    """204 and 304 end with their head."""

    async def scenario() -> None:
        bench = Bench()
        response = bench.connection.send(b"", b"")
        bench.receive(f"HTTP/1.1 {status}\r\n\r\n".encode())
        await response.wait_head()
        assert (await response.read_some(), bench.owner.told) == (b"", ["released"])

    uvloop.run(scenario())


@pytest.mark.parametrize(
    "head", [b"Connection: close\r\nContent-Length: 2", b"Content-Length: 2\r\nconnection: Close"]
)
def test_close_is_obeyed(head: bytes) -> None:
    """A server that says close is not asked again."""

    async def scenario() -> None:
        bench = Bench()
        response = bench.connection.send(b"", b"")
        bench.receive(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\nhi")
        assert await response.read_all(2) == b"hi"
        assert (bench.owner.told, bench.socket.done) == ([], ["abort"])

    uvloop.run(scenario())


@pytest.mark.parametrize("extra", [whole(b"evil"), b"H", b"\0", b"HTTP/1.1 200"])
def test_bytes_behind_an_answer_spoil_the_connection(extra: bytes) -> None:
    """The answer is good, the connection is not: nobody gets what nobody asked for."""

    async def scenario() -> None:
        bench = Bench()
        response = bench.connection.send(b"", b"")
        bench.receive(whole(b"good") + extra)
        assert await response.read_all(10) == b"good"
        assert bench.owner.told == []
        assert bench.socket.is_closing()

    uvloop.run(scenario())


def test_bytes_behind_a_drained_answer_spoil_the_connection() -> None:
    """Likewise where the reader had its end already."""

    async def scenario() -> None:
        bench = Bench()
        response = bench.connection.send(b"", b"")
        bench.receive(chunked_head() + chunk(b"all"))
        assert await response.read_some() == b"all"
        response.dismiss()
        bench.receive(LAST_CHUNK + whole(b"evil"))
        assert (bench.owner.told, bench.socket.done) == ([], ["abort"])

    uvloop.run(scenario())


def test_unread_bytes_pause_the_socket() -> None:
    """Beyond the bound the socket is not read until the reader took what there is."""

    async def scenario() -> None:
        bench = Bench()
        response = bench.connection.send(b"", b"")
        bench.receive(chunked_head() + chunk(bytes(3_000)))
        assert bench.socket.done == []
        bench.receive(chunk(bytes(3_000)))
        assert bench.socket.done == ["pause"]
        assert response.buffered_bytes == 6_000
        await response.read_some()
        assert bench.socket.done == ["pause", "resume"]

    uvloop.run(scenario())


@pytest.mark.parametrize(
    ("received", "paused", "phase"),
    [
        (b"", True, "send"),
        (b"HTTP/1.1", False, "first_byte"),
        (whole(b"x" * 9)[:-1], False, "stream"),
    ],
)
def test_a_lost_connection_says_how_far_it_got(received: bytes, paused: bool, phase: str) -> None:
    """send, first_byte or stream, as far as the answer had come."""

    async def scenario() -> None:
        bench = Bench()
        response = bench.connection.send(b"", b"")
        if paused:
            bench.connection.pause_writing()
        if received:
            bench.receive(received)
        bench.connection.connection_lost(ConnectionResetError())
        with pytest.raises(UpstreamError) as caught:
            await response.read_all(100)
        assert (caught.value.phase, caught.value.kind) == (phase, "network")
        assert bench.owner.told == ["closed"]

    uvloop.run(scenario())


def test_state_is_in_the_repr() -> None:
    """What a log shows of a connection."""

    async def scenario() -> None:
        bench = Bench()
        assert repr(bench.connection) == "<Connection idle served=0>"
        response = bench.connection.send(b"", b"")
        assert repr(bench.connection) == "<Connection busy served=1>"
        response.close()
        assert repr(bench.connection) == "<Connection closed served=1>"

    uvloop.run(scenario())
