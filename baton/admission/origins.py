"""Which address a request comes from, and whether a list allows it. Pure.

Behind a proxy the connection's other end is the proxy. What it says in X-Forwarded-For is believed
only of proxies that the operator trusts: the address is the rightmost that is no trusted proxy's,
as everything to the left of it is the caller's own invention.
"""

import ipaddress
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Networks = tuple[Network, ...]
MAPPED_BITS = 96
"""Before the IPv4 address in one of IPv6."""


def networks(texts: Iterable[str]) -> Networks:
    """Addresses and networks (`10.0.0.0/8`). ValueError names the one that is neither."""
    found = []
    for text in texts:
        try:
            found.append(_unmapped(ipaddress.ip_network(text.strip(), strict=False)))
        except ValueError:
            raise ValueError(f"'{text}' is no address and no network") from None
    return tuple(found)


def trusted(setting: str) -> Networks:
    """The networks of BATON_TRUSTED_PROXIES: comma-separated. ValueError as `networks`."""
    return networks(text for text in setting.split(",") if text.strip())


def origin(peer: str, headers: Iterable[tuple[bytes, bytes]], proxies: Networks) -> Address | None:
    """Where a request comes from; None where that cannot be told. Header names in lower case."""
    found = _address(peer)
    if not proxies or found is None or not within(found, proxies):
        return found
    forwarded = [value for name, value in headers if name == b"x-forwarded-for"]
    for text in reversed(b",".join(forwarded).decode("latin-1").split(",")):
        if not text.strip():
            continue
        found = _address(text)
        if found is None or not within(found, proxies):
            return found
    return found


def within(address: Address, allowed: Networks) -> bool:
    """Whether one of the networks has the address."""
    return any(address in network for network in allowed)


def _unmapped(network: Network) -> Network:
    """Of IPv4 where it is mapped (`::ffff:10.0.0.0/104`), as `_address` makes addresses."""
    first = getattr(network.network_address, "ipv4_mapped", None)
    if first is None or network.prefixlen < MAPPED_BITS:
        return network
    return ipaddress.IPv4Network((first, network.prefixlen - MAPPED_BITS))


def _address(text: str) -> Address | None:
    """An address as connections and proxies write it: also `[::1]:80`, `10.0.0.1:80`."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(found, "ipv4_mapped", None)
    return found if mapped is None else mapped
