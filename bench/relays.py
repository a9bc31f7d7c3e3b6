"""What is measured: the mock alone, nginx in front of it, and Baton in front of it."""

import contextlib
import dataclasses
import json
import math
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from http import HTTPStatus

from bench.processes import running
from tests import running as servers
from tests.running import session_members

RELAY_CORE, LOAD_CORE = 0, 1
CHUNKS, CHUNK_INTERVAL_US = 100, 20_000
PUBLIC_MODEL, THEIR_MODEL = "bench-model", "up-model"
READY_TIMEOUT_S = 30.0
POLLED_S = 1.2
"""Within a second each worker has read what was configured."""
PROGRAMS = ("mock_upstream", "load_client")
HERE = pathlib.Path(__file__).parent
Prompt = str | tuple[int, ...]
PROMPT = ("def f(x):\n    # " + " ".join(f"lorem{word:03d}" for word in range(99)))[:894]

NGINX = """daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx.error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 100000000;
  client_max_body_size 4m;
  client_body_buffer_size 2m;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream mock {{
    server 127.0.0.1:{mock_port};
    keepalive 1024;
    keepalive_requests 100000000;
  }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://mock;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
"""


class BenchFailed(Exception):
    """The benchmark cannot run; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class Relay:
    """Something that answers completions: where, with which key, whose processor time counts."""

    name: str
    port: int
    session: int
    key: str
    model: str
    headers: tuple[str, ...] = ()
    """Header lines that it needs beside those of every request."""

    def request(self, *, stream: bool, prompt: Prompt = PROMPT) -> bytes:
        """One whole HTTP request; its body is about 1 kB with the usual prompt."""
        body = json.dumps(self._body(stream, prompt)).encode()
        own = "".join(f"{line}\r\n" for line in self.headers)
        head = (
            "POST /v1/completions HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{self.port}\r\n"
            f"Authorization: Bearer {self.key}\r\n"
            "Content-Type: application/json\r\n"
            f"User-Agent: load/1\r\nAccept: */*\r\n{own}"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def _body(self, stream: bool, prompt: Prompt) -> dict[str, object]:
        body: dict[str, object] = {
            "model": self.model,
            "prompt": prompt,
            "max_tokens": CHUNKS,
            "temperature": 0.2,
            "top_p": 0.95,
            "n": 1,
            "stop": ["\n\n", "<|end|>"],
            "stream": stream,
        }
        return body | ({"stream_options": {"include_usage": True}} if stream else {})


def build(folder: pathlib.Path) -> None:
    """Compile the two C programs into `folder`."""
    for program in PROGRAMS:
        source = HERE / f"{program}.c"
        subprocess.run(["cc", "-O2", "-o", folder / program, source], check=True)


def check_tools() -> None:
    """BenchFailed where something that is measured with is missing."""
    missing = [tool for tool in ("nginx", "cc", "taskset") if shutil.which(tool) is None]
    if missing:
        raise BenchFailed(f"missing: {', '.join(missing)}. Run: sh bench/setup.sh")


@contextlib.contextmanager
def mock(folder: pathlib.Path, interval_us: int = CHUNK_INTERVAL_US) -> Iterator[Relay]:
    """The mock upstream itself: the floor."""
    port = servers.free_port()
    words = [folder / "mock_upstream", port, CHUNKS, interval_us]
    with running([str(word) for word in words], LOAD_CORE) as process:
        _wait_listening(port)
        yield Relay("direct", port, process.pid, "sk-none", THEIR_MODEL)


@contextlib.contextmanager
def nginx(folder: pathlib.Path, mock_port: int) -> Iterator[Relay]:
    port = servers.free_port()
    settings = folder / "nginx.conf"
    settings.write_text(
        NGINX.format(folder=folder, mock_port=mock_port, port=port), encoding="utf-8"
    )
    folder.chmod(0o755)  # its worker runs as another user where the master is root
    with running(["nginx", "-p", str(folder), "-c", str(settings)], RELAY_CORE) as process:
        _wait_listening(port)
        yield Relay("nginx", port, process.pid, "sk-none", THEIR_MODEL)


@contextlib.contextmanager
def baton(
    folder: pathlib.Path,
    mock_port: int,
    name: str = "baton",
    settings: dict[str, str] | None = None,
) -> Iterator[Relay]:
    """Baton as it is run for real: key with limits, price, journal, metrics and access log on.

    `folder` gets its data folder, so that two have two.
    """
    own = {"BATON_MODEL": "none", "BATON_ACCESS_LOG": str(folder / "access.log")} | (settings or {})
    with servers.serving(folder / "home", own, ["taskset", "-c", str(RELAY_CORE)]) as server:
        key = _configure(server, f"http://127.0.0.1:{mock_port}/v1")
        port = int(server.base_url.rsplit(":", 1)[1])
        relay = Relay(name, port, server.process.pid, key, PUBLIC_MODEL)
        wait_answering(relay, in_a_row_s=POLLED_S if "BATON_WORKERS" in own else 0.0)
        yield relay


def _configure(server: servers.Server, url: str) -> str:
    """The mock as its upstream, a price, and a key with limits, which is returned."""
    upstream = {
        "name": "mock", "url": url, "dialect": "openai", "models": {PUBLIC_MODEL: THEIR_MODEL},
        "secret": "sk-upstream-0000000000000001",
    }  # fmt: skip
    price = {"model": PUBLIC_MODEL, "input_pico": 500_000, "output_pico": 1_500_000}
    key = {
        "name": "bench", "requests_per_minute": 100_000_000, "budget_nano": 10**15,
        "models": [PUBLIC_MODEL],
    }  # fmt: skip
    value = ""
    for kind, body in (("upstreams", upstream), ("prices", price), ("keys", key)):
        answer = server.admin.post(f"/admin/v1/{kind}", body)
        if answer.status != HTTPStatus.CREATED:
            raise BenchFailed(f"baton refuses {kind}: {answer.text}")
        value = answer.json.get("value", value)
    return str(value)


@contextlib.contextmanager
def beside_nginx(
    settings: dict[str, str] | None = None, interval_us: int = CHUNK_INTERVAL_US
) -> Iterator[tuple[pathlib.Path, list[Relay]]]:
    """A folder with both programs built; the mock, nginx and Baton, in this order, running."""
    check_tools()
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        build(folder)
        direct = stack.enter_context(mock(folder, interval_us))
        limit = stack.enter_context(nginx(folder, direct.port))
        own = stack.enter_context(baton(folder, direct.port, settings=settings))
        yield folder, [direct, limit, own]


def _wait_listening(port: int) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if time.monotonic() > deadline:
            raise BenchFailed(f"nothing listens on port {port} after {READY_TIMEOUT_S:g} s")
        time.sleep(0.02)


def wait_answering(
    relay: Relay, timeout_s: float = READY_TIMEOUT_S, in_a_row_s: float = 0.0
) -> None:
    """Until the relay's answer is 200: what was configured has arrived in the worker.

    With `in_a_row_s` until all answers of so long were: in every worker, since each polls.
    """
    deadline, good_since, start = time.monotonic() + timeout_s, math.inf, b"nothing"
    while time.monotonic() < good_since + in_a_row_s:
        if time.monotonic() > deadline or not session_members(relay.session):
            raise BenchFailed(f"{relay.name} never answered 200: {start[:300]!r}")
        time.sleep(0.05)
        start = _answer(relay)
        good = start.startswith(b"HTTP/1.1 200")
        good_since = min(good_since, time.monotonic()) if good else math.inf


def _answer(relay: Relay) -> bytes:
    """The beginning of one answer, or why there was none."""
    try:
        with socket.create_connection(("127.0.0.1", relay.port), READY_TIMEOUT_S) as connection:
            connection.sendall(relay.request(stream=False))
            return connection.recv(65536)
    except OSError as error:
        return str(error).encode()
