"""Reaching an upstream through an HTTP proxy."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import uvloop

from baton.semantics.events import Call
from baton.upstreams.base import UpstreamError
from baton.upstreams.endpoint import TransportLimits, parse
from baton.upstreams.proxy import ProxyDialer, parse_proxy
from baton.upstreams.registry import build
from baton.upstreams.transport import Transport
from tests.fakes.fake_completions import FakeCompletions
from tests.upstreams.reaching import failing, told
from tests.upstreams.resolving import Resolver
from tests.upstreams.talking import events_of, record, text_of

CALL = Call(model="m", prompts=["the river"], max_tokens=5)
YES = b"HTTP/1.1 200 Connection established\r\nVia: fake\r\n\r\n"


class Proxy:
    """A proxy on 127.0.0.1 that answers CONNECT with `says` and then passes bytes on."""

    def __init__(self, says: bytes = YES) -> None:
        self.says = says
        self.asked: list[bytes] = []
        self.port = 0
        self._running: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head)
        host, _, port = head.split(b" ")[1].decode().rpartition(":")
        writer.write(self.says)
        if self.says == YES:
            theirs, ours = await asyncio.open_connection(host, int(port))
            async with asyncio.TaskGroup() as both:
                both.create_task(self.pump(reader, ours))
                both.create_task(self.pump(theirs, writer))
        writer.close()

    async def pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)
        sink.close()


@contextlib.asynccontextmanager
async def proxying(says: bytes = YES) -> AsyncIterator[Proxy]:
    proxy = Proxy(says)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()


def test_requests_go_through_the_tunnel() -> None:
    """CONNECT names the upstream; what follows is the upstream's own wire, kept alive."""

    async def scenario() -> None:
        async with FakeCompletions("vllm") as fake, proxying() as proxy:
            upstream = build(
                record(fake, proxy=f"http://127.0.0.1:{proxy.port}"), TransportLimits()
            )
            first = text_of(await events_of(upstream, CALL))
            assert first
            assert text_of(await events_of(upstream, CALL)) == first
            place = b"127.0.0.1:%d" % fake.port
            assert proxy.asked == [b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (place, place)]
            await upstream.close()
            await fake.until(lambda: not fake.sessions)

    uvloop.run(scenario())


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        (b"HTTP/1.1 407 Authenticate\r\n\r\n", ("connect", "refused", True)),
        (b"HTTP/1.1 200\r\n", ("connect", "protocol", True)),
        (b"SSH-2.0-x\r\n\r\n", ("connect", "refused", True)),
        (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 9000, ("connect", "protocol", True)),
    ],
)
def test_a_proxy_that_does_not_lead_there(says: bytes, expected: tuple[str, str, bool]) -> None:
    """Refusals, an end in mid-head, another protocol, an endless head: told as such."""

    async def scenario() -> None:
        async with proxying(says) as proxy:
            endpoint = parse("http://upstream.test:81")
            dialer = ProxyDialer(endpoint, parse_proxy(f"http://127.0.0.1:{proxy.port}"))
            transport = Transport(endpoint, (), dialer)
            assert told(await failing(transport)) == expected
            transport.close()

    uvloop.run(scenario())


@pytest.mark.parametrize("says", [YES, b"HTTP/1.1 200\r\n\r\n"])
def test_a_proxy_of_several_addresses(says: bytes) -> None:
    """As `localhost` often is: one that refuses is passed over, and comes last from then on. Its
    yes needs no words."""

    async def scenario() -> None:
        async with FakeCompletions("vllm") as fake, proxying(says) as proxy:
            endpoint = parse(fake.url, allow_private=True)
            place = parse_proxy(f"http://proxy.test:{proxy.port}")
            dialer = ProxyDialer(endpoint, place, Resolver(["127.0.0.2", "127.0.0.1"]))
            for _ in range(2):
                await dialer.dial(asyncio.Protocol)
            assert ["127.0.0.1", "127.0.0.2"] == dialer._to_proxy.addresses
            assert 2 == len(proxy.asked)

    uvloop.run(scenario())


def test_a_proxy_at_no_address() -> None:
    """Each of them refuses: told as such."""

    async def scenario() -> None:
        async with proxying() as proxy:
            port = proxy.port
        place = parse_proxy(f"http://proxy.test:{port}")
        resolver = Resolver(["127.0.0.2", "127.0.0.1"])
        dialer = ProxyDialer(parse("http://upstream.test"), place, resolver)
        with pytest.raises(UpstreamError) as caught:
            await dialer.dial(asyncio.Protocol)
        assert told(caught.value) == ("connect", "refused", True)

    uvloop.run(scenario())


def test_an_address_is_judged_here() -> None:
    """A tunnel does not make metadata addresses reachable; a name is the proxy's to judge."""

    async def scenario() -> None:
        async with proxying() as proxy:
            endpoint = parse("http://127.0.0.1")
            dialer = ProxyDialer(endpoint, parse_proxy(f"http://127.0.0.1:{proxy.port}"))
            transport = Transport(endpoint, (), dialer)
            error = await failing(transport)
            assert error.detail == "address 127.0.0.1 is denied: loopback"
            assert proxy.asked == []
            transport.close()

    uvloop.run(scenario())


@pytest.mark.parametrize(
    "url", ["https://p:1", "http://u:p@p:1", "http://p:1/path", "p:1", "http://p:1?x=1"]
)
def test_what_is_no_proxy(url: str) -> None:
    """Only http://host:port; credentials would be logged."""
    with pytest.raises(ValueError, match=r"."):
        parse_proxy(url)


def test_a_proxy_that_is_gone() -> None:
    """Refused, as an upstream would be."""

    async def scenario() -> None:
        async with proxying() as proxy:
            port = proxy.port
        endpoint = parse("http://upstream.test")
        dialer = ProxyDialer(endpoint, parse_proxy(f"http://127.0.0.1:{port}"))
        with pytest.raises(UpstreamError) as caught:
            await dialer.dial(asyncio.Protocol)
        assert told(caught.value) == ("connect", "refused", True)

    uvloop.run(scenario())
