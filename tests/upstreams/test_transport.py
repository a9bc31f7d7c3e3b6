"""The transport against real sockets: reuse, retry, queue, time limits, cancel in every phase."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest
import uvloop

from baton.upstreams.base import HttpRequest, UpstreamError
from baton.upstreams.endpoint import TransportLimits, parse
from baton.upstreams.transport import Transport
from tests.fakes.wire import LAST_CHUNK, Answer, Exchange, WireServer, chunk, chunked_head, whole

POST = HttpRequest(path="/completions", body=b'{"prompt":"x"}')
ABORT_S = 0.05


async def hello(exchange: Exchange) -> None:
    await exchange.send(whole(b"hello"))


@contextlib.asynccontextmanager
async def relay(answer: Answer, **limits: float) -> AsyncIterator[tuple[WireServer, Transport]]:
    """A server that answers so, and a transport to it."""
    async with WireServer(answer) as server:
        endpoint = parse(
            f"{server.url}/v1",
            allow_private=True,
            limits=TransportLimits(**limits),  # type: ignore[arg-type]
        )
        transport = Transport(endpoint, (("Authorization", "Bearer sk-secret"),))
        try:
            yield server, transport
        finally:
            transport.close()


async def ask(transport: Transport, request: HttpRequest = POST) -> bytes:
    response = await transport.send(request)
    return await response.read_all(1 << 20)


async def failing(transport: Transport) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        await ask(transport)
    return caught.value


def told(error: UpstreamError) -> tuple[str, str, bool]:
    return error.phase, error.kind, error.retryable


def test_sends_what_it_was_given_and_reads_the_answer() -> None:
    """Target, Host, key, type, identity and length go out; status, header and body come back."""

    async def answer(exchange: Exchange) -> None:
        await exchange.send(whole(b"hello", "X-Thing:  a b ", status="201 Created"))

    async def scenario() -> None:
        async with relay(answer) as (server, transport):
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
        async with relay(hello) as (server, transport):
            assert [await ask(transport) for _ in range(20)] == [b"hello"] * 20
            assert (server.accepted, transport.lent) == (1, 0)

    uvloop.run(scenario())


def test_a_connection_is_not_lent_before_its_body_was_read() -> None:
    """An answer that has arrived but was not read keeps its connection."""

    async def scenario() -> None:
        async with relay(hello) as (server, transport):
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
        async with relay(hello) as (server, transport):
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
        async with relay(answer) as (server, transport):
            assert [await ask(transport), await ask(transport)] == [b"hello", b"hello"]
            assert (len(server.requests), server.accepted) == (3, 2)

    uvloop.run(scenario())


def test_a_new_connection_that_closes_is_not_retried() -> None:
    """On a first use the server has begun with the request: the failure is told."""

    async def answer(exchange: Exchange) -> None:
        exchange.reset()

    async def scenario() -> None:
        async with relay(answer) as (server, transport):
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
        async with relay(answer) as (server, transport):
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
        async with relay(answer) as (server, transport):
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
        async with relay(answer, stale_window_s=0.02) as (server, transport):
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
        async with relay(answer) as (server, transport):
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
        async with relay(answer) as (_, transport):
            assert await ask(transport) == b"hello"
            assert await ask(transport) == b"second"

    uvloop.run(scenario())


def test_the_queue_for_connections_is_first_come_first_served() -> None:
    """With one connection, requests are answered in the order in which they came."""
    order: list[int] = []

    async def one(transport: Transport, number: int) -> None:
        await ask(transport, HttpRequest(path="/completions", body=b"%d" % number))
        order.append(number)

    async def scenario() -> None:
        async with relay(hello, connections_max=1) as (server, transport):
            async with asyncio.TaskGroup() as group:
                for number in range(20):
                    group.create_task(one(transport, number))
            assert order == list(range(20))
            assert [int(request.body) for request in server.requests] == list(range(20))
            assert server.accepted == 1

    uvloop.run(scenario())


def test_a_dead_connection_gives_its_place_to_the_queue() -> None:
    """When the only connection dies, the next in the queue opens one."""

    async def answer(exchange: Exchange) -> None:
        if len(exchange.server.requests) == 1:
            exchange.reset()
        else:
            await exchange.send(whole(b"hello"))

    async def scenario() -> None:
        async with relay(answer, connections_max=1) as (server, transport):
            results = await asyncio.gather(
                *(ask(transport) for _ in range(3)), return_exceptions=True
            )
            assert isinstance(results[0], UpstreamError)
            assert results[1:] == [b"hello", b"hello"]
            assert server.accepted == 2

    uvloop.run(scenario())


def test_a_cancelled_waiter_loses_nothing() -> None:
    """A waiter that is cancelled, also at the moment it is served, passes its turn on."""

    async def answer(exchange: Exchange) -> None:
        await exchange.send(whole(b"hello"))

    async def scenario() -> None:
        async with relay(answer, connections_max=1) as (server, transport):
            first = await transport.send(POST)
            loop = asyncio.get_running_loop()
            second = loop.create_task(ask(transport))
            third = loop.create_task(ask(transport))
            await server.until(lambda: transport.waiting == 2)
            assert await first.read_all(9) == b"hello"  # serves the second …
            second.cancel()  # … which is gone before it runs
            assert await third == b"hello"
            assert second.cancelled()
            assert (transport.lent, transport.waiting) == (0, 0)

    uvloop.run(scenario())


def test_the_queue_is_bounded_in_length_and_time() -> None:
    """Beyond waiting_max the answer is at once `overloaded`; a waiter gives up after its time."""

    async def answer(exchange: Exchange) -> None:
        await exchange.stall()

    async def scenario() -> None:
        limits = {"connections_max": 1, "waiting_max": 1, "wait_timeout_s": 0.05}
        async with relay(answer, **limits) as (server, transport):
            loop = asyncio.get_running_loop()
            first = loop.create_task(ask(transport))
            await server.until(lambda: len(server.requests) == 1)
            second = loop.create_task(failing(transport))
            await server.until(lambda: transport.waiting > 0)
            assert told(await failing(transport)) == ("connect", "overloaded", True)
            assert told(await second) == ("connect", "overloaded", True)
            first.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await first

    uvloop.run(scenario())


async def silent(exchange: Exchange) -> None:
    await exchange.stall()


async def half_a_head(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-")
    await exchange.stall()


async def half_a_body(exchange: Exchange) -> None:
    await exchange.send(chunked_head() + chunk(b"first"))
    await exchange.stall()


async def endless(exchange: Exchange) -> None:
    await exchange.send(chunked_head())
    while True:
        await exchange.send(chunk(b"more"))
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("answer", "limit", "expected"),
    [
        (silent, "first_byte_timeout_s", ("first_byte", "timeout", True)),
        (half_a_head, "first_byte_timeout_s", ("first_byte", "timeout", True)),
        (half_a_body, "stall_timeout_s", ("stream", "timeout", False)),
        (endless, "total_timeout_s", ("stream", "timeout", False)),
        (silent, "total_timeout_s", ("first_byte", "timeout", True)),
    ],
)
def test_time_limits(answer: Answer, limit: str, expected: tuple[str, str, bool]) -> None:
    """Each phase has its limit; it is met neither early nor late, and the socket is aborted."""

    async def scenario() -> None:
        async with relay(answer, **{limit: 0.1}) as (server, transport):
            started = time.perf_counter()
            assert told(await failing(transport)) == expected
            assert 0.1 <= time.perf_counter() - started < 0.3
            await server.until(lambda: server.aborted == 1, ABORT_S)
            assert transport.lent == 0

    uvloop.run(scenario())


def test_what_came_before_a_stall_is_read_first() -> None:
    """Bytes that were received are given to the reader before the failure."""

    async def scenario() -> None:
        async with relay(half_a_body, stall_timeout_s=0.05) as (server, transport):
            response = await transport.send(POST)
            await server.until(lambda: server.aborted == 1)
            assert await response.read_some() == b"first"
            with pytest.raises(UpstreamError):
                await response.read_some()

    uvloop.run(scenario())


def test_a_slow_reader_is_not_a_stall() -> None:
    """Time in which we do not read does not count against the upstream."""

    async def answer(exchange: Exchange) -> None:
        await exchange.send(whole(bytes(1_000_000)))

    async def scenario() -> None:
        async with relay(answer, stall_timeout_s=0.05) as (_, transport):
            response = await transport.send(POST)
            await asyncio.sleep(0.2)
            assert await response.read_all(1_000_000) == bytes(1_000_000)

    uvloop.run(scenario())


@pytest.mark.parametrize("answer", [silent, half_a_head, half_a_body])
def test_cancel_aborts_the_socket_at_once(answer: Answer) -> None:
    """Cancelled while waiting for the head or the body: closed within 50 ms, nothing kept."""

    async def scenario() -> None:
        async with relay(answer) as (server, transport):
            task = asyncio.get_running_loop().create_task(ask(transport))
            await server.until(lambda: len(server.requests) == 1)
            if answer is half_a_body:
                await asyncio.sleep(0.02)
            task.cancel()
            await server.until(lambda: server.aborted == 1, ABORT_S)
            assert task.cancelled()
            assert (transport.lent, transport.connections) == (0, 0)

    uvloop.run(scenario())


def test_cancel_while_connecting_frees_the_place() -> None:
    """A cancelled connect leaves nothing behind and its place can be used."""

    class NeverDialer:
        async def dial(self, make: object) -> object:
            return await asyncio.get_running_loop().create_future()

    async def scenario() -> None:
        endpoint = parse("http://127.0.0.1:9", allow_private=True)
        transport = Transport(endpoint, dialer=NeverDialer())  # type: ignore[arg-type]
        task = asyncio.get_running_loop().create_task(ask(transport))
        await asyncio.sleep(0)
        assert transport.lent == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (transport.lent, transport.connections) == (0, 0)

    uvloop.run(scenario())


def test_close_mid_read_wakes_the_reader_and_aborts() -> None:
    """close() from elsewhere ends a waiting read with UpstreamError and closes the socket."""

    async def scenario() -> None:
        async with relay(half_a_body) as (server, transport):
            response = await transport.send(POST)
            assert await response.read_some() == b"first"
            task = asyncio.get_running_loop().create_task(response.read_some())
            await asyncio.sleep(0)
            response.close()
            response.close()
            with pytest.raises(UpstreamError):
                await task
            await server.until(lambda: server.aborted == 1, ABORT_S)

    uvloop.run(scenario())


def test_dismiss_keeps_a_connection_whose_answer_ends_at_once() -> None:
    """What follows the end that the reader saw is passed by, and the connection is used again."""
    go_on = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        await exchange.send(chunked_head() + chunk(b"all"))
        await go_on.wait()
        await exchange.send(LAST_CHUNK)

    async def scenario() -> None:
        async with relay(answer) as (server, transport):
            response = await transport.send(POST)
            assert await response.read_some() == b"all"
            response.dismiss()
            go_on.set()
            await server.until(lambda: transport.lent == 0)
            assert await ask(transport) == b"all"
            assert (server.accepted, server.aborted) == (1, 0)

    uvloop.run(scenario())


@pytest.mark.parametrize("answer", [half_a_body, endless])
def test_dismiss_aborts_an_answer_that_does_not_end(answer: Answer) -> None:
    """A dismissed answer that stalls or goes on and on is cut."""

    async def scenario() -> None:
        limits = {"stale_window_s": 0.05, "stall_timeout_s": 0.2, "total_timeout_s": 0.2}
        async with relay(answer, **limits) as (server, transport):
            response = await transport.send(POST)
            await response.read_some()
            response.dismiss()
            await server.until(lambda: server.aborted == 1, 1.0)

    uvloop.run(scenario())


def test_idle_connections_are_closed_after_their_time() -> None:
    """An idle connection does not outlive idle_s."""

    async def scenario() -> None:
        async with relay(hello, idle_s=0.05) as (server, transport):
            await ask(transport)
            assert transport.connections == 1
            await server.until(lambda: not server.sessions, 0.5)
            assert await ask(transport) == b"hello"
            assert server.accepted == 2

    uvloop.run(scenario())


def test_back_pressure_bounds_what_is_read_ahead() -> None:
    """20 MB sent at a reader that does not read: the sender is stopped, 64 KiB are held."""

    async def answer(exchange: Exchange) -> None:
        await exchange.send(chunked_head())
        for _ in range(20_000):
            await exchange.send(chunk(bytes(1000)))
        await exchange.send(LAST_CHUNK)

    async def scenario() -> None:
        async with relay(answer) as (server, transport):
            response = await transport.send(POST)
            await asyncio.sleep(0.2)
            assert response.buffered_bytes <= 64 * 1024
            assert server.answered == 0  # its socket takes no more
            assert len(await response.read_all(20_000_000)) == 20_000_000
            await server.until(lambda: server.answered == 1)

    uvloop.run(scenario())


def test_close_of_the_transport_ends_everything() -> None:
    """Running requests fail, waiters fail, later requests fail; no socket stays."""

    async def scenario() -> None:
        async with relay(silent, connections_max=1) as (server, transport):
            loop = asyncio.get_running_loop()
            tasks = [loop.create_task(failing(transport)) for _ in range(2)]
            await server.until(lambda: len(server.requests) == 1)
            await server.until(lambda: transport.waiting > 0)
            transport.close()
            for task in tasks:
                assert (await task).kind == "network"
            assert (await failing(transport)).phase == "connect"
            await server.until(lambda: not server.sessions, ABORT_S)

    uvloop.run(scenario())


def test_headers_that_could_break_the_request_are_refused() -> None:
    """A line break in a header or path never reaches the wire."""

    async def scenario() -> None:
        async with relay(hello) as (server, transport):
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
    """A GET for probes; the base URL's query stays behind every path."""

    async def scenario() -> None:
        async with WireServer(hello) as server:
            endpoint = parse(f"{server.url}/base/?api-version=1", allow_private=True)
            transport = Transport(endpoint)
            await ask(transport, HttpRequest(path="/models", body=b"", method="GET"))
            assert server.requests[0].method == "GET"
            assert server.requests[0].path == "/base/models?api-version=1"
            transport.close()

    uvloop.run(scenario())
