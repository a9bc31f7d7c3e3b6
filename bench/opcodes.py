"""How many bytecodes a request runs, by file and by function: a cost that no neighbour changes.

Processor time of one request moves by a third with whatever else the machine does; the number of
bytecodes does not move at all. In place (32 connections, cold caches) one costs 20 to 40 ns, so
5,000 of them are the larger part of a request. What C code does inside one (encoding, sockets) is
not seen here: `bench relay` has that.

A worker is run in this process, without an engine, between a client thread and the mock upstream;
the loop's thread is traced (sys.settrace), one request at a time.
"""

import asyncio
import collections
import dataclasses
import http.client
import json
import pathlib
import socket
import sys
import tempfile
from collections.abc import Sequence
from types import FrameType
from typing import Any

import uvloop

from baton.app import Worker
from baton.config import Settings
from baton.http.connection import connection_class
from baton.http.shared import Shared
from baton.stores.base import PriceRecord, UpstreamRecord
from baton.working import Server, configured
from bench.relays import CHUNK_INTERVAL_US, PUBLIC_MODEL, THEIR_MODEL, Relay, build, mock
from tests.bookkeeping import new_key, new_store

WARM_UP, REQUESTS = 50, 200
ROOT = pathlib.Path(__file__).parent.parent
KEY = f"sk-test-{'bench':_<40}"
"""What `new_key` makes of the name."""
Where = tuple[str, str]


@dataclasses.dataclass
class Counts:
    """Bytecodes and calls by file and function."""

    opcodes: collections.Counter[Where] = dataclasses.field(default_factory=collections.Counter)
    calls: collections.Counter[Where] = dataclasses.field(default_factory=collections.Counter)

    def trace(self, frame: FrameType, event: str, _argument: object) -> Any:
        """For sys.settrace."""
        name = frame.f_code.co_filename
        file = name.removeprefix(f"{ROOT}/").rpartition("site-packages/")[2]
        where = (file, frame.f_code.co_qualname)
        if event == "call":
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            self.calls[where] += 1
        elif event == "opcode":
            self.opcodes[where] += 1
        return self.trace

    def told(self, requests: int, lines: int) -> str:
        """A table for people: the dearest files, then the dearest functions."""
        files: collections.Counter[str] = collections.Counter()
        for (file, _), count in self.opcodes.items():
            files[file] += count
        total, calls = self.opcodes.total() / requests, self.calls.total() / requests
        rows = [f"{total:9.1f} bytecodes and {calls:.1f} calls a request", ""]
        rows += [f"{count / requests:9.1f}  {file}" for file, count in files.most_common(lines)]
        rows += ["", *(self._row(where, requests) for where, _ in self.opcodes.most_common(lines))]
        return "\n".join(rows)

    def _row(self, where: Where, requests: int) -> str:
        file, function = where
        calls = self.calls[where] / requests
        return f"{self.opcodes[where] / requests:9.1f}  {calls:5.2f} calls  {file} {function}"


def run(*, stream: bool = False, lines: int = 40) -> str:
    """Count a plain request's bytecodes; the table."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        (counts,) = rounds(pathlib.Path(name), stream, WARM_UP, [REQUESTS])
    return counts.told(REQUESTS, lines)


def rounds(
    folder: pathlib.Path,
    stream: bool,
    warm_up: int,
    requests: Sequence[int],
    interval_us: int = CHUNK_INTERVAL_US,
) -> list[Counts]:
    """What is counted in each round of so many requests, after a warm-up. What a worker does from
    time to time whether asked or not is in it: of several rounds the least has least of that."""
    build(folder)
    with mock(folder, interval_us) as upstream:
        key = prepared(folder / "home", upstream.port)
        return uvloop.run(counted(folder / "home", key, stream, warm_up, requests))


def prepared(home: pathlib.Path, mock_port: int) -> str:
    """A home with the mock as its upstream, a price, and a key with a rate and a budget: as
    `relays.baton` has it."""
    (home / "run").mkdir(parents=True)
    store = new_store(home)
    record = UpstreamRecord(
        name="mock",
        url=f"http://127.0.0.1:{mock_port}/v1",
        dialect="openai",
        models={PUBLIC_MODEL: THEIR_MODEL},
    )
    store.upstreams.add(record, "bench")
    new_key(store, "bench", requests_per_minute=100_000_000, budget_nano=10**15)
    price = PriceRecord(
        version=0, model=PUBLIC_MODEL, effective_us=0, input_pico=500_000, output_pico=1_500_000
    )
    store.prices.set(price, "bench")
    store.close()
    return KEY


async def counted(
    home: pathlib.Path, key: str, stream: bool, warm_up: int, requests: Sequence[int]
) -> list[Counts]:
    """Run the worker and its client; trace the loop after a warm-up."""
    settings = Settings(home=str(home), model="none", access_log=str(home / "access.log"))
    found = []
    async with Worker(settings) as worker:
        shared = Shared(settings, worker.room, worker.board, worker.room.books.metrics)
        shared.note = worker.note
        listener = socket.create_server(("127.0.0.1", 0))
        connections = connection_class(shared, settings.connections_max)
        server = Server(configured(settings, worker.web.callers, connections))
        serving = asyncio.get_running_loop().create_task(server._serve([listener]))
        relay = Relay("baton", listener.getsockname()[1], 0, key, PUBLIC_MODEL)
        try:
            await asyncio.to_thread(ask, relay, stream, warm_up)
            for number in requests:
                found.append(counts := Counts())
                sys.settrace(counts.trace)
                await asyncio.to_thread(ask, relay, stream, number)
                sys.settrace(None)
        finally:  # a caller without an answer is left alone: the server has no time to wait for it
            sys.settrace(None)
            server.force_exit = True
            server.stop()
            await serving
    return found


def ask(relay: Relay, stream: bool, requests: int) -> None:
    """So many requests on one connection."""
    body = relay.request(stream=stream).partition(b"\r\n\r\n")[2]
    connection = http.client.HTTPConnection("127.0.0.1", relay.port, timeout=30)
    headers = {"Authorization": f"Bearer {relay.key}", "Content-Type": "application/json"}
    for _ in range(requests):
        connection.request("POST", "/v1/completions", body, headers)
        answer = connection.getresponse()
        told = answer.read()
        assert answer.status == 200, told
        assert stream or json.loads(told)["choices"]
    connection.close()
