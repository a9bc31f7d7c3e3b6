"""The transport over TLS: what comes before the end of a socket, and an end that does not come."""

import asyncio
import contextlib
import pathlib
import socket
import ssl

import pytest
import uvloop

from baton.upstreams.dialer import TcpDialer
from baton.upstreams.endpoint import TransportLimits, parse
from baton.upstreams.transport import Transport
from tests.fakes.wire import whole
from tests.upstreams.certified import certificate
from tests.upstreams.reaching import POST
from tests.upstreams.resolving import Resolver


class Hasty:
    """A TLS server that gives one answer and ends the socket in the same moment, as most do."""

    def __init__(self, tls: ssl.SSLContext, answer: bytes, *, notifies: bool) -> None:
        self._tls, self._answer, self._notifies = tls, answer, notifies
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def serve(self) -> socket.socket:
        """One request; returns when the end is on its way."""
        accepted, _ = self._listener.accept()
        secure = self._tls.wrap_socket(accepted, server_side=True)
        while (data := secure.recv(65536)) and not data.endswith(POST.body):
            pass
        secure.sendall(self._answer)
        if self._notifies:
            secure.setblocking(False)
            with contextlib.suppress(ssl.SSLWantReadError):
                secure.unwrap()
        plain = socket.socket(fileno=secure.detach())
        with contextlib.suppress(OSError):  # whoever has read all of it may be gone by now
            plain.shutdown(socket.SHUT_WR)
        return plain

    def close(self) -> None:
        self._listener.close()


@pytest.mark.parametrize("notifies", [True, False])
@pytest.mark.parametrize("lags", [True, False])
@pytest.mark.parametrize("length", [10_000, 100_000, 1_000_000])
def test_a_whole_answer_before_the_end_of_tls(
    tmp_path: pathlib.Path, length: int, lags: bool, notifies: bool
) -> None:
    """It is read to its last byte, though the socket ended behind it at once, with or without
    close_notify, and also by a reader who comes when all of that is over."""
    context, pem = certificate(tmp_path, "name.test")
    hasty = Hasty(context, whole(b"x" * length, "Connection: close"), notifies=notifies)

    async def scenario() -> int:
        url = f"https://name.test:{hasty.port}/"
        endpoint = parse(url, allow_private=True, ca_file=pem)
        transport = Transport(endpoint, dialer=TcpDialer(endpoint, Resolver(["127.0.0.1"])))
        serving = asyncio.get_running_loop().create_task(asyncio.to_thread(hasty.serve))
        response = await transport.send(POST)
        if lags and length < 1_000_000:  # more than sockets hold is not sent before it is read
            await asyncio.wait([serving])
        body = await response.read_all(length)
        (await serving).close()
        transport.close()
        return len(body)

    try:
        assert length == uvloop.run(scenario())
    finally:
        hasty.close()


def test_an_answer_s_connection_that_its_server_leaves_open(tmp_path: pathlib.Path) -> None:
    """After `Connection: close` nobody waits for a TLS server that neither closes nor answers: its
    place is free for the next request."""
    context, pem = certificate(tmp_path, "name.test")
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(3)
    held: list[socket.socket] = []

    def serve() -> None:
        accepted, _ = listener.accept()
        accepted.setblocking(True)
        secure = context.wrap_socket(accepted, server_side=True)
        held.append(secure)
        while (data := secure.recv(65536)) and not data.endswith(POST.body):
            pass
        secure.sendall(whole(b"hello", "Connection: close"))

    async def scenario() -> None:
        limits = TransportLimits(connections_max=1, wait_timeout_s=1.0)
        url = f"https://name.test:{listener.getsockname()[1]}/"
        endpoint = parse(url, allow_private=True, ca_file=pem, limits=limits)
        transport = Transport(endpoint, dialer=TcpDialer(endpoint, Resolver(["127.0.0.1"])))
        try:
            for _ in range(2):
                serving = asyncio.get_running_loop().create_task(asyncio.to_thread(serve))
                assert await (await transport.send(POST)).read_all(100) == b"hello"
                await serving
        finally:
            transport.close()

    try:
        uvloop.run(scenario())
    finally:
        for each in (listener, *held):
            each.close()
