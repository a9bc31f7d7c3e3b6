"""Requests that are sent at once, and whose answers are waited for later, or never."""

import uvloop

from baton.upstreams.response import Response
from baton.upstreams.transport import Transport
from tests.fakes.wire import Exchange, whole
from tests.upstreams.reaching import POST, ask, hello, reaching


def begun(transport: Transport) -> Response | None:
    return transport.begin(transport.head(POST), POST.body)


def test_only_on_an_idle_connection() -> None:
    """None where there is none: nothing is dialled, and nobody waits."""

    async def scenario() -> None:
        async with reaching(hello) as (server, transport):
            assert begun(transport) is None
            assert (0, 0, 0) == (server.accepted, transport.lent, transport.waiting)
            await ask(transport)
            response = begun(transport)
            assert response is not None
            assert begun(transport) is None
            assert await (await transport.receive(response, POST)).read_all(9) == b"hello"
            assert (1, 0, 2) == (server.accepted, transport.lent, len(server.requests))
            assert server.requests[0].head == server.requests[1].head

    uvloop.run(scenario())


def test_heard_in_the_call_that_read_it() -> None:
    """The connection is free in it, for the next request."""

    async def scenario() -> None:
        async with reaching(hello) as (server, transport):
            await ask(transport)
            found: list[bytes | None] = []

            def heard(response: Response) -> None:
                found.append(response.whole_body)
                response.taken()
                if len(found) < 5:
                    again = begun(transport)
                    assert again is not None
                    again.listen(lambda: heard(again))

            first = begun(transport)
            assert first is not None
            first.listen(lambda: heard(first))
            await server.until(lambda: len(found) == 5)
            assert [b"hello"] * 5 == found
            assert (1, 0) == (server.accepted, transport.lent)

    uvloop.run(scenario())


def test_a_stale_connection() -> None:
    """Whoever listened hears of it; received, the request is sent once more."""

    async def answer(exchange: Exchange) -> None:
        if len(exchange.server.requests) == 2:
            exchange.close()
        else:
            await exchange.send(whole(b"hello"))

    async def scenario() -> None:
        async with reaching(answer) as (server, transport):
            await ask(transport)
            heard: list[bool] = []
            response = begun(transport)
            assert response is not None
            response.listen(lambda: heard.append(response.error is not None))
            await server.until(lambda: bool(heard))
            assert [True] == heard
            again = await transport.receive(response, POST)
            assert await again.read_all(9) == b"hello"
            assert (2, 3, 0) == (server.accepted, len(server.requests), transport.lent)

    uvloop.run(scenario())


def test_let_go_before_its_answer() -> None:
    """Its connection closes, its place is free, and no other request hears of it."""

    async def answer(exchange: Exchange) -> None:
        if len(exchange.server.requests) == 2:
            await exchange.stall()
        await exchange.send(whole(b"hello"))

    async def scenario() -> None:
        async with reaching(answer) as (server, transport):
            await ask(transport)
            response = begun(transport)
            assert response is not None
            await server.until(lambda: len(server.requests) == 2)
            response.close()
            await server.until(lambda: server.aborted == 1)
            assert await ask(transport) == b"hello"
            assert (2, 0) == (server.accepted, transport.lent)

    uvloop.run(scenario())
