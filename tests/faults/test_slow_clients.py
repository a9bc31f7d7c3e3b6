"""Callers that ask for streams and do not read them: memory stays bounded, upstreams wait."""

import asyncio
import contextlib
import json
import pathlib
import re
import socket
import threading
import time
from typing import Self

import pytest

from tests import running
from tests.fakes.wire import Exchange, WireServer, chunk, chunked_head, whole
from tests.faults.conftest import FAKE_MODEL, add_upstream

ATTEMPTS_MAX = 3
STREAM_BYTES_MAX = 64 * 1024
"""What one stalled stream may cost: 64 MiB for a thousand."""
TOKENS = 1_000_000
"""More than all buffers between upstream and caller hold."""
EVENT = {
    "id": "cmpl-0123456789abcdef0123456789abcdef",
    "object": "text_completion",
    "created": 1_700_000_000,
    "model": "theirs",
    "choices": [{"index": 0, "text": " word", "logprobs": None, "finish_reason": None}],
}
"""One token, as servers send it."""
WHOLE = {
    "object": "text_completion",
    "choices": [{"index": 0, "text": "x", "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
STEADY_S = 1.5
DEADLINE_S = 120.0
POLL_S = 0.1


class Fountain:
    """An upstream whose streams never end, on a loop of its own; `held` of them may not go on."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._server = WireServer(self._answer)

    async def _answer(self, exchange: Exchange) -> None:
        if not json.loads(exchange.request.body).get("stream"):
            await exchange.send(whole(json.dumps(WHOLE).encode(), "Content-Type: application/json"))
            return
        await exchange.send(chunked_head("Content-Type: text/event-stream"))
        event = chunk(b"data: %b\n\n" % json.dumps(EVENT).encode())
        while True:
            await exchange.send(event)

    @property
    def held(self) -> int:
        return sum(not session.writable.is_set() for session in list(self._server.sessions))

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._server.start(), self._loop).result(5)
        for listener in self._server.listening:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
        self.url = self._server.url
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._server.stop(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


def memory_bytes(server: running.Server) -> int:
    """Of the one worker, resident."""
    [pid] = [pid for pid, words in server.processes().items() if "baton.worker" in words]
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


def stalled(server: running.Server) -> socket.socket:
    """A caller with a small window that has asked and reads nothing."""
    port = int(server.base_url.rsplit(":", 1)[1])
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    fields = {"model": FAKE_MODEL, "prompt": "a b", "max_tokens": TOKENS, "stream": True}
    body = json.dumps(fields)
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    client.sendall(f"{head}Authorization: Bearer {server.key}\r\n\r\n{body}".encode())
    return client


def steady_bytes(server: running.Server) -> int:
    """The most that it takes, once it has not taken more for a while."""
    most, since = 0, time.monotonic()
    deadline = since + DEADLINE_S
    while time.monotonic() < min(since + STEADY_S, deadline):
        now = memory_bytes(server)
        if now > most + 256 * 1024:
            most, since = now, time.monotonic()
        time.sleep(POLL_S)
    return most


@pytest.mark.parametrize("callers", [100, pytest.param(1000, marks=pytest.mark.soak)])
def test_stalled_callers(tmp_path: pathlib.Path, callers: int) -> None:
    """At most 64 KiB each over idle; their upstream waits; another caller is served meanwhile. What
    else a worker takes meanwhile is on top, so the least of a few says what they take."""
    for attempt in range(ATTEMPTS_MAX):
        grown = grown_bytes(tmp_path / f"home-{attempt}", callers)
        print(f"{callers} stalled: {grown / 2**20:.1f} MiB, {grown / callers / 1024:.1f} KiB each")
        if grown <= callers * STREAM_BYTES_MAX:
            return
    raise AssertionError(f"more than {STREAM_BYTES_MAX} bytes each in {ATTEMPTS_MAX} attempts")


def grown_bytes(home: pathlib.Path, callers: int) -> int:
    """What a fresh server takes more once so many callers stall."""
    settings = {"BATON_MODEL": "none"}
    with Fountain() as fountain, running.serving(home, settings) as server:
        add_upstream(server, fountain.url)
        deadline = time.monotonic() + DEADLINE_S
        while server.endpoint.complete(model=FAKE_MODEL, prompt="a").status != 200:
            assert time.monotonic() < deadline
            time.sleep(POLL_S)
        idle = steady_bytes(server)
        with contextlib.ExitStack() as ending:
            for _ in range(callers):
                ending.enter_context(stalled(server))
            while fountain.held < callers:
                assert time.monotonic() < deadline
                time.sleep(POLL_S)
            grown = steady_bytes(server) - idle
            assert callers == fountain.held
            served = server.endpoint.complete(model=FAKE_MODEL, prompt="a", max_tokens=3)
    assert 200 == served.status
    return grown
