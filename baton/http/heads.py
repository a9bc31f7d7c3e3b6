"""What the head of a request says, before its body is here. Pure."""

import re
from collections.abc import Iterable
from typing import Protocol
from urllib.parse import unquote

import httptools

from baton.errors import RequestError, body_too_large, encoded_body, invalid, misdirected_request
from baton.http.exchange import HeaderPair
from baton.http.hosts import Hosts
from baton.http.paths import PROBE_PATHS


class Parser(Protocol):
    """What has read a head."""

    def get_method(self) -> bytes: ...

    def get_http_version(self) -> str: ...


VERSIONS = ("1.1", "1.0")
OFFER_HEADERS = (b"upgrade", b"http2-settings")
AUTHORITY = re.compile(rb"[^:/]*://([^/?#]*).*", re.DOTALL)
"""The host in a target that is whole."""


def fault(noted: dict[bytes, bytes], body_bytes_max: int) -> RequestError | None:
    """What is wrong with the head, whatever the body; `noted` by `exchange.note`."""
    coding = noted.get(b"content-encoding")
    if coding is not None and coding.lower() != b"identity":
        return encoded_body(coding[:32].decode("latin-1"))
    length = noted.get(b"content-length")
    if length is not None and int(length) > body_bytes_max:
        return body_too_large(body_bytes_max)
    return None


def misframed(
    version: str, headers: Iterable[HeaderPair], noted: dict[bytes, bytes]
) -> RequestError | None:
    """What a proxy before Baton may read otherwise, so that the two disagree on where a request
    ends or whose it is (RFC 9112, 2.3, 3.2 and 6.1). The parser has refused the rest of it: two
    lengths, a length and chunks, and chunks inside of another coding."""
    if version not in VERSIONS:
        return invalid("The request is not valid HTTP/1.1.")
    coding = noted.get(b"transfer-encoding")
    if coding is not None and (coding.lower() != b"chunked" or version == "1.0"):
        return invalid("The only transfer coding is 'chunked', in HTTP/1.1.")
    hosts = [name for name, _ in headers].count(b"host")
    if hosts > 1 or (not hosts and version == "1.1"):
        return invalid("A request of HTTP/1.1 has one Host header.")
    return None


def misdirected(
    hosts: Hosts | None, target: bytes, headers: Iterable[HeaderPair]
) -> RequestError | None:
    """What asks for Baton by a name that it does not have. Probes may, who know only addresses.

    A target that is whole has a host as well (`POST http://host/v1/completions`): both count."""
    if hosts is None or located(target)[0] in PROBE_PATHS:
        return None
    named = [value for name, value in headers if name == b"host"]
    if not target.startswith(b"/"):
        named.append(AUTHORITY.sub(rb"\1", target))
    for host in [value.decode("latin-1") for value in named] or [""]:
        if not hosts.have(host):
            return misdirected_request(host)
    return None


def without_offer(parser: Parser, url: bytes, headers: Iterable[HeaderPair]) -> bytes:
    """The head of a request that offers another protocol (Java's client does, h2c), as if it did
    not. The parser ends at such a head and would lose the body: a new one reads this."""
    first = b"%b %b HTTP/%b" % (parser.get_method(), url, parser.get_http_version().encode())
    lines = [b"%b: %b" % pair for pair in headers if pair[0] not in OFFER_HEADERS]
    return b"\r\n".join([first, *lines, b"", b""])


def located(target: bytes) -> tuple[str, bytes, bytes]:
    """A request's target as ASGI's scope has it: path, raw path, query. Raises
    httptools.HttpParserInvalidURLError."""
    url = httptools.parse_url(target)
    raw_path = url.path or b"/"
    path = unquote(raw_path.decode("ascii"))
    return path, raw_path, url.query or b""


def path_of(target: bytes) -> str:
    """Of a request's target, as people write it. What is none, or not whole yet, as it stands.

    >>> path_of(b"http://user@host/a%20b?c"), path_of(b"")
    ('/a b', '')
    """
    try:
        return located(target)[0]
    except (httptools.HttpParserInvalidURLError, UnicodeDecodeError):
        return unquote(target.partition(b"?")[0].decode("utf-8", "replace"))


def head_bytes(url: bytes, headers: Iterable[HeaderPair]) -> int:
    """How large it is, exactly."""
    return len(url) + sum([len(name) + len(value) + 4 for name, value in headers])
