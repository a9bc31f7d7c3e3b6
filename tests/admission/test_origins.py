"""Origins: the address that a request comes from, whatever it says of itself."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton.admission.origins import networks, origin, trusted, within

PROXIES = trusted("10.0.0.1, 192.168.0.0/16,2001:db8::/32")


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),  # not from a proxy: invented
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1", "198.51.100.1, 192.168.3.4"], "198.51.100.1"),
        ("10.0.0.1", ["192.168.1.1, 192.168.3.4"], "192.168.1.1"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ['"[2001:db9::7]:80"'], "2001:db9::7"),
        ("2001:db8::1", ["2001:db9::7"], "2001:db9::7"),
        ("::ffff:10.0.0.1", ["198.51.100.1, "], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1, unknown"], None),
        ("", ["198.51.100.1"], None),
    ],
)
def test_the_rightmost_that_nobody_vouches_for(
    peer: str, forwarded: list[str], expected: str | None
) -> None:
    """Only trusted proxies are believed, and only as far as they themselves saw."""
    headers = [(b"x-forwarded-for", text.encode()) for text in forwarded]
    found = origin(peer, [(b"host", b"x"), *headers], PROXIES)
    assert expected == (None if found is None else str(found))


@given(st.lists(st.binary(max_size=40), max_size=3))
def test_any_header_is_survived(values: list[bytes]) -> None:
    """Whatever comes, the answer is an address or none; without proxies it is the peer."""
    headers = [(b"x-forwarded-for", value) for value in values]
    origin("10.0.0.1", headers, PROXIES)
    assert ipaddress.ip_address("10.0.0.1") == origin("10.0.0.1", headers, ())


def test_lists() -> None:
    """Addresses and networks of both families; IPv4 written as IPv6 is IPv4, as it is in an address
    that a connection has; what is neither is named."""
    allowed = networks(["10.1.2.3/8", "::1"])
    assert [True, True, False] == [
        within(ipaddress.ip_address(text), allowed) for text in ("10.200.0.1", "::1", "11.0.0.1")
    ]
    mapped = networks(["::ffff:10.0.0.0/104", "::ffff:192.0.2.1", "::/0"])
    assert [True, True, False, True] == [
        within(ipaddress.ip_address(text), mapped)
        for text in ("10.9.8.7", "192.0.2.1", "192.0.2.2", "2001:db8::1")
    ]
    assert () == trusted("") == trusted(" , ")
    with pytest.raises(ValueError, match=r"'10\.0\.0\.0/33' is no address"):
        trusted("10.0.0.1,10.0.0.0/33")
