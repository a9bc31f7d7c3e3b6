"""Resolving, judging, pinning and TLS, with real sockets and resolvers that lie."""

import asyncio
import errno
import pathlib
import resource
import socket

import pytest
import uvloop

from baton.upstreams.base import HttpRequest, UpstreamError
from baton.upstreams.dialer import TcpDialer
from baton.upstreams.endpoint import Endpoint, TransportLimits, parse
from baton.upstreams.transport import Transport
from tests.fakes.wire import Exchange, WireServer, whole
from tests.upstreams.certified import certificate
from tests.upstreams.resolving import Resolver

POST = HttpRequest(path="/", body=b"{}")


async def hello(exchange: Exchange) -> None:
    await exchange.send(whole(b"hello"))


async def ask(endpoint: Endpoint, resolver: Resolver) -> bytes:
    transport = Transport(endpoint, dialer=TcpDialer(endpoint, resolver))
    try:
        return await (await transport.send(POST)).read_all(100)
    finally:
        transport.close()


async def refused(endpoint: Endpoint, resolver: Resolver) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        await ask(endpoint, resolver)
    assert (caught.value.phase, caught.value.retryable) == ("connect", True)
    return caught.value


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["8.8.8.8", "127.0.0.1"],
        ["169.254.169.254"],
        ["::ffff:10.0.0.1"],
        ["0.0.0.0"],
    ],
)
def test_one_denied_address_denies_the_name(addresses: list[str]) -> None:
    """All addresses are judged before any is called; none is without leave."""

    async def scenario() -> None:
        async with WireServer(hello) as server:
            endpoint = parse(f"http://name.test:{server.port}/")
            error = await refused(endpoint, Resolver(addresses))
            assert error.kind == "refused"
            assert server.accepted == 0

    uvloop.run(scenario())


def test_metadata_is_denied_with_leave_for_private_addresses() -> None:
    """allow_private does not open link-local addresses."""

    async def scenario() -> None:
        endpoint = parse("http://name.test:1/", allow_private=True)
        error = await refused(endpoint, Resolver(["127.0.0.1", "169.254.169.254"]))
        assert (error.kind, error.detail) == (
            "refused", "address 169.254.169.254 is denied: link-local (cloud metadata)",
        )  # fmt: skip

    uvloop.run(scenario())


def test_a_name_that_changes_its_mind_is_judged_again() -> None:
    """DNS rebinding: each resolution is judged, and the judged address is the one connected to."""

    async def scenario() -> None:
        async with WireServer(hello) as server:
            limits = TransportLimits(resolved_s=0.0)
            endpoint = parse(f"http://name.test:{server.port}/", allow_private=True, limits=limits)
            resolver = Resolver(["127.0.0.1"], ["169.254.169.254"])
            dialer = TcpDialer(endpoint, resolver)
            transport = Transport(endpoint, dialer=dialer)
            response = await transport.send(POST)
            with pytest.raises(UpstreamError):
                await transport.send(POST)
            assert await response.read_all(100) == b"hello"
            assert (resolver.asked, server.accepted) == (2, 1)
            transport.close()

    uvloop.run(scenario())


def test_a_resolution_is_used_for_a_while() -> None:
    """Within resolved_s connections are made without asking again."""

    async def scenario() -> None:
        async with WireServer(hello) as server:
            endpoint = parse(f"http://name.test:{server.port}/", allow_private=True)
            resolver = Resolver(["127.0.0.1"])
            transport = Transport(endpoint, dialer=TcpDialer(endpoint, resolver))
            responses = [await transport.send(POST) for _ in range(3)]
            assert (resolver.asked, server.accepted) == (1, 3)
            for response in responses:
                response.close()
            transport.close()

    uvloop.run(scenario())


def test_a_name_that_moved_is_asked_for_again() -> None:
    """Once none of its addresses answers, without waiting until the resolution is old: a server
    that was started anew may have another one."""

    async def scenario() -> None:
        async with WireServer(hello) as server:
            endpoint = parse(f"http://name.test:{server.port}/", allow_private=True)
            resolver = Resolver(["127.0.0.2", "127.0.0.3"], ["127.0.0.1"])
            transport = Transport(endpoint, dialer=TcpDialer(endpoint, resolver))
            with pytest.raises(UpstreamError):
                await transport.send(POST)
            assert await (await transport.send(POST)).read_all(100) == b"hello"
            assert resolver.asked == 2
            transport.close()

    uvloop.run(scenario())


def test_all_who_connect_ask_for_a_name_once() -> None:
    """However many they are while a resolver is slow, also where who asked leaves meanwhile: it has
    few threads, and other upstreams have names, too."""

    async def scenario() -> None:
        asked, told = list[str](), asyncio.Event()

        async def slow(host: str, port: int) -> list[str]:
            asked.append(host)
            await told.wait()
            return ["127.0.0.1"]

        async with WireServer(hello) as server:
            endpoint = parse(f"http://name.test:{server.port}/", allow_private=True)
            dialer = TcpDialer(endpoint, slow)
            loop = asyncio.get_running_loop()
            dials = [loop.create_task(dialer.dial(asyncio.Protocol)) for _ in range(10)]
            await asyncio.sleep(0)
            assert len(asked) == 1
            dials.pop(0).cancel()
            told.set()
            await asyncio.gather(*dials)
            assert len(asked) == 2

    uvloop.run(scenario())


def test_a_name_whose_address_is_silent_is_asked_for_again() -> None:
    """As where it refuses: the one behind it may be gone."""

    async def scenario() -> None:
        async with WireServer(hello) as plain:  # which waits for more of what TLS says first
            limits = TransportLimits(connect_timeout_s=0.1)
            url = f"https://name.test:{plain.port}/"
            resolver = Resolver(["127.0.0.1"])
            dialer = TcpDialer(parse(url, allow_private=True, limits=limits), resolver)
            for _ in range(2):
                with pytest.raises(UpstreamError):
                    await dialer.dial(asyncio.Protocol)
            assert resolver.asked == 2

    uvloop.run(scenario())


def test_the_next_address_is_tried_and_then_comes_first() -> None:
    """An address that refuses is passed over; the one that answered leads from then on."""

    async def scenario() -> None:
        async with WireServer(hello) as server:
            endpoint = parse(f"http://name.test:{server.port}/", allow_private=True)
            dialer = TcpDialer(endpoint, Resolver(["127.0.0.2", "127.0.0.1"]))
            transport = Transport(endpoint, dialer=dialer)
            assert await (await transport.send(POST)).read_all(100) == b"hello"
            assert dialer.addresses == ["127.0.0.1", "127.0.0.2"]
            transport.close()

    uvloop.run(scenario())


def test_an_address_that_failed_comes_last_when_the_name_is_asked_again() -> None:
    """Else each resolution has a caller wait for it; it is first again once the others failed."""

    async def scenario() -> None:
        limits = TransportLimits(resolved_s=0.0)
        endpoint = parse("http://name.test/", allow_private=True, limits=limits)
        resolver = Resolver(["127.0.0.2", "127.0.0.1"])
        dialer = TcpDialer(endpoint, resolver)
        tried: list[str] = []

        async def refuse(address: str) -> None:
            tried.append(address)
            if address == "127.0.0.2" or len(tried) > 4:
                raise ConnectionRefusedError

        for _ in range(3):
            await dialer.reach(refuse)
        assert tried == ["127.0.0.2", *["127.0.0.1"] * 3]
        with pytest.raises(ConnectionRefusedError):
            await dialer.reach(refuse)
        assert await dialer.judged_addresses() == ["127.0.0.2", "127.0.0.1"]
        assert resolver.asked == 5

    uvloop.run(scenario())


@pytest.mark.parametrize("addresses", [["127.0.0.1", "::1"], ["::1", "127.0.0.1"]])
def test_what_an_address_says_counts_before_what_this_machine_lacks(addresses: list[str]) -> None:
    """Without IPv6, as in most containers, there is no address to call ::1 from: `localhost` where
    nobody listens refuses all the same, and is judged by that."""

    async def connect(address: str) -> None:
        if address == "127.0.0.1":
            raise ConnectionRefusedError
        raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")

    async def scenario() -> None:
        dialer = TcpDialer(parse("http://name.test/", allow_private=True), Resolver(addresses))
        with pytest.raises(ConnectionRefusedError):
            await dialer.reach(connect)

    uvloop.run(scenario())


def test_nobody_listens() -> None:
    """A closed port is `refused`, a name without address `network`."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]

        async def scenario() -> None:
            endpoint = parse(f"http://127.0.0.1:{port}/", allow_private=True)
            assert (await refused(endpoint, Resolver(["127.0.0.1"]))).kind == "refused"
            assert (await refused(endpoint, Resolver([]))).kind == "network"

        uvloop.run(scenario())


def test_no_files_left() -> None:
    """What this machine lacks is no fault of the upstream: told as our own queue in front of it."""

    async def scenario() -> None:
        async with WireServer(hello) as server:
            endpoint = parse(f"{server.url}/", allow_private=True)
            limits = resource.getrlimit(resource.RLIMIT_NOFILE)
            with socket.socket() as highest:
                resource.setrlimit(resource.RLIMIT_NOFILE, (highest.fileno() + 1, limits[1]))
                try:
                    error = await refused(endpoint, Resolver(["127.0.0.1"]))
                finally:
                    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            assert (error.kind, error.detail) == (
                "overloaded",
                "none left here: Too many open files",
            )
            assert await ask(endpoint, Resolver(["127.0.0.1"])) == b"hello"

    uvloop.run(scenario())


def test_connecting_has_a_time_limit() -> None:
    """A resolver that never answers ends as a timeout."""

    async def never(host: str, port: int) -> list[str]:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    async def scenario() -> None:
        limits = TransportLimits(connect_timeout_s=0.05)
        endpoint = parse("http://name.test/", limits=limits)
        transport = Transport(endpoint, dialer=TcpDialer(endpoint, never))
        with pytest.raises(UpstreamError) as caught:
            await transport.send(POST)
        assert (caught.value.phase, caught.value.kind) == ("connect", "timeout")
        assert transport.lent == 0
        transport.close()

    uvloop.run(scenario())


def test_tls_with_a_trusted_certificate(tmp_path: pathlib.Path) -> None:
    """Verified by the given authority; SNI is the name; requests reuse the connection."""
    context, pem = certificate(tmp_path, "name.test", "127.0.0.1")
    asked: list[str | None] = []

    def note(connection: object, name: str | None, context: object) -> None:
        asked.append(name)

    context.sni_callback = note

    async def scenario() -> None:
        async with WireServer(hello, tls=context) as server:
            url = f"https://name.test:{server.port}/"
            endpoint = parse(url, allow_private=True, ca_file=pem)
            dialer = TcpDialer(endpoint, Resolver(["127.0.0.1"]))
            transport = Transport(endpoint, dialer=dialer)
            for _ in range(3):
                assert await (await transport.send(POST)).read_all(100) == b"hello"
            assert (asked, server.accepted) == (["name.test"], 1)
            transport.close()

    uvloop.run(scenario())


def test_a_name_that_ends_in_a_dot(tmp_path: pathlib.Path) -> None:
    """It is resolved as it stands (no search domains); its certificate has the name without it."""
    context, pem = certificate(tmp_path, "name.test")

    async def scenario() -> None:
        async with WireServer(hello, tls=context) as server:
            url = f"https://name.test.:{server.port}/"
            endpoint = parse(url, allow_private=True, ca_file=pem)
            assert await ask(endpoint, Resolver(["127.0.0.1"])) == b"hello"
            assert server.requests[0].headers["host"] == f"name.test.:{server.port}"

    uvloop.run(scenario())


@pytest.mark.parametrize("trusted", [True, False])
def test_tls_refuses_what_it_cannot_verify(tmp_path: pathlib.Path, trusted: bool) -> None:
    """An unknown authority and another name are refused before a byte of the request is sent."""
    context, pem = certificate(tmp_path, "other.test" if trusted else "name.test")

    async def scenario() -> None:
        async with WireServer(hello, tls=context) as server:
            url = f"https://name.test:{server.port}/"
            endpoint = parse(url, allow_private=True, ca_file=pem if trusted else "")
            error = await refused(endpoint, Resolver(["127.0.0.1"]))
            assert error.kind == "protocol"
            assert error.detail.startswith("certificate:")
            assert server.requests == []

    uvloop.run(scenario())


def test_plain_text_where_tls_is_expected() -> None:
    """A server without TLS behind an https URL is a failure of the protocol."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n")
        await reader.read()
        writer.close()

    async def scenario() -> None:
        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        endpoint = parse(f"https://127.0.0.1:{port}/", allow_private=True)
        assert (await refused(endpoint, Resolver(["127.0.0.1"]))).kind == "protocol"
        server.close()

    uvloop.run(scenario())
