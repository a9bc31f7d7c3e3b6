"""What heads say, without a socket; on the wire: test_connection.py and test_limits of the web."""

import httptools
import pytest

from baton.http.exchange import note
from baton.http.heads import (
    fault,
    head_bytes,
    located,
    misdirected,
    misframed,
    without_offer,
)
from baton.http.hosts import Hosts


@pytest.mark.parametrize(
    ("noted", "status"),
    [
        ({}, None),
        ({b"content-length": b"10"}, None),
        ({b"content-length": b"11"}, 413),
        ({b"content-encoding": b"Identity"}, None),
        ({b"content-encoding": b"gzip"}, 415),
    ],
)
def test_faults(noted: dict[bytes, bytes], status: int | None) -> None:
    """Too long, or in a coding that is not read."""
    error = fault(noted, 10)
    assert status == (None if error is None else error.status)


@pytest.mark.parametrize(
    ("version", "names", "coding", "wrong"),
    [
        ("1.1", [b"host"], b"", False),
        ("1.1", [b"host"], b"CHUNKED", False),
        ("1.0", [], b"", False),
        ("1.0", [b"host"], b"chunked", True),
        ("1.1", [b"host"], b"gzip, chunked", True),
        ("1.1", [b"host", b"host"], b"", True),
        ("1.0", [b"host", b"host"], b"", True),
        ("1.1", [], b"", True),
        ("2.0", [b"host"], b"", True),
        ("0.9", [b"host"], b"", True),
    ],
)
def test_misframed(version: str, names: list[bytes], coding: bytes, wrong: bool) -> None:
    """One Host, one coding, two versions."""
    headers = [(name, b"x") for name in names]
    headers += [(b"transfer-encoding", coding)] if coding else []
    assert wrong == (misframed(version, headers, note(headers)) is not None)


@pytest.mark.parametrize(
    ("target", "hosts", "wrong"),
    [
        (b"/v1/completions", [b"a.test:80"], None),
        (b"/v1/completions", [b"b.test"], "b.test"),
        (b"/v1/completions", [], ""),
        (b"/", [b"a.test@b.test"], "a.test@b.test"),
        (b"http://a.test/v1/completions", [b"a.test"], None),
        (b"http://b.test/v1/completions", [b"a.test"], "b.test"),
        (b"http://a.test:1?x=//b.test", [b"b.test"], "b.test"),
        (b"HTTP://B.test/#a.test", [b"a.test"], "B.test"),
        (b"/healthz", [b"10.0.0.7:8080"], None),
        (b"/health", [], None),
        (b"/readyz?a", [b"b.test"], None),
        (b"/healthz/..", [b"b.test"], "b.test"),
        (b"/x?/healthz", [b"b.test"], "b.test"),
    ],
)
def test_misdirected(target: bytes, hosts: list[bytes], wrong: str | None) -> None:
    """The Host, and the host of a target that is whole; not of probes, and not without a list."""
    headers = [(b"x-forwarded-host", b"a.test"), *((b"host", host) for host in hosts)]
    assert misdirected(None, target, headers) is None
    error = misdirected(Hosts(["a.test"]), target, headers)
    if wrong is None:
        assert error is None
    else:
        assert error is not None
        assert (421, True) == (error.status, f"'{wrong}'" in error.message)


def test_an_offer_is_left_out() -> None:
    """All else stays as it came."""

    class Heard:
        def on_url(self, url: bytes) -> None: ...

    headers = [(b"host", b"a"), (b"upgrade", b"h2c"), (b"http2-settings", b"x"), (b"a", b"b")]
    parser = httptools.HttpRequestParser(Heard())
    parser.feed_data(b"POST /x HTTP/1.1\r\nhost: a\r\n\r\n")
    expected = b"POST /x HTTP/1.1\r\nhost: a\r\na: b\r\n\r\n"
    assert expected == without_offer(parser, b"/x", headers)


def test_every_byte_of_a_head_counts() -> None:
    """With the colon, the space and the line end of each field."""
    assert len(b"/x") + len(b"host: a\r\n") == head_bytes(b"/x", [(b"host", b"a")])


def test_a_target_is_located() -> None:
    """Path with and without its percent signs, and the query apart."""
    assert ("/m/a/b", b"/m/a%2Fb", b"x=1") == located(b"/m/a%2Fb?x=1")
