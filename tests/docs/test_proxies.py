"""The proxies of the guide, started as they are written there, in front of a real server."""

import contextlib
import http.client
import json
import pathlib
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.docs.conftest import Stage
from tests.docs.pages import marked
from tests.docs.test_configurations import CERTIFICATES, PROGRAMS, haproxy, nginx
from tests.running import free_port

TIMEOUT_S = 20.0
TOKENS = 24


@contextlib.contextmanager
def running(
    language: str, stage: Stage, certificates: pathlib.Path, folder: pathlib.Path
) -> Iterator[int]:
    """The proxy of the page with this run's ports; its own port."""
    [block] = [each for each in marked("proxies", "check") if each.language == language]
    port = free_port()
    own = stage.server.base_url.removeprefix("http://")
    code = block.code.replace("8443", str(port)).replace("127.0.0.1:8080", own)
    code = code.replace(CERTIFICATES, str(certificates))
    program = shutil.which(PROGRAMS[language]) or shutil.which(f"/usr/sbin/{PROGRAMS[language]}")
    assert program is not None
    if language == "nginx":
        words = [*nginx(code, folder)[1:], "-g", "daemon off; master_process off;"]
    else:
        words = ["-db", *haproxy(code, folder)[1:]]
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen([program, *words], stdout=said, stderr=said)
    try:
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None, (folder / "said").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait(TIMEOUT_S)


def connected(port: int) -> http.client.HTTPSConnection:
    """To the proxy; its certificate is the test's own."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=TIMEOUT_S, context=context)


def arrivals(port: int, key: str, model: str) -> tuple[int, bytes]:
    """In how many reads of the socket a stream arrives (TLS records: http.client would take them
    apart into HTTP's own chunks), and all of it."""
    body = json.dumps({"model": model, "prompt": "One", "max_tokens": TOKENS, "stream": True})
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    head += f"Authorization: Bearer {key}\r\nConnection: close\r\n\r\n"
    with contextlib.closing(connected(port)) as connection:
        connection.connect()
        connection.sock.sendall(f"{head}{body}".encode())
        pieces = list(iter(lambda: connection.sock.recv(65536), b""))
    whole = b"".join(pieces)
    assert whole.startswith(b"HTTP/1.1 200 "), whole
    return sum(b"data: " in piece for piece in pieces), whole


@pytest.mark.parametrize("language", ["nginx", "haproxy"])
def test_streams_pass_piece_by_piece(
    stage: Stage, certificates: pathlib.Path, tmp_path: pathlib.Path, language: str
) -> None:
    """Nothing on the way collects them; the administration stays behind, however it is written."""
    with running(language, stage, certificates, tmp_path) as port:
        pieces, whole = arrivals(port, stage.server.key, stage.server.model)
        refused = []
        for path in ("/metrics", "/admin/v1/keys", "/%6Detrics", "/%61dmin/v1/keys"):
            with contextlib.closing(connected(port)) as connection:
                connection.request("GET", path)
                refused.append(connection.getresponse().status)
    assert b"data: [DONE]" in whole
    assert pieces > TOKENS / 2, f"{whole.count(b'data: ')} events in {pieces} pieces"
    assert [403] * 4 == refused


def under_way(stage: Stage, wanted: int) -> None:
    """Return once so many completions are under way; fail when they are not in time."""
    deadline, line = time.monotonic() + TIMEOUT_S, f"baton_requests_in_flight {wanted:.1f}"
    while line not in stage.server.admin.ask("GET", "/metrics").text.splitlines():
        assert time.monotonic() < deadline, f"not {wanted} under way"


@pytest.mark.parametrize("language", ["nginx", "haproxy"])
def test_a_caller_that_leaves_is_seen(
    stage: Stage, certificates: pathlib.Path, tmp_path: pathlib.Path, language: str
) -> None:
    """Its answer ends with it, and what nobody waits for is not charged; also without a stream."""
    endless = {"model": stage.server.model, "prompt": "One", "max_tokens": 2000, "n": 16}
    with running(language, stage, certificates, tmp_path) as port:
        connection, headers = connected(port), {"Authorization": f"Bearer {stage.server.key}"}
        with contextlib.closing(connection):
            connection.request("POST", "/v1/completions", json.dumps(endless), headers)
            under_way(stage, 1)
        under_way(stage, 0)


def test_caddy_does_not_carry_on_alone() -> None:
    """Where flush_interval is -1 it finishes requests whose callers have left (its own words)."""
    [block] = [each for each in marked("proxies", "shown") if each.language == "caddy"]
    assert "reverse_proxy" in block.code
    assert "flush_interval" not in block.code
