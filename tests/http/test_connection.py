"""The listener on real sockets: order, limits, disconnects, back-pressure."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from starlette.types import Receive, Scope, Send

from baton.errors import RequestError
from baton.http.exchange import Exchange, HeaderPair
from baton.telemetry.refused import Asked
from tests.http.serving import TEXT, crowded, echo, listening, post, received, rest


def test_chunked_bodies_are_joined() -> None:
    """A chunked request body arrives whole."""
    with listening(echo) as listener, listener.connect() as client:
        client.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\n")
        client.sendall(b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        client.sendall(b"2\r\nde\r\n0\r\n\r\n")
        assert b":abcde" in received(client, b":abcde")


def test_expect_continue_is_answered() -> None:
    """A client that waits for 100 Continue gets it."""
    with listening(echo) as listener, listener.connect() as client:
        head = post(b"", extra="Expect: 100-continue\r\n").replace(b"Length: 0", b"Length: 2")
        client.sendall(head)
        assert received(client, b"\r\n\r\n").startswith(b"HTTP/1.1 100 Continue")
        client.sendall(b"ok")
        assert b":ok" in received(client, b":ok")


def test_http_1_0_gets_an_unchunked_stream() -> None:
    """A 1.0 client gets bytes until the close, without chunk framing."""

    async def stream(exchange: Exchange) -> None:
        exchange.start_stream(TEXT)
        exchange.send(b"one,")
        exchange.send(b"two,")
        exchange.end(b"three")

    with listening(stream) as listener, listener.connect() as client:
        client.sendall(b"POST /v1/completions HTTP/1.0\r\nContent-Length: 0\r\n\r\n")
        head, _, body = rest(client).partition(b"\r\n\r\n")
        assert b"one,two,three" == body
        assert b"connection: close" in head
        assert b"chunked" not in head


def test_streams_are_chunked_and_the_connection_stays() -> None:
    """Each send is one HTTP chunk; afterwards the connection serves on."""

    async def stream(exchange: Exchange) -> None:
        exchange.start_stream(TEXT)
        exchange.send(b"a")
        exchange.send(b"bc")
        exchange.end()

    with listening(stream) as listener, listener.connect() as client:
        for _ in range(2):
            client.sendall(post())
            assert received(client, b"0\r\n\r\n").endswith(b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n")


def refusal(listener_settings: dict[str, Any], *sent: bytes) -> bytes:
    with listening(echo, **listener_settings) as listener, listener.connect() as client:
        for part in sent:
            client.sendall(part)
        return rest(client)


def test_too_much_of_anything_is_refused() -> None:
    """Bodies over the cap are 413, headers 431, encoded bodies 415, in OpenAI's shape."""
    small: dict[str, Any] = {"body_bytes_max": 100}
    chunked = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    cases = [
        (b"413", refusal(small, post(b"x" * 101))),
        (b"413", refusal(small, chunked, b"65\r\n" + b"x" * 101 + b"\r\n")),
        (b"413", refusal(small, post(b"x" * 101, "/other"))),
        (b"431", refusal({}, post(extra=f"A: {'x' * 33000}\r\n"))),
        (b"431", refusal({}, post(extra="A: b\r\n" * 101))),
        (b"431", refusal({}, post(path="/" + "x" * 33000))),
        (b"415", refusal({}, post(extra="Content-Encoding: gzip\r\n"))),
        (b"400", refusal({}, b"nonsense\r\n\r\n")),
    ]
    for status, answer in cases:
        assert answer.startswith(b"HTTP/1.1 " + status), answer[:80]
        assert b'{"error":{"message":' in answer
        assert b"connection: close" in answer


def test_length_and_chunked_together_are_refused() -> None:
    """Two framings of one body are a smuggling attempt."""
    answer = refusal({}, post(extra="Transfer-Encoding: chunked\r\n"))
    assert answer.startswith(b"HTTP/1.1 400")


def test_slow_requests_are_cut_with_408() -> None:
    """Headers and bodies must arrive within their time; an idle connection is just closed."""
    quick: dict[str, Any] = {"header_timeout_s": 0.2, "body_timeout_s": 0.2, "keep_alive_s": 0.2}
    started = time.monotonic()
    assert refusal(quick, b"POST /v1/completions HTTP/1.1\r\nHost:").startswith(b"HTTP/1.1 408")
    assert refusal(quick, post().removesuffix(b"lo")).startswith(b"HTTP/1.1 408")
    assert b"" == refusal(quick)
    answer = refusal(quick, post(b"idle"))
    assert answer.endswith(b":idle")
    assert time.monotonic() - started < 8


def test_a_client_that_leaves_cancels_its_exchange() -> None:
    """Within 50 ms of the disconnect the task of the exchange is cancelled."""
    waiting, cancelled = threading.Event(), threading.Event()

    async def wait(exchange: Exchange) -> None:
        waiting.set()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.set()

    with listening(wait) as listener:
        client = listener.connect()
        client.sendall(post())
        assert waiting.wait(5)
        left = time.monotonic()
        client.close()
        assert cancelled.wait(5)
        assert time.monotonic() - left < 0.05
        done = asyncio.run_coroutine_threadsafe(asyncio.sleep(0, True), listener.loop)
        assert done.result(5)
        assert 0 == listener.shared.exchanges


def test_a_client_that_takes_nothing_pauses_and_is_cut() -> None:
    """Unread data pauses the sender at a bounded buffer; after the limit the client is cut."""
    sent = [0]
    cut = threading.Event()

    async def flood(exchange: Exchange) -> None:
        exchange.start_stream(TEXT)
        try:
            while True:
                exchange.send(b"x" * 65536)
                sent[0] += 65536
                if exchange.paused:
                    await exchange.drain()
        except asyncio.CancelledError:
            cut.set()

    with listening(flood, client_stall_timeout_s=0.3) as listener:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", listener.port))
        client.sendall(post())
        assert cut.wait(10)
        assert sent[0] < 16 * 1024 * 1024
        client.close()


def test_an_offer_of_another_protocol_is_ignored() -> None:
    """Java's client offers h2c with its first request: body and connection stay whole."""
    offer = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAA\r\n"
    chunked = post(b"", extra=offer).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    with listening(echo) as listener, listener.connect() as client:
        client.sendall(post(b"1", extra=offer) + post(b"22", "/other", offer) + post(b"3"))
        client.sendall(chunked + b"1\r\n4\r\n0\r\n\r\n" + post(b"5"))
        data = received(client, b"\r\n\r\n:5")
        places = [data.index(text) for text in (b":1", b"/other 2", b"\n:3", b"\n:4", b"\n:5")]
        assert sorted(places) == places
        assert 5 == data.count(b"HTTP/1.1 200")
    assert refusal({}, b"CONNECT /x HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 400")


def test_limits_of_time_hold_behind_another_request() -> None:
    """A pipelined body that never comes is 408; a connection answered early idles out."""
    quick: dict[str, Any] = {"body_timeout_s": 0.2, "keep_alive_s": 0.2}
    assert b"HTTP/1.1 408" in refusal(quick, post(b"1") + post(b"22").removesuffix(b"2"))

    async def early(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b"none"})

    with listening(echo, early, keep_alive_s=0.2) as listener, listener.connect() as client:
        asked = post(b"22", "/other")
        client.sendall(asked[:-1])
        data = received(client, b"none")
        client.sendall(asked[-1:])
        assert b"" == rest(client)
        assert 1 == data.count(b"HTTP/1.1")


def test_more_requests_do_not_lift_the_limit_for_taking_nothing() -> None:
    """A client that reads nothing is cut, also if it asks for more meanwhile."""
    stalled, cut = threading.Event(), threading.Event()

    async def flood(exchange: Exchange) -> None:
        exchange.start_stream(TEXT)
        try:
            while True:
                exchange.send(b"x" * 65536)
                if exchange.paused:
                    stalled.set()
                    await exchange.drain()
        except asyncio.CancelledError:
            cut.set()

    with listening(flood, client_stall_timeout_s=0.5) as listener, listener.connect() as client:
        client.sendall(post())
        assert stalled.wait(5)
        client.sendall(post())
        assert cut.wait(10)


def test_an_answer_that_nobody_takes_does_not_stay() -> None:
    """A whole answer left unread is given up after the idle and the stall time."""

    async def large(exchange: Exchange) -> None:
        exchange.respond(200, TEXT, b"x" * 32_000_000)

    quick: dict[str, Any] = {"keep_alive_s": 0.2, "client_stall_timeout_s": 0.2}
    with listening(large, **quick) as listener, listener.connect() as client:
        client.sendall(post())
        received(client, b"xxx")
        until = time.monotonic() + 8
        while listener.server.server_state.connections:
            assert time.monotonic() < until
            time.sleep(0.02)


def test_a_refusal_arrives_though_the_body_is_still_being_sent() -> None:
    """A client in the middle of a large body gets its 413 whole, with an id, and no reset."""
    with listening(echo, body_bytes_max=1_000_000) as listener, listener.connect() as client:
        client.sendall(post(b"x" * 8_000_000))
        answer = rest(client)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"\r\nx-request-id: req_" in answer
    assert answer.endswith(b"}}")


def test_many_refused_requests_in_one_packet_are_all_answered() -> None:
    """Overloaded, each pipelined request gets its own 503 with an id."""
    with crowded() as (listener, first, second, hold):
        first.sendall(post())
        listener_ran = time.monotonic() + 5
        while not listener.shared.exchanges:
            assert time.monotonic() < listener_ran
        second.sendall(post(b"") * 600 + b"GET /end HTTP/1.1\r\nHost: x\r\n\r\n")
        data = received(second, b"/end 0")
        assert 600 == data.count(b"HTTP/1.1 503") == data.count(b"x-request-id: req_")
        hold.set()
        received(first, b"done")


def test_what_is_refused_is_noted_once() -> None:
    """With the id that its client has, what was asked as far as that is known (the path alone, as
    people write it), and the head; not where nobody was told."""
    noted: list[tuple[int, str, list[bytes]]] = []
    ids: list[str] = []

    def note(
        error: RequestError, headers: Sequence[HeaderPair], asked: Callable[[], Asked]
    ) -> None:
        found = asked()
        ids.append(found.request_id)
        noted.append((error.status, found.route, [name for name, _ in headers]))

    with listening(echo, body_bytes_max=100, connections_max=1) as listener:
        listener.shared.note = note
        with listener.connect() as first:
            first.sendall(post(b"x" * 101, "/v1/completions?key=sk-secret"))
            answers = [rest(first)]
            with listener.connect() as second:
                answers.append(rest(second))
        with listener.connect() as client:
            client.sendall(post(b"ok"))
            received(client, b":ok")
            client.sendall(post(b"", "/m/a/infill", "Content-Encoding: gzip\r\n"))
            answers.append(rest(client))
        for target in ("/m/%20sk%2Dbt/infill?a", "http://user:secret@x/a"):
            with listener.connect() as client:
                client.sendall(post(b"", target, "Content-Encoding: gzip\r\n"))
                answers.append(rest(client))
    head = [b"host", b"content-length"]
    assert [
        (413, "POST /v1/completions", head),
        (503, "", []),
        (415, "POST /m/a/infill", [head[0], b"content-encoding", head[1]]),
        (415, "POST /m/ sk-bt/infill", [head[0], b"content-encoding", head[1]]),
        (415, "POST /a", [head[0], b"content-encoding", head[1]]),
    ] == noted
    assert [True] * 5 == [
        f"x-request-id: {i}\r\n".encode() in a for i, a in zip(ids, answers, strict=True)
    ]
