"""A transport and the server that it reaches, for tests of the transport."""

import contextlib
from collections.abc import AsyncIterator

import msgspec
import pytest

from baton.upstreams.base import HttpRequest, UpstreamError
from baton.upstreams.endpoint import TransportLimits, parse
from baton.upstreams.transport import Transport
from tests.fakes.wire import Answer, Exchange, WireServer, whole

POST = HttpRequest(path="/completions", body=b'{"prompt":"x"}')
ABORT_S = 0.05


async def hello(exchange: Exchange) -> None:
    await exchange.send(whole(b"hello"))


async def silent(exchange: Exchange) -> None:
    await exchange.stall()


@contextlib.asynccontextmanager
async def reaching(answer: Answer, **limits: float) -> AsyncIterator[tuple[WireServer, Transport]]:
    """A server that answers so, and a transport to it."""
    async with WireServer(answer) as server:
        endpoint = parse(
            f"{server.url}/v1", allow_private=True, limits=msgspec.convert(limits, TransportLimits)
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
