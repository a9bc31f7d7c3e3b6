"""How a connection to an upstream comes about: resolve, judge every address, connect to one, TLS.

The address that is connected to is the one that was judged; the name is only used for SNI and for
the certificate. Where one address of several is denied the whole name is: a name that mixes public
and private addresses is either a mistake or an attack. Other ways to a server (a proxy, a Unix
socket) are other dialers: the transport knows only `dial`.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from baton.upstreams.addresses import denial
from baton.upstreams.base import UpstreamError
from baton.upstreams.endpoint import Endpoint
from baton.upstreams.failures import OURS, connect_failure, failure

ConnectionT = TypeVar("ConnectionT", bound=asyncio.BaseProtocol)
Reached = TypeVar("Reached")
Resolver = Callable[[str, int], Awaitable[list[str]]]


class Dialer(Protocol):
    """Makes connections to one upstream. Raises UpstreamError(phase="connect")."""

    async def dial(self, make: Callable[[], ConnectionT]) -> ConnectionT: ...


async def resolve(host: str, port: int) -> list[str]:
    """Every address of a name, in the system's order of preference."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def tls_context(endpoint: Endpoint) -> ssl.SSLContext:
    """Verification on, TLS 1.2 or newer, HTTP/1.1 alone."""
    context = ssl.create_default_context(cafile=endpoint.ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


class TcpDialer:
    """Plain TCP or TLS straight to the upstream."""

    def __init__(self, endpoint: Endpoint, resolver: Resolver = resolve) -> None:
        self._endpoint = endpoint
        self._resolver = resolver
        self._context = tls_context(endpoint) if endpoint.secure else None
        self.addresses: list[str] = []
        """Judged and allowed, the one that answered last first."""
        self._silent: set[str] = set()
        """Those that did not answer when they were called last."""
        self._resolved_at = 0.0
        self._asking = asyncio.Lock()
        """One question at a time: a resolver has few threads for all upstreams."""

    async def dial(self, make: Callable[[], ConnectionT]) -> ConnectionT:
        try:
            async with asyncio.timeout(self._endpoint.limits.connect_timeout_s):
                return await self.reach(lambda address: self._connect(address, make))
        except (UpstreamError, OSError, UnicodeError) as error:
            raise connect_failure(error) from None

    async def judged_addresses(self) -> list[str]:
        """The addresses of the name, all of them allowed; kept for a while."""
        if self._lasting():
            return self.addresses
        async with self._asking:
            return self.addresses if self._lasting() else await self._judged_anew()

    def _lasting(self) -> bool:
        """Whether there are addresses that need not be asked for."""
        age_s = asyncio.get_running_loop().time() - self._resolved_at
        return bool(self.addresses) and age_s < self._endpoint.limits.resolved_s

    async def _judged_anew(self) -> list[str]:
        endpoint, now = self._endpoint, asyncio.get_running_loop().time()
        addresses = await self._resolver(endpoint.host, endpoint.port)
        for address in addresses:
            reason = denial(address, allow_private=endpoint.allow_private)
            if reason is not None:
                raise failure("connect", "refused", f"address {address} is denied: {reason}")
        if not addresses:
            raise failure("connect", "network", "the host name has no address")
        self._silent.intersection_update(addresses)
        addresses = sorted(addresses, key=self._silent.__contains__)
        self.addresses, self._resolved_at = addresses, now
        return addresses

    async def reach(self, connect: Callable[[str], Awaitable[Reached]]) -> Reached:
        """What `connect` makes of the first address that answers; it leads the list from then on.
        Raises UpstreamError where none may be called, else what the last one raised, or the last
        one to raise more than what is our own fault."""
        addresses = await self.judged_addresses()
        try:
            return await self._first(addresses, connect)
        except BaseException:  # also by a time limit around it
            if self.addresses is addresses:
                self.addresses = []  # nobody is there any more: the name may lead elsewhere by now
            raise

    async def _first(
        self, addresses: list[str], connect: Callable[[str], Awaitable[Reached]]
    ) -> Reached:
        last: OSError | None = None
        share_s = self._endpoint.limits.connect_timeout_s / len(addresses)
        for address in addresses:
            try:
                async with asyncio.timeout(share_s):
                    reached = await connect(address)
            except OSError as error:
                if last is None or error.errno not in OURS:
                    last = error
                self._silent.add(address)
            else:
                self._silent.discard(address)
                if addresses[0] != address and self.addresses is addresses:
                    self.addresses = [address, *(other for other in addresses if other != address)]
                return reached
        assert last is not None
        raise last

    async def _connect(self, address: str, make: Callable[[], ConnectionT]) -> ConnectionT:
        endpoint, loop = self._endpoint, asyncio.get_running_loop()
        if self._context is None:
            _, connection = await loop.create_connection(make, address, endpoint.port)
        else:
            _, connection = await loop.create_connection(
                make,
                address,
                endpoint.port,
                ssl=self._context,
                server_hostname=endpoint.certified,
                ssl_handshake_timeout=endpoint.limits.connect_timeout_s,
            )
        return connection
