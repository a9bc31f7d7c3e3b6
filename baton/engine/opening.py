"""How a URL is opened to fetch something: certificates, proxies, and where a secret may go.

Credentials go to the first host and to redirects within it (a hub redirects to where a repository
is now), never to another one (where the bytes lie). A redirect from TLS to none is not followed.
Proxies are those of HTTPS_PROXY, HTTP_PROXY and NO_PROXY.

Whoever is asked has to send: the socket's timeout ends a silence, and `_Paced` what comes so slowly
that it never would, of a head as of a body.
"""

import http.client
import io
import os
import pathlib
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from http.client import HTTPMessage, HTTPResponse, InvalidURL
from typing import IO, Any

SECRET = "Authorization"
SAID_MAX = 400
GRACE_S = 60.0
BYTES_PER_S_MIN = 1024
"""On average, from `GRACE_S` on: a modem of 1995 has three times as much."""


class Misled(OSError):
    """A server leads where nobody goes, or the address was none: asking again leads there again."""


class TooSlow(OSError):
    """It sends, but less than `BYTES_PER_S_MIN`."""


class _Paced(io.RawIOBase):
    """What a socket receives, for as long as it comes fast enough."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw, self._began_s, self._bytes = raw, time.monotonic(), 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if time.monotonic() - self._began_s > GRACE_S + self._bytes / BYTES_PER_S_MIN:
            raise TooSlow(f"the server sends less than {BYTES_PER_S_MIN} bytes a second")
        count = self._raw.readinto(buffer)
        self._bytes += count or 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """An answer, a proxy's to CONNECT, too."""

    def __init__(self, sock: socket.socket, *given: Any, **named: Any) -> None:
        super().__init__(sock, *given, **named)
        self.fp = io.BufferedReader(_Paced(self.fp.detach()))


class _Plain(http.client.HTTPConnection):
    response_class = _Response


class _Secure(http.client.HTTPSConnection):
    response_class = _Response


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Plain, req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(context=context)
        self._tls = context

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Secure, req, context=self._tls)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """`within`: only redirects to the same host are followed; the others are an HTTPError."""

    def __init__(self, within: bool) -> None:
        self._within = within

    def http_error_302(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
    ) -> HTTPResponse | None:
        """As ever; what leads to no address is closed."""
        try:
            following: HTTPResponse | None = super().http_error_302(req, fp, code, msg, headers)
        except ValueError:
            fp.close()
            raise
        return following

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        before, after = _origin(req.full_url), _origin(newurl)
        if self._within and before != after:
            return None
        following = super().redirect_request(req, fp, code, msg, headers, newurl)
        if following is None:
            return None
        fp.close()  # what a redirect says beside its address is not read, however long it is
        if after[0] not in ("https", before[0]):
            raise Misled("the server leads to an address without TLS")
        following.method = req.get_method()
        if before == after and (secret := req.unredirected_hdrs.get(SECRET)) is not None:
            following.add_unredirected_header(SECRET, secret)
        return following


def open_url(
    request: urllib.request.Request,
    secrets: Mapping[str, str],
    timeout_s: float,
    within: bool = False,
) -> HTTPResponse:
    """The answer, which the caller closes. Raises OSError (URLError, HTTPError) and HTTPException.

    `secrets`: headers that go to this host alone."""
    for name, value in secrets.items():
        request.add_unredirected_header(name, value)
    opener = urllib.request.build_opener(_Http(), _Https(_tls()), _Redirects(within))
    try:
        answer: HTTPResponse = opener.open(request, timeout=timeout_s)
    except (ValueError, InvalidURL):  # also of a redirect; what it says may be a signed address
        raise Misled("there is no such address") from None
    return answer


def said(what: object) -> str:
    """What a server said, or what went wrong with what it said, as a terminal may show it."""
    return "".join(filter(str.isprintable, str(what)))[:SAID_MAX]


def _origin(url: str) -> tuple[str, str]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def _tls() -> ssl.SSLContext:
    """The system's certificates and, where pip or requests are told of others, those too."""
    context = ssl.create_default_context()
    for variable in ("PIP_CERT", "REQUESTS_CA_BUNDLE"):
        path = os.environ.get(variable, "")
        if path and pathlib.Path(path).is_file():
            context.load_verify_locations(cafile=path)
    return context
