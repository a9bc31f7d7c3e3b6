"""Which network addresses an upstream may have: the rule that keeps operator-given URLs from
reaching what only this machine can reach (SSRF).

Two questions, both pure. `checked_host`: is the host written in the one canonical way (a name, a
dotted quad, an IPv6 address)? Decimal, octal and hexadecimal forms are refused, since resolvers
turn them into addresses that nobody reviewing the URL sees. `denial`: may this resolved address be
called? It is asked for every address of every resolution, and the connection goes to exactly the
address that was judged, so a name that changes its mind between check and use gains nothing.

Source of the ranges: the IANA special-purpose registries; the cloud providers' metadata addresses.
"""

import ipaddress
import re

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

ALWAYS_DENIED: tuple[tuple[Network, str], ...] = (
    (ipaddress.ip_network("169.254.0.0/16"), "link-local (cloud metadata)"),
    (ipaddress.ip_network("fe80::/10"), "link-local"),
    (ipaddress.ip_network("fd00:ec2::/32"), "cloud metadata"),
    (ipaddress.ip_network("fd20:ce::/32"), "cloud metadata"),
    (ipaddress.ip_network("fd00:c1::/32"), "cloud metadata"),
    (ipaddress.ip_network("100.100.100.200/32"), "cloud metadata"),
    (ipaddress.ip_network("168.63.129.16/32"), "cloud metadata"),
    (ipaddress.ip_network("192.0.0.192/32"), "cloud metadata"),
    (ipaddress.ip_network("0.0.0.0/8"), "unspecified"),
    (ipaddress.ip_network("::/128"), "unspecified"),
    (ipaddress.ip_network("224.0.0.0/4"), "multicast"),
    (ipaddress.ip_network("ff00::/8"), "multicast"),
    (ipaddress.ip_network("240.0.0.0/4"), "reserved"),
)

SITE_LOCAL = ipaddress.ip_network("fec0::/10")
"""Private once; Python takes it for global."""
EMBEDDING = tuple(
    ipaddress.ip_network(text)
    for text in ("64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0:0/96", "::/96")
)
"""Translated (NAT64, its local prefix, SIIT) and compatible addresses: IPv4 in the last 32 bits."""
ISATAP = (0x00005EFE, 0x02005EFE)
"""What the interface part begins with where the rest of it is an IPv4 address (RFC 5214)."""
HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?")
NUMERIC_LABEL = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
HOST_LENGTH_MAX = 253


def checked_host(host: str) -> str:
    """The host as it may be resolved; ValueError says what is wrong with it."""
    if ":" in host:
        if "%" in host:
            raise ValueError(f"the address '{host}' names a network interface")
        return str(ipaddress.IPv6Address(host))
    if len(host) > HOST_LENGTH_MAX or not HOST_NAME.fullmatch(host):
        raise ValueError(f"'{host}' is not a host name")
    last_label = host.rstrip(".").rpartition(".")[2]
    if NUMERIC_LABEL.fullmatch(last_label):
        return str(ipaddress.IPv4Address(host))
    return host.lower()


def denial(text: str, *, allow_private: bool) -> str | None:
    """Why this resolved address must not be called; None when it may be."""
    address: Address = ipaddress.ip_address(text.partition("%")[0])
    for inner in (address, *_embedded(address)):
        for network, reason in ALWAYS_DENIED:
            if inner.version == network.version and inner in network:
                return reason
    if allow_private:
        return None
    for inner in (address, *_embedded(address)):
        # A mapped address is judged by what it maps to: ::ffff:8.8.8.8 itself is never global.
        private = not inner.is_global or inner in SITE_LOCAL
        if private and not (inner is address and _embedded(address)):
            return "loopback" if inner.is_loopback else "private"
    return None


def _embedded(address: Address) -> tuple[ipaddress.IPv4Address, ...]:
    """The IPv4 addresses that packets to this IPv6 address may end at."""
    if isinstance(address, ipaddress.IPv4Address):
        return ()
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address.teredo is not None:
        return address.teredo
    number = int(address)
    inside = number > 1 and any(address in network for network in EMBEDDING)
    if inside or (number >> 32) & 0xFFFFFFFF in ISATAP:
        return (ipaddress.IPv4Address(number & 0xFFFFFFFF),)
    return ()
