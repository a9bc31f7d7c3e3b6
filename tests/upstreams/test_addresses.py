"""Which addresses and hosts may be called: a table."""

import ipaddress

import pytest

from baton.upstreams.addresses import checked_host, denial

ALWAYS = [
    "169.254.169.254", "169.254.0.1", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "fd20:ce::254",
    "100.100.100.200", "168.63.129.16", "192.0.0.192", "0.0.0.0", "0.1.2.3", "::", "224.0.0.1",
    "ff02::1", "255.255.255.255", "240.0.0.1", "::ffff:169.254.169.254", "::ffff:0.0.0.0",
    "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "::169.254.169.254",
    "2001:0:a9fe:a9fe::", "fd00:c1::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe", "::ffff:0:169.254.169.254",
    "2606:4700::5efe:a9fe:a9fe", "2606:4700::200:5efe:a9fe:a9fe",
]  # fmt: skip
PRIVATE = [
    "127.0.0.1", "127.8.8.8", "::1", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "100.64.0.1", "198.18.0.1", "fc00::1", "fd12::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
    "64:ff9b::7f00:1", "2002:7f00:1::", "192.0.2.1", "2001:db8::1", "fec0::1",
    "64:ff9b:1::7f00:1", "::ffff:0:10.0.0.1", "2606:4700::5efe:7f00:1",
]  # fmt: skip
PUBLIC = [
    "8.8.8.8", "1.1.1.1", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808",
]  # fmt: skip


@pytest.mark.parametrize("allow_private", [True, False])
@pytest.mark.parametrize("address", ALWAYS)
def test_metadata_and_its_like_are_always_denied(address: str, allow_private: bool) -> None:
    """Link-local, metadata, unspecified, multicast: denied in every notation."""
    assert denial(address, allow_private=allow_private) is not None


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_need_leave(address: str) -> None:
    """Loopback and private ranges, also inside IPv6 notations, only by allow_private."""
    assert denial(address, allow_private=False) in {"loopback", "private"}
    assert denial(address, allow_private=True) is None


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    """The rest of the Internet may be called."""
    assert denial(address, allow_private=False) is None


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("api.example.com", "api.example.com"),
        ("API.Example.Com.", "api.example.com."),
        ("gpu_1", "gpu_1"),
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("::FFFF:7f00:1", str(ipaddress.ip_address("::ffff:127.0.0.1"))),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ],
)
def test_canonical_hosts_pass(host: str, expected: str) -> None:
    """Names and canonical addresses, in lower case."""
    assert checked_host(host) == expected


@pytest.mark.parametrize(
    "host",
    [
        "2130706433", "0x7f000001", "017700000001", "0177.0.0.1", "127.1", "127.0.1", "0x7f.0.0.1",
        "127.0.0.0x1", "1.2.3.4.5", "256.1.1.1", "127.0.0.1.", "example.0x10", "example.123",
        "", ".", "a..b", "-a.com", "a-.com", "a b", "bücher.example", "a" * 64, "a/b", "a@b",
        "fe80::1%eth0", ":::", "1:2", "a." * 130 + "com",
    ],
)  # fmt: skip
def test_other_notations_are_refused(host: str) -> None:
    """Decimal, octal, hexadecimal and short forms, and what is no host name at all."""
    with pytest.raises(ValueError, match=r"."):
        checked_host(host)
