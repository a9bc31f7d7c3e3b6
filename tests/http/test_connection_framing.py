"""What does not end, or is framed in a way that a proxy before Baton may read otherwise."""

import socket
import time

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, Router

from baton.http.exchange import Exchange
from tests.http.serving import TEXT, echo, listening, post, received, rest

CHUNKED = "Transfer-Encoding: chunked\r\n"
MUCH = 2_000_000
SOON_S = 5.0
"""A refusal in well under a second, on a busy machine."""


def begun(head: str, version: str = "1.1", path: str = "/v1/completions") -> bytes:
    return f"POST {path} HTTP/{version}\r\n{head}\r\n".encode()


def refused(*sent: bytes) -> bytes:
    """The status of the answer after which the server hangs up."""
    with listening(echo) as listener, listener.connect() as client:
        try:
            for part in sent:
                client.sendall(part)
        except ConnectionError:  # it is refused already
            pass
        return rest(client).partition(b"\r\n")[0].removeprefix(b"HTTP/1.1 ")[:3]


@pytest.mark.parametrize(
    ("status", "start", "more"),
    [
        (b"431", begun("Host: x\r\n").removesuffix(b"\r\n") + b"X: ", b"a"),
        (b"431", begun("Host: x\r\n").removesuffix(b"\r\n"), b"a"),
        (b"400", begun("Host: x\r\n" + CHUNKED) + b"1\r\na\r\n0\r\nX: ", b"a"),
        (b"400", begun("Host: x\r\n" + CHUNKED, path="/other") + b"0\r\n", b"X: a\r\n"),
        (b"400", begun("Host: x\r\n" + CHUNKED) + b"1;", b"a"),
        (b"400", begun("Host: x\r\n" + CHUNKED), b"00"),
    ],
    ids=["value", "name", "trailer", "trailers", "extension", "zeros"],
)
def test_what_does_not_end_is_refused(status: bytes, start: bytes, more: bytes) -> None:
    """Not kept, nor read on until its time is over."""
    started = time.monotonic()
    assert status == refused(start, *[more * (MUCH // len(more) // 8)] * 8)
    assert time.monotonic() - started < SOON_S


def test_many_fields_at_once_are_refused_at_once() -> None:
    """Each of them is not counted anew: 240 KB took a worker half a minute."""
    started = time.monotonic()
    for _ in range(5):
        fields = begun("Host: x\r\n").removesuffix(b"\r\n") + b"X:\r\n" * 60_000
        assert b"431" == refused(fields[:100], fields[100:])
    assert time.monotonic() - started < SOON_S


@pytest.mark.parametrize(
    ("start", "status"),
    [
        (begun("Host: x\r\nTransfer-Encoding: gzip, chunked\r\n"), b"400"),
        (begun("Host: x\r\nTransfer-Encoding: gzip\r\n" + CHUNKED), b"400"),
        (begun("Host: x\r\nTransfer-Encoding: ,chunked\r\n"), b"400"),
        (begun("Host: x\r\n" + CHUNKED, "1.0"), b"400"),
        (begun("Connection: keep-alive\r\n" + CHUNKED, "1.0"), b"400"),
        (begun("Host: x\r\n", "2.0"), b"400"),
        (begun("Host: x\r\n", "0.9"), b"400"),
        (begun(""), b"400"),
        (begun("Host: x\r\nHost: x\r\n"), b"400"),
        (begun("Host: x\r\nTransfer-Encoding: Chunked\r\nConnection: close\r\n"), b"200"),
        (begun("", "1.0"), b"200"),
    ],
)
def test_doubtful_framing_is_refused(start: bytes, status: bytes) -> None:
    """RFC 9112: codings that are not read, chunks of HTTP/1.0, versions of other formats (2.3,
    6.1), no Host or two (3.2)."""
    assert status == refused(start + b"0\r\n\r\n")


def test_what_stands_behind_a_body_is_no_header() -> None:
    """A proxy puts its X-Forwarded-For before the body; a trailer is its caller's invention."""

    async def heard(exchange: Exchange) -> None:
        names = [name for name, _ in exchange.headers]
        exchange.respond(200, TEXT, b"|".join(names) + b".")

    async def told(request: Request) -> PlainTextResponse:
        await request.body()
        return PlainTextResponse("|".join([key.decode() for key, _ in request.scope["headers"]]))

    trailed = b"2\r\nab\r\n0\r\nX-Forwarded-For: 10.0.0.1\r\nAuthorization: Bearer x\r\n\r\n"
    web = Router([Route("/other", told, methods=["POST"])])
    with listening(heard, web) as listener, listener.connect() as client:
        for path in ("/v1/completions", "/other"):
            client.sendall(begun("Host: x\r\n" + CHUNKED, path=path) + trailed)
            answer = received(client, b"transfer-encoding")
            assert answer.partition(b"\r\n\r\n")[2].startswith(b"host|transfer-encoding")
            assert b"forwarded" not in answer


def test_a_long_body_in_small_parts_is_whole() -> None:
    """Whatever the parts, and many requests behind one another."""
    body = bytes(range(256)) * 300
    chunks = b"".join([b"2\r\n%b\r\n" % body[at : at + 2] for at in range(0, len(body), 2)])
    with listening(echo) as listener, listener.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(2):
            client.sendall(begun("Host: x\r\n" + CHUNKED) + chunks + b"0\r\n\r\n" + post(b"end"))
            answer = received(client, b":end")
            assert b"\r\n\r\n:" + body + b"HTTP/1.1" in answer
