"""Where a secret goes when a server leads elsewhere, and what is not followed."""

import contextlib
import pathlib
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler

import pytest

from baton.engine.opening import Misled, TooSlow, open_url
from tests.fakes import file_server
from tests.upstreams import certified

SECRETS = {"Authorization": "Bearer hf_secret"}


def leading(
    monkeypatch: pytest.MonkeyPatch, server: file_server.FileServer, paths: dict[str, str]
) -> None:
    """`server` redirects these paths, with a body that nobody has reason to read."""
    real = server.answer

    def answer(request: BaseHTTPRequestHandler) -> None:
        if request.path not in paths:
            return real(request)
        server.headers.append(request.headers)
        request.send_response(302)
        request.send_header("Location", paths[request.path])
        request.send_header("Content-Length", str(1 << 40))
        request.end_headers()
        request.close_connection = True
        return None

    monkeypatch.setattr(server, "answer", answer)


def got(url: str, within: bool = False) -> bytes:
    with open_url(urllib.request.Request(url), SECRETS, 10, within) as response:
        return response.read()


def test_a_secret_stays_with_its_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the host a redirect has it, elsewhere not, nor on the way back; the body of a redirect
    is not waited for."""
    with file_server.serving({"/c": b"x"}) as hub, file_server.serving({}) as other:
        leading(monkeypatch, hub, {"/a": "/b", "/b": f"{other.url}/b"})
        leading(monkeypatch, other, {"/b": f"{hub.url}/c"})
        assert b"x" == got(f"{hub.url}/a")
        sent = [headers.get("Authorization") for headers in (*hub.headers, *other.headers)]
    assert ["Bearer hf_secret", "Bearer hf_secret", None, None] == sent


def test_elsewhere_is_told_where_nobody_may_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """`within` follows redirects within the host, and tells others with their headers."""
    with file_server.serving({"/c": b"x"}) as hub:
        leading(monkeypatch, hub, {"/a": "/c", "/b": "http://127.0.0.1:9/"})
        assert b"x" == got(f"{hub.url}/a", within=True)
        with pytest.raises(urllib.error.HTTPError) as raised:
            got(f"{hub.url}/b", within=True)
        assert (302, "http://127.0.0.1:9/") == (raised.value.code, raised.value.headers["Location"])
        raised.value.close()


NOWHERE = [
    "ftp://127.0.0.1/x",
    "http://[secret",
    "http://secret..b/",
    "http://127.0.0.1:secret/",
]


@pytest.mark.parametrize("there", NOWHERE)
def test_what_is_no_address_is_not_followed(monkeypatch: pytest.MonkeyPatch, there: str) -> None:
    """Nor another protocol; each is the same kind of error, and what it said is not in it."""
    with file_server.serving({}) as hub:
        leading(monkeypatch, hub, {"/a": there})
        with pytest.raises(Misled, match=r"without TLS|no such address") as raised:
            got(f"{hub.url}/a")
    assert "secret" not in str(raised.value)
    assert 1 == len(hub.headers)


@pytest.mark.parametrize("sent", [b"HTTP/1.1 200 OK\r\nX-Drip: ", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_server_that_drips_is_left(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    """A byte at a time, each well within the silence that is allowed: of a head as of a body."""
    monkeypatch.setattr("baton.engine.opening.GRACE_S", 0.2)
    never = threading.Event()
    with file_server.serving({}) as hub:

        def drip(request: BaseHTTPRequestHandler) -> None:
            request.wfile.write(sent)
            with contextlib.suppress(OSError):
                while not never.wait(0.01):
                    request.wfile.write(b"x")
            request.close_connection = True

        monkeypatch.setattr(hub, "answer", drip)
        with pytest.raises(TooSlow, match="less than 1024 bytes a second"):
            got(f"{hub.url}/a")


def test_what_comes_fast_enough_may_take_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the time of grace, too."""
    monkeypatch.setattr("baton.engine.opening.GRACE_S", 0.05)
    never = threading.Event()
    with file_server.serving({}) as hub:

        def trickle(request: BaseHTTPRequestHandler) -> None:
            request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 40960\r\n\r\n")
            for _ in range(20):
                request.wfile.write(b"x" * 2048)
                never.wait(0.01)

        monkeypatch.setattr(hub, "answer", trickle)
        assert 40_960 == len(got(f"{hub.url}/a"))


def test_tls_is_not_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """From https to http nobody goes, whatever is fetched."""
    context, certificate = certified.certificate(tmp_path, "127.0.0.1")
    monkeypatch.setenv("PIP_CERT", certificate)
    with file_server.serving({"/c": b"x"}) as plain, file_server.serving({}, context) as hub:
        leading(monkeypatch, hub, {"/a": f"{plain.url}/c"})
        with pytest.raises(Misled):
            got(f"{hub.url}/a")
        assert [] == plain.asked
