"""The transport while it waits: the queue, time limits, cancel in every phase, back-pressure."""

import asyncio
import contextlib
import statistics
import time

import pytest
import uvloop

from baton.upstreams.base import HttpRequest, UpstreamError
from baton.upstreams.endpoint import parse
from baton.upstreams.transport import Transport
from tests.fakes.wire import LAST_CHUNK, Answer, Exchange, WireServer, chunk, chunked_head, whole
from tests.upstreams.reaching import ABORT_S, POST, ask, failing, hello, reaching, silent, told


def test_the_queue_for_connections_is_first_come_first_served() -> None:
    """With one connection, requests are answered in the order in which they came."""
    order: list[int] = []

    async def one(transport: Transport, number: int) -> None:
        await ask(transport, HttpRequest(path="/completions", body=b"%d" % number))
        order.append(number)

    async def scenario() -> None:
        async with reaching(hello, connections_max=1) as (server, transport):
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
        async with reaching(answer, connections_max=1) as (server, transport):
            results = await asyncio.gather(
                *(ask(transport) for _ in range(3)), return_exceptions=True
            )
            assert isinstance(results[0], UpstreamError)
            assert results[1:] == [b"hello", b"hello"]
            assert server.accepted == 2

    uvloop.run(scenario())


def test_a_retry_that_waited_gets_a_new_connection() -> None:
    """Of a server that answers once on each connection and then closes it unasked: what waits in
    the queue for its second try is not given the next connection that was used already."""
    answered: set[object] = set()

    async def answer(exchange: Exchange) -> None:
        if exchange._session in answered:
            exchange.close()
        else:
            answered.add(exchange._session)
            await exchange.send(whole(b"hello"))

    async def scenario() -> None:
        async with reaching(answer, connections_max=1) as (server, transport):
            results = await asyncio.gather(
                *(ask(transport) for _ in range(8)), return_exceptions=True
            )
            assert results == [b"hello"] * 8
            assert (transport.lent, transport.waiting) == (0, 0)
            assert (server.accepted, transport.connections) == (8, 1)

    uvloop.run(scenario())


def test_a_cancelled_waiter_loses_nothing() -> None:
    """A waiter that is cancelled, also at the moment it is served, passes its turn on."""

    async def answer(exchange: Exchange) -> None:
        await exchange.send(whole(b"hello"))

    async def scenario() -> None:
        async with reaching(answer, connections_max=1) as (server, transport):
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
        async with reaching(answer, **limits) as (server, transport):
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
        async with reaching(answer, **{limit: 0.1}) as (server, transport):
            started = time.perf_counter()
            assert told(await failing(transport)) == expected
            assert 0.1 <= time.perf_counter() - started < 1.0
            await server.until(lambda: server.aborted == 1)
            assert transport.lent == 0

    uvloop.run(scenario())


def test_what_came_before_a_stall_is_read_first() -> None:
    """Bytes that were received are given to the reader before the failure."""

    async def scenario() -> None:
        async with reaching(half_a_body, stall_timeout_s=0.05) as (server, transport):
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
        async with reaching(answer, stall_timeout_s=0.05) as (_, transport):
            response = await transport.send(POST)
            await asyncio.sleep(0.2)
            assert await response.read_all(1_000_000) == bytes(1_000_000)

    uvloop.run(scenario())


@pytest.mark.parametrize("answer", [silent, half_a_head, half_a_body])
def test_cancel_aborts_the_socket_at_once(answer: Answer) -> None:
    """Cancelled while waiting for the head or the body: closed within 50 ms, nothing kept."""

    async def once(server: WireServer, transport: Transport) -> float:
        task = asyncio.get_running_loop().create_task(ask(transport))
        arrived = len(server.requests) + 1
        await server.until(lambda: len(server.requests) == arrived)
        if answer is half_a_body:
            await asyncio.sleep(0.01)
        before, started = server.aborted, time.perf_counter()
        task.cancel()
        await server.until(lambda: server.aborted == before + 1)
        took_s = time.perf_counter() - started
        assert task.cancelled()
        assert (transport.lent, transport.connections) == (0, 0)
        return took_s

    async def scenario() -> None:
        async with reaching(answer) as (server, transport):
            took_s = [await once(server, transport) for _ in range(9)]
            # The median: a busy machine may pause any one of them.
            assert statistics.median(took_s) < ABORT_S

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
        async with reaching(half_a_body) as (server, transport):
            response = await transport.send(POST)
            assert await response.read_some() == b"first"
            task = asyncio.get_running_loop().create_task(response.read_some())
            await asyncio.sleep(0)
            response.close()
            response.close()
            with pytest.raises(UpstreamError):
                await task
            await server.until(lambda: server.aborted == 1)

    uvloop.run(scenario())


def test_dismiss_keeps_a_connection_whose_answer_ends_at_once() -> None:
    """What follows the end that the reader saw is passed by, and the connection is used again."""
    go_on = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        await exchange.send(chunked_head() + chunk(b"all"))
        await go_on.wait()
        await exchange.send(LAST_CHUNK)

    async def scenario() -> None:
        async with reaching(answer) as (server, transport):
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
        async with reaching(answer, **limits) as (server, transport):
            response = await transport.send(POST)
            await response.read_some()
            response.dismiss()
            await server.until(lambda: server.aborted == 1, 1.0)

    uvloop.run(scenario())


def test_idle_connections_are_closed_after_their_time() -> None:
    """An idle connection does not outlive idle_s."""

    async def scenario() -> None:
        async with reaching(hello, idle_s=0.05) as (server, transport):
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
        async with reaching(answer) as (server, transport):
            response = await transport.send(POST)
            await asyncio.sleep(0.2)
            assert response.buffered_bytes <= 64 * 1024
            assert server.answered == 0  # its socket takes no more
            assert len(await response.read_all(20_000_000)) == 20_000_000
            await server.until(lambda: server.answered == 1)

    uvloop.run(scenario())
