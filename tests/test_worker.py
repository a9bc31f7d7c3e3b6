"""A worker's process: when it is ready, how it drains, and that it ends with its supervisor."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import msgspec
import pytest

from baton.config import Settings
from baton.stores.base import RequestRecord, UpstreamRecord
from tests.asking import Endpoint
from tests.bookkeeping import new_key, new_store
from tests.http.serving import received, rest
from tests.relaying import text_of
from tests.running import free_port

KEY = f"sk-test-{'user':_<40}"
TIMEOUT_S = 15.0


class Process:
    """`python -m baton.worker` with this test as its supervisor."""

    def __init__(self, settings: Settings, errors: pathlib.Path) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        watch_read, self.watch = os.pipe()
        self.ready, ready_write = os.pipe()
        told, theirs = socket.socketpair()
        with errors.open("wb") as output, theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "baton.worker", "0", str(ready_write)],
                stdin=theirs.fileno(),
                stdout=output,
                stderr=output,
                pass_fds=(ready_write,),
            )
        with told:
            fds = [watch_read, self.listener.fileno()]
            socket.send_fds(told, [msgspec.json.encode(settings)], fds)
        os.close(watch_read)
        os.close(ready_write)

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def ask(self, **fields: object) -> socket.socket:
        """A connection with a streamed completion under way."""
        body = json.dumps({"model": "m", "prompt": "a b", "stream": True, **fields})
        client = socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT_S)
        head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        client.sendall(f"{head}Authorization: Bearer {KEY}\r\n\r\n{body}".encode())
        received(client, b"data: ")
        return client

    def orphan(self) -> None:
        """The supervisor is gone."""
        if self.watch >= 0:
            os.close(self.watch)
            self.watch = -1

    def end(self) -> None:
        self.orphan()
        self.process.kill()
        self.process.wait()
        os.close(self.ready)
        self.listener.close()


@pytest.fixture(scope="module")
def fake_url() -> Iterator[str]:
    """An upstream in a process of its own."""
    words = [sys.executable, "-m", "tests.fakes.fake_completions", "--dialect", "vllm"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


@contextlib.contextmanager
def working(home: pathlib.Path, fake_url: str, **settings: object) -> Iterator[Process]:
    """A worker that is ready, with the fake as its upstream and one that no dialect knows."""
    with contextlib.closing(new_store(home)) as store:
        new_key(store, "user")
        for name, dialect in (("fake", "vllm"), ("odd", "unknown")):
            record = UpstreamRecord(
                name=name, url=f"{fake_url}/v1", dialect=dialect, models={"m": "theirs"}
            )
            store.upstreams.add(record, "test")
    given = msgspec.convert({"home": str(home), "model": "none", **settings}, Settings)
    worker = Process(given, home / "errors")
    try:
        assert b"ready\n" == os.read(worker.ready, 100), (home / "errors").read_text()
        assert b"" == os.read(worker.ready, 100)
        yield worker
    finally:
        worker.end()


def rows(home: pathlib.Path) -> list[RequestRecord]:
    with contextlib.closing(new_store(home)) as store:
        return store.usage.requests()


def slow(fake_url: str) -> None:
    """The fake's next stream takes its time."""
    assert 200 == Endpoint(fake_url, "", "").post("/fault", {"interval_s": 0.05}).status


def test_a_book_that_is_away_is_told_in_a_sentence(tmp_path: pathlib.Path) -> None:
    """Its supervisor starts another: no fault of the program, so no traceback."""
    url = f"postgresql://someone@127.0.0.1:{free_port()}/book"
    given = msgspec.convert({"home": str(tmp_path), "model": "none", "database_url": url}, Settings)
    worker = Process(given, tmp_path / "errors")
    try:
        assert 1 == worker.process.wait(TIMEOUT_S)
    finally:
        worker.end()
    (told,) = [json.loads(line) for line in (tmp_path / "errors").read_text().splitlines()]
    assert ("error", "the worker cannot serve") == (told["level"], told["event"])
    assert told["reason"].startswith("the book cannot be used: ")


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "orphaned"])
def test_it_drains(tmp_path: pathlib.Path, fake_url: str, how: str) -> None:
    """Told to stop, or alone: a running stream comes to its end, is on the ledger, exit status 0;
    waiting costs no computing, beside what a start still loads and an end writes."""
    with working(tmp_path, fake_url) as worker:
        slow(fake_url)
        with worker.ask(max_tokens=64) as client:
            if how == "orphaned":
                worker.orphan()
            else:
                worker.process.send_signal(signal.Signals[how])
            answer = b"".join(received(client, b"data: ") for _ in range(16))
            before, began_s = cpu_s(worker.process.pid), time.monotonic()
            answer += received(client, b"[DONE]")
            waited_s = time.monotonic() - began_s
            assert cpu_s(worker.process.pid) - before < waited_s / 3
            answer += rest(client)
        assert 0 == worker.process.wait(TIMEOUT_S)
    assert answer.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    events = [line[6:] for line in answer.decode().splitlines() if line.startswith("data: {")]
    texts = [json.loads(event)["choices"][0]["text"] for event in events]
    assert text_of("a b", 64).endswith("".join(texts))
    assert ["settled"] == [row.state for row in rows(tmp_path)]


def cpu_s(pid: int) -> float:
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_the_drain_has_an_end(tmp_path: pathlib.Path, fake_url: str) -> None:
    """After drain_timeout_s what still runs is cut and charged as far as it came."""
    with working(tmp_path, fake_url, drain_timeout_s=1.0) as worker:
        slow(fake_url)
        with worker.ask(max_tokens=400) as client:
            told = time.monotonic()
            worker.process.terminate()
            with contextlib.suppress(ConnectionResetError):
                rest(client)
            assert 1.0 <= time.monotonic() - told < 3.0
        assert 0 == worker.process.wait(TIMEOUT_S)
    [row] = rows(tmp_path)
    assert 0 < (row.completion_tokens or 0) < 400
    assert row.state in ("settled", "interrupted")


def test_one_that_is_replaced_takes_its_time(tmp_path: pathlib.Path, fake_url: str) -> None:
    """Nobody waits for it to end: its streams come to their ends however long the drain may be, and
    no connection is taken any more."""
    with working(tmp_path, fake_url, drain_timeout_s=0.5) as worker:
        slow(fake_url)
        with worker.ask(max_tokens=50) as client:
            told = time.monotonic()
            worker.process.send_signal(signal.SIGUSR1)
            assert rest(client).endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
            assert time.monotonic() - told > 2.0
        assert 0 == worker.process.wait(TIMEOUT_S)
    assert ["settled"] == [row.state for row in rows(tmp_path)]


@pytest.mark.parametrize("how", ["SIGTERM", "orphaned"])
def test_one_that_is_replaced_can_be_stopped(
    tmp_path: pathlib.Path, fake_url: str, how: str
) -> None:
    """From then on its drain has an end, as that of any other."""
    with working(tmp_path, fake_url, drain_timeout_s=1.0) as worker:
        slow(fake_url)
        with worker.ask(max_tokens=400) as client:
            worker.process.send_signal(signal.SIGUSR1)
            received(client, b"data: ")
            told = time.monotonic()
            worker.orphan() if how == "orphaned" else worker.process.terminate()
            with contextlib.suppress(ConnectionResetError):
                rest(client)
            assert 1.0 <= time.monotonic() - told < 3.0
        assert 0 == worker.process.wait(TIMEOUT_S)


def test_its_log(tmp_path: pathlib.Path, fake_url: str) -> None:
    """JSON lines on standard error, at the level of the settings; nothing where nothing happens."""
    for level, lines in (("info", 1), ("error", 1)):
        home = tmp_path / level
        home.mkdir()
        with working(home, fake_url, log_level=level) as worker:
            worker.process.terminate()
            assert 0 == worker.process.wait(TIMEOUT_S)
        told = [json.loads(line) for line in (home / "errors").read_text().splitlines()]
        assert lines == len(told), told
        assert ("upstream not usable", "odd") == (told[0]["event"], told[0]["upstream"])


def test_it_tells_who_was_refused_for_a_host(tmp_path: pathlib.Path, fake_url: str) -> None:
    """In its numbers and in its log."""
    with working(tmp_path, fake_url, allowed_hosts="a.test") as worker:
        told = []
        for host in ("b.test", "a.test"):
            with socket.create_connection(("127.0.0.1", worker.port), timeout=TIMEOUT_S) as client:
                head = f"GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
                client.sendall(head.encode())
                told.append(rest(client))
        assert told[0].startswith(b"HTTP/1.1 421 ")
        assert b'baton_rejected_total{reason="host"} 1.0' in told[1]
    lines = [json.loads(line) for line in (tmp_path / "errors").read_text().splitlines()]
    assert "'b.test'" in {line["event"]: line for line in lines}["host refused"]["reason"]
