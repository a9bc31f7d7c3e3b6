"""The transport against real sockets: what is sent, reuse, the retry, the end."""

import asyncio

import pytest
import uvloop

from baton.upstreams.base import HttpRequest
from baton.upstreams.endpoint import parse
from baton.upstreams.transport import Transport
from tests.fakes.wire import LAST_CHUNK, Exchange, WireServer, chunk, chunked_head, whole
from tests.upstreams.reaching import POST, ask, failing, hello, reaching, silent, told


@pytest.mark.parametrize("end", [LAST_CHUNK, b"0\r\nTrailer: x\r\n\r\n"])
def test_an_end_that_comes_by_itself_gives_the_connection_back(end: bytes) -> None:
    """The last chunk behind all text, in a read of its own, as many servers send it."""
    read = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        await exchange.send(chunked_head() + chunk(b"hello"))
        await read.wait()
        await exchange.send(end)

    async def scenario() -> None:
        async with reaching(answer, connections_max=1) as (server, transport), asyncio.timeout(5):
            for _ in range(2):
                read.clear()
                response = await transport.send(POST)
                assert await response.read_some() == b"hello"
                read.set()
                assert await response.read_all(100) == b""
                assert transport.lent == 0
            assert server.accepted == 1

    uvloop.run(scenario())


def test_sends_what_it_was_given_and_reads_the_answer() -> None:
    """Target, Host, key, type, identity and length go out; status, header and body come back."""

    async def answer(exchange: Exchange) -> None:
        await exchange.send(whole(b"hello", "X-Thing:  a b ", status="201 Created"))

    async def scenario() -> None:
        async with reaching(answer) as (server, transport):
            response = await transport.send(POST)
            assert (response.status, response.header("x-thing")) == (201, "a b")
            assert response.header("x-other") is None
            assert await response.read_all(100) == b"hello"
            assert await response.read_some() == b""
            request = server.requests[0]
            assert (request.method, request.path) == ("POST", "/v1/completions")
            assert request.headers == {
                "host": f"127.0.0.1:{server.port}",
                "authorization": "Bearer sk-secret",
                "content-type": "application/json",
                "accept-encoding": "identity",
                "content-length": "14",
            }
            assert request.body == POST.body
            assert "secret" not in repr(transport)

    uvloop.run(scenario())


def test_one_connection_serves_many_requests_in_turn() -> None:
    """A connection whose answer was read whole is used again."""

    async def scenario() -> None:
        async with reaching(hello) as (server, transport):
            assert [await ask(transport) for _ in range(20)] == [b"hello"] * 20
            assert (server.accepted, transport.lent) == (1, 0)

    uvloop.run(scenario())


def test_a_connection_is_not_lent_before_its_body_was_read() -> None:
    """An answer that has arrived but was not read keeps its connection."""

    async def scenario() -> None:
        async with reaching(hello) as (server, transport):
            first = await transport.send(POST)
            await server.until(lambda: server.answered == 1)
            second = await transport.send(POST)
            assert server.accepted == 2
            assert (await first.read_all(9), await second.read_all(9)) == (b"hello", b"hello")
            assert transport.lent == 0

    uvloop.run(scenario())


def test_a_late_close_does_not_hit_the_next_borrower() -> None:
    """close() of a finished response leaves the connection that another request now uses."""

    async def scenario() -> None:
        async with reaching(hello) as (server, transport):
            first = await transport.send(POST)
            await first.read_all(9)
            second = await transport.send(POST)
            first.close()
            first.dismiss()
            assert await second.read_all(9) == b"hello"
            assert (server.accepted, server.aborted) == (1, 0)

    uvloop.run(scenario())


def test_a_stale_connection_is_retried_once_on_a_new_one() -> None:
    """A kept-alive connection that closes before any byte of an answer: sent again."""

    async def answer(exchange: Exchange) -> None:
        if len(exchange.server.requests) == 2:
            exchange.close()
        else:
            await exchange.send(whole(b"hello"))

    async def scenario() -> None:
        async with reaching(answer) as (server, transport):
            assert [await ask(transport), await ask(transport)] == [b"hello", b"hello"]
            assert (len(server.requests), server.accepted) == (3, 2)

    uvloop.run(scenario())


def test_a_new_connection_that_closes_is_not_retried() -> None:
    """On a first use the server has begun with the request: the failure is told."""

    async def answer(exchange: Exchange) -> None:
        exchange.reset()

    async def scenario() -> None:
        async with reaching(answer) as (server, transport):
            assert told(await failing(transport)) == ("first_byte", "network", True)
            assert len(server.requests) == 1

    uvloop.run(scenario())


def test_a_second_close_is_not_retried_again() -> None:
    """One retry: a server that closes every time is asked twice, not for ever."""

    async def answer(exchange: Exchange) -> None:
        if len(exchange.server.requests) == 1:
            await exchange.send(whole(b"hello"))
        else:
            exchange.close()

    async def scenario() -> None:
        async with reaching(answer) as (server, transport):
            await ask(transport)
            assert told(await failing(transport)) == ("first_byte", "network", True)
            assert len(server.requests) == 3

    uvloop.run(scenario())


def test_a_byte_of_the_answer_forbids_the_retry() -> None:
    """Half a head on a kept-alive connection means that work was begun."""

    async def answer(exchange: Exchange) -> None:
        if len(exchange.server.requests) == 1:
            await exchange.send(whole(b"hello"))
        else:
            await exchange.send(b"HTTP/1.1 2")
            exchange.close()

    async def scenario() -> None:
        async with reaching(answer) as (server, transport):
            await ask(transport)
            assert told(await failing(transport)) == ("first_byte", "network", True)
            assert len(server.requests) == 2

    uvloop.run(scenario())


def test_a_late_close_of_a_used_connection_is_no_stale_one() -> None:
    """A server that dies at work, after the stale window, is not asked to do the work again."""

    async def answer(exchange: Exchange) -> None:
        if len(exchange.server.requests) == 1:
            await exchange.send(whole(b"hello"))
        else:
            await asyncio.sleep(0.05)
            exchange.close()

    async def scenario() -> None:
        async with reaching(answer, stale_window_s=0.02) as (server, transport):
            await ask(transport)
            assert told(await failing(transport)) == ("first_byte", "network", True)
            assert len(server.requests) == 2

    uvloop.run(scenario())


def test_an_idle_connection_that_the_server_closes_is_forgotten() -> None:
    """A FIN while idle takes the connection out of the pool; the next request opens another."""

    async def answer(exchange: Exchange) -> None:
        await exchange.send(whole(b"hello"))
        exchange.close()

    async def scenario() -> None:
        async with reaching(answer) as (server, transport):
            await ask(transport)
            await server.until(lambda: not server.sessions)
            await server.until(lambda: transport.connections == 0)
            assert await ask(transport) == b"hello"
            assert (len(server.requests), server.accepted) == (2, 2)

    uvloop.run(scenario())


@pytest.mark.parametrize("junk", [b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", b"x"])
def test_an_idle_connection_that_speaks_is_closed(junk: bytes) -> None:
    """Bytes without a request, behind an answer or later, are never the next request's answer."""

    async def answer(exchange: Exchange) -> None:
        if len(exchange.server.requests) == 1:
            await exchange.send(whole(b"hello") + junk)
            await exchange.send(junk)
        else:
            await exchange.send(whole(b"second"))

    async def scenario() -> None:
        async with reaching(answer) as (_, transport):
            assert await ask(transport) == b"hello"
            assert await ask(transport) == b"second"

    uvloop.run(scenario())


def test_interim_answers_are_counted_for_each_request() -> None:
    """A server that gives early hints each time keeps its connection for as long as any other."""

    async def hinting(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + whole(b"hello"))

    async def scenario() -> None:
        async with reaching(hinting, interim_answers_max=2) as (server, transport):
            for _ in range(4):
                assert await ask(transport) == b"hello"
            assert 1 == server.accepted

    uvloop.run(scenario())


def test_close_of_the_transport_ends_everything() -> None:
    """Running requests fail, waiters fail, later requests fail; no socket stays."""

    async def scenario() -> None:
        async with reaching(silent, connections_max=1) as (server, transport):
            loop = asyncio.get_running_loop()
            tasks = [loop.create_task(failing(transport)) for _ in range(2)]
            await server.until(lambda: len(server.requests) == 1)
            await server.until(lambda: transport.waiting > 0)
            transport.close()
            for task in tasks:
                assert (await task).kind == "network"
            assert (await failing(transport)).phase == "connect"
            await server.until(lambda: not server.sessions)

    uvloop.run(scenario())


def test_close_of_the_transport_while_it_connects() -> None:
    """Whose connection is being made then gets it no more: no request goes out any more, which
    no sweep would watch over."""

    async def scenario() -> None:
        async with reaching(silent) as (server, transport), asyncio.timeout(5.0):
            task = asyncio.get_running_loop().create_task(failing(transport))
            await asyncio.sleep(0)
            assert (transport.lent, transport.connections) == (1, 0)
            transport.close()
            error = await task
            assert (error.phase, error.kind) == ("connect", "network")
            await server.until(lambda: not server.sessions)
            assert (transport.lent, transport.connections, server.requests) == (0, 0, [])

    uvloop.run(scenario())


def test_headers_that_could_break_the_request_are_refused() -> None:
    """A line break in a header or path never reaches the wire."""

    async def scenario() -> None:
        async with reaching(hello) as (server, transport):
            for request in (
                HttpRequest(path="/a b\r\nX: y", body=b""),
                HttpRequest(path="/a", body=b"", headers=(("X", "a\r\nY: b"),)),
                HttpRequest(path="/a", body=b"", headers=(("X", "ü"),)),
            ):
                with pytest.raises(ValueError, match="cannot be sent"):
                    await transport.send(request)
            assert server.requests == []

    uvloop.run(scenario())


def test_other_methods_and_queries() -> None:
    """A GET for probes; the base URL's query stays behind every path, also one with its own."""

    async def scenario() -> None:
        async with WireServer(hello) as server:
            endpoint = parse(f"{server.url}/base/?api-version=1", allow_private=True)
            transport = Transport(endpoint)
            await ask(transport, HttpRequest(path="/models", body=b"", method="GET"))
            assert server.requests[0].method == "GET"
            assert server.requests[0].path == "/base/models?api-version=1"
            await ask(transport, HttpRequest(path="/models/m:stream?alt=sse", body=b"{}"))
            assert server.requests[1].path == "/base/models/m:stream?alt=sse&api-version=1"
            transport.close()

    uvloop.run(scenario())
