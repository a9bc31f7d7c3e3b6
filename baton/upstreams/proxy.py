"""A way to an upstream through an HTTP proxy: CONNECT, then TLS (if any) with the upstream itself.

The proxy sees host and port, nothing of the request to an https:// upstream. It resolves the
upstream's name, so it, not Baton, judges where that leads; Baton judges the proxy's address and an
upstream that is given as an address. A proxy that wants a password is not served: proxy URLs with
credentials are refused, since URLs are logged.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable

from baton.upstreams.addresses import denial
from baton.upstreams.base import UpstreamError
from baton.upstreams.dialer import ConnectionT, Resolver, TcpDialer, resolve, tls_context
from baton.upstreams.endpoint import Endpoint, parse
from baton.upstreams.failures import connect_failure, failure

HEAD_BYTES_MAX = 8 * 1024


def parse_proxy(url: str) -> Endpoint:
    """Where a proxy is. ValueError where it is no http:// address of one."""
    found = parse(url, allow_private=True)
    if found.secure or found.prefix or found.query:
        raise ValueError("a proxy is given as http://host:port")
    return found


class ProxyDialer:
    """Connections to `endpoint` through `proxy`. Its own judged addresses are TcpDialer's."""

    def __init__(self, endpoint: Endpoint, proxy: Endpoint, resolver: Resolver = resolve) -> None:
        self._endpoint, self._proxy = endpoint, proxy
        self._to_proxy = TcpDialer(proxy, resolver)
        self._context = tls_context(endpoint) if endpoint.secure else None

    async def dial(self, make: Callable[[], ConnectionT]) -> ConnectionT:
        try:
            async with asyncio.timeout(self._endpoint.limits.connect_timeout_s):
                return await self._dial(make)
        except (UpstreamError, OSError, UnicodeError) as error:
            raise connect_failure(error) from None

    async def _dial(self, make: Callable[[], ConnectionT]) -> ConnectionT:
        endpoint, loop = self._endpoint, asyncio.get_running_loop()
        self._judge()
        tunnel = await self._to_proxy.reach(self._connect)
        try:
            await self._ask(tunnel)
            if self._context is None:
                _, connection = await loop.create_connection(make, sock=tunnel)
            else:
                _, connection = await loop.create_connection(
                    make, sock=tunnel, ssl=self._context, server_hostname=endpoint.certified
                )
        except BaseException:
            tunnel.close()
            raise
        return connection

    async def _connect(self, address: str) -> socket.socket:
        """To the proxy itself."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        tunnel = socket.socket(family, socket.SOCK_STREAM)
        try:
            tunnel.setblocking(False)
            await asyncio.get_running_loop().sock_connect(tunnel, (address, self._proxy.port))
        except BaseException:
            tunnel.close()
            raise
        return tunnel

    def _judge(self) -> None:
        """An upstream that is given as an address is judged here; a name by the proxy."""
        host = self._endpoint.host
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return
        reason = denial(host, allow_private=self._endpoint.allow_private)
        if reason is not None:
            raise failure("connect", "refused", f"address {host} is denied: {reason}")

    async def _ask(self, tunnel: socket.socket) -> None:
        """CONNECT; returns once the proxy has said yes, and not a byte more was read."""
        loop, endpoint = asyncio.get_running_loop(), self._endpoint
        host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
        place = f"{host}:{endpoint.port}"
        await loop.sock_sendall(
            tunnel, f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            # One byte at a time: what comes after the head belongs to the upstream.
            byte = await loop.sock_recv(tunnel, 1)
            head += byte
            if not byte or len(head) > HEAD_BYTES_MAX:
                raise failure("connect", "protocol", "the proxy did not answer CONNECT")
        words = head.partition(b"\r\n")[0].split(b" ", 2)
        if not words[0].startswith(b"HTTP/1.") or len(words) < 2 or words[1] != b"200":
            status = words[1].decode("latin-1")[:3] if len(words) > 1 else ""
            raise failure("connect", "refused", f"the proxy refused the tunnel: {status}")
