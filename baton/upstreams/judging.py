"""Whether an upstream may be configured at all: judged when its URL is given, and again at each
connection.

The judgement at creation tells an operator early what would never be called. The one that protects
is the dialer's, which sees the very address that it connects to: a name may change its mind.
"""

import asyncio
import ipaddress

from baton.upstreams.addresses import denial
from baton.upstreams.dialer import Resolver, resolve
from baton.upstreams.endpoint import Endpoint

RESOLVE_TIMEOUT_S = 2.0
METADATA_NAMES = frozenset(
    {
        "instance-data",
        "instance-data.ec2.internal",
        "metadata",
        "metadata.goog",
        "metadata.google.internal",
    }
)
"""Names of clouds' own metadata services, wherever they lead from here."""


async def judge(endpoint: Endpoint, resolver: Resolver = resolve) -> None:
    """ValueError says why this place must not be called. What does not resolve now is left to the
    dialer: an operator may configure a server before it is there."""
    host = endpoint.host.rstrip(".")
    if host in METADATA_NAMES:
        raise ValueError(f"the host {host} is denied: cloud metadata")
    for address in await _addresses(endpoint, resolver):
        reason = denial(address, allow_private=endpoint.allow_private)
        if reason is not None:
            raise ValueError(f"the address {address} is denied: {reason}")


async def _addresses(endpoint: Endpoint, resolver: Resolver) -> list[str]:
    try:
        return [str(ipaddress.ip_address(endpoint.host))]
    except ValueError:
        pass
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT_S):
            return await resolver(endpoint.host, endpoint.port)
    except (OSError, UnicodeError):  # TimeoutError is one of the first
        return []
