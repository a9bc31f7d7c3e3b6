"""A caller that leaves: its upstream is closed within 50 ms, and what was generated is charged."""

import asyncio
import json
import pathlib
import statistics
import time
from collections.abc import Iterator

import msgspec
import pytest

from tests import running
from tests.fakes.fake_completions import FakeCompletions
from tests.fakes.faults import Fault
from tests.faults.accounting import Row, read_book
from tests.faults.conftest import FAKE_MODEL, add_upstream

TRIES = 7
CLOSED_WITHIN_S = 0.05
SEEN_WITHIN_S = 5.0
ENGINE_TOKENS_MORE_MAX = 12
"""Tokens that the engine may have made after the last one read: 50 ms of steps, and one batch."""
PHASES = {
    "before the answer": (Fault(delay_s=30.0), b""),
    "between two chunks": (Fault(stall_after_bytes=400), b"data: "),
    "while chunks come": (Fault(interval_s=0.01), b"data: "),
}


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[running.Server]:
    """A relay without a model of its own."""
    home = tmp_path_factory.mktemp("gone") / "home"
    with running.serving(home, {"BATON_MODEL": "none"}) as server:
        yield server


def request_bytes(server: running.Server, model: str, max_tokens: int) -> bytes:
    body = {"model": model, "prompt": "a b", "max_tokens": max_tokens, "stream": True}
    text = json.dumps(body)
    return (
        f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\n"
        f"Content-Length: {len(text)}\r\n\r\n{text}"
    ).encode()


async def leave(server: running.Server, fake: FakeCompletions, after: bytes) -> float:
    """Ask, read until `after` came, leave by a reset; how long the upstream stayed open then."""
    seen, aborted = len(fake.seen), fake.aborted
    port = int(server.base_url.rsplit(":", 1)[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request_bytes(server, FAKE_MODEL, 4000))
    await fake.until(lambda: len(fake.seen) > seen, SEEN_WITHIN_S)
    if after:
        await reader.readuntil(after)
    left = time.perf_counter()
    writer.transport.abort()
    await fake.until(lambda: fake.aborted > aborted, SEEN_WITHIN_S)
    return time.perf_counter() - left


async def times_to_close(server: running.Server, fault: Fault, after: bytes) -> list[float]:
    """Several callers, one after the other."""
    found = []
    async with FakeCompletions("vllm") as fake:
        name = f"fake{fake.port}"
        await asyncio.to_thread(add_upstream, server, fake.url, name)
        await _until_routed(server, fake)
        for _ in range(TRIES):
            fake.faults = [msgspec.structs.replace(fault)]
            found.append(await leave(server, fake, after))
        await asyncio.to_thread(server.cli, "upstream", "remove", name)
    return found


async def _until_routed(server: running.Server, fake: FakeCompletions) -> None:
    """Until the worker knows the upstream that was just added."""
    async with asyncio.timeout(SEEN_WITHIN_S):
        while not fake.seen:
            await asyncio.to_thread(
                server.endpoint.post,
                "/v1/completions",
                {"model": FAKE_MODEL, "prompt": "a", "max_tokens": 1},
            )


@pytest.mark.parametrize("phase", PHASES)
def test_upstream_is_closed(relay: running.Server, phase: str) -> None:
    """In every phase of a stream: closed within 50 ms (the median; a busy machine may be late)."""
    fault, after = PHASES[phase]
    times = asyncio.run(times_to_close(relay, fault, after))
    assert statistics.median(times) <= CLOSED_WITHIN_S, times


def test_engine_stops_and_charges(server: running.Server) -> None:
    """The engine makes hardly more than the caller read; that much stands on the ledger."""
    prompt = f"unlike all others {time.time_ns()}"
    request = {"model": server.model, "prompt": prompt, "max_tokens": 1500, "stream": True}
    request |= {"temperature": 0, "logit_bias": {"0": -100, "2": -100}, "user": prompt}
    read = asyncio.run(_read_chunks(server, json.dumps(request).encode(), 20))
    row = _row_of(server.home, prompt)
    assert row.completion_tokens is not None
    assert read <= row.completion_tokens <= read + ENGINE_TOKENS_MORE_MAX


async def _read_chunks(server: running.Server, body: bytes, count: int) -> int:
    port = int(server.base_url.rsplit(":", 1)[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    for _ in range(count):
        await reader.readuntil(b"data: ")
    writer.transport.abort()
    return count


def _row_of(home: pathlib.Path, user: str) -> Row:
    """The folded row of the only request with this `user`."""
    deadline = time.monotonic() + SEEN_WITHIN_S
    while time.monotonic() < deadline:
        rows = [row for row in read_book(home).rows if row.user == user]
        if rows:
            return rows[0]
        time.sleep(running.POLL_S)
    raise AssertionError(f"no row of {user!r} within {SEEN_WITHIN_S:g} s")
