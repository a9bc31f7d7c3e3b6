"""What heads say, without a socket; on the wire: test_connection.py and test_limits of the web."""

import httptools
import pytest

from baton.http.heads import fault, head_bytes, located, without_offer


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
