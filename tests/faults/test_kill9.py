"""kill -9 of a worker, the engine and the supervisor under load: the ledger stays exact.

Callers ask without a pause, half of them for streams: 64 of an upstream while the worker is killed,
an embedded model and an upstream alike while the engine or the supervisor is. The part is killed at
random moments and comes back. In the end every answer that a caller has whole is on the ledger once
with exactly its charge, every other row has ended within its hold, and balances are the sums of
their rows; `baton audit` comes to the same.
"""

import json
import os
import pathlib
import random
import signal
import time
from collections.abc import Iterator

import pytest

from tests import running
from tests.asking import Endpoint
from tests.faults.accounting import offences, read_book
from tests.faults.conftest import (
    FAKE_MODEL,
    PRICE,
    add_upstream,
    budget_key,
    fake_upstream,
    set_prices,
)
from tests.faults.load import Load

CALLERS = 64
THREADS_EACH = 8
ANSWERS_BETWEEN = 40
JITTER_S = 0.2
GONE_TIMEOUT_S = 15.0
ALL_EVERY = 5
"""Of so many kills of the worker one takes the supervisor with it. A worker that dies young again
and again is started after growing pauses: a new supervisor has none."""
ALONE = {"BATON_MODEL": "none"}
PARTS = {"worker": "baton.worker", "engine": "baton.engine"}
KILLS = [
    pytest.param(3, id="3"),
    pytest.param(20, id="20", marks=pytest.mark.soak),
]
WORKER_KILLS = [
    pytest.param(20, id="20"),
    pytest.param(200, id="200", marks=pytest.mark.soak),
]


def kill_part(server: running.Server, words: str) -> None:
    """kill -9 of the process with these words in its command; returns when a new one is ready."""
    old = [pid for pid, command in server.processes().items() if words in command]
    assert len(old) == 1, server.processes()
    os.kill(old[0], signal.SIGKILL)
    deadline = time.monotonic() + running.START_TIMEOUT_S
    while True:
        new = [pid for pid, command in server.processes().items() if words in command]
        if new and new != old and running.is_ready(server.base_url):
            return
        assert time.monotonic() < deadline, f"no new {words}: {server.printed()[-2000:]}"
        time.sleep(running.POLL_S)


def kill_supervisor(server: running.Server) -> running.Server:
    """kill -9 of the supervisor alone; its children notice. The server that runs then."""
    server.process.kill()
    server.process.wait()
    deadline = time.monotonic() + GONE_TIMEOUT_S
    while server.processes():
        assert time.monotonic() < deadline, f"they outlive it: {server.processes()}"
        time.sleep(running.POLL_S)
    return started_again(server, {})


def kill_all(server: running.Server) -> running.Server:
    """kill -9 of all of it at once; the server that runs then."""
    server.kill()
    return started_again(server, ALONE)


def started_again(server: running.Server, settings: dict[str, str]) -> running.Server:
    """On the same folder and port."""
    port = int(server.base_url.rsplit(":", 1)[1])
    again = running.start(server.home, settings, port=port)
    again.wait_ready()
    return again


@pytest.fixture
def slow_url() -> Iterator[str]:
    """An upstream that takes a third of a second for an answer: so callers wait for answers, not
    for the processor, and a kill finds all of them half-way."""
    with fake_upstream() as url:
        slow = {"times": 10**9, "delay_s": 0.1, "interval_s": 0.02}
        assert 200 == Endpoint(url, "", FAKE_MODEL).post("/fault", slow).status
        yield url


@pytest.mark.parametrize("kills", WORKER_KILLS)
def test_kill9_of_the_relay(home: pathlib.Path, slow_url: str, kills: int) -> None:
    """After so many kills with 64 requests under way the ledger and the callers agree to the
    nano-dollar."""
    server = running.start(home, ALONE)
    try:
        server.wait_ready()
        set_prices(server)
        add_upstream(server, slow_url)
        load = Load(Endpoint(server.base_url, budget_key(server), ""), [FAKE_MODEL], CALLERS)
        with load.running():
            server = killed_often(server, load, "worker", kills)
        server.stop()
        agree(server, load)
    finally:
        server.kill()


@pytest.mark.parametrize("kills", KILLS)
@pytest.mark.parametrize("part", ["engine", "supervisor"])
def test_kill9(home: pathlib.Path, fake_url: str, part: str, kills: int) -> None:
    """After so many kills of one part the ledger and the callers agree to the nano-dollar."""
    server = running.start(home)
    try:
        server.wait_ready()
        set_prices(server)
        add_upstream(server, fake_url)
        key, models = budget_key(server), [server.model, FAKE_MODEL]
        load = Load(Endpoint(server.base_url, key, server.model), models, THREADS_EACH)
        with load.running():
            server = killed_often(server, load, part, kills)
        server.stop()
        agree(server, load)
    finally:
        server.kill()


def killed_often(server: running.Server, load: Load, part: str, kills: int) -> running.Server:
    """Kill the part at random moments, each time after some answers; the server that runs then."""
    dice = random.Random(f"{part} {kills}")
    for number in range(1, kills + 1):
        load.more(ANSWERS_BETWEEN)
        time.sleep(dice.uniform(0, JITTER_S))
        if part == "supervisor":
            server = kill_supervisor(server)
        elif part == "worker" and number % ALL_EVERY == 0:
            server = kill_all(server)
        else:
            kill_part(server, PARTS[part])
    load.more(ANSWERS_BETWEEN)
    return server


def agree(server: running.Server, load: Load) -> None:
    """The callers, the rows, the balances and the audit say the same."""
    assert {answer.stream for answer in load.whole} == {True, False}
    book = read_book(server.home)
    moved = sum(row.handoffs for row in book.rows)
    assert load.refused or moved, "nobody noticed that anything was killed"
    assert offences(load.whole, book, PRICE) == []
    audit = json.loads(server.cli("audit", "--json"))
    assert (audit["faults"], audit["unfolded"]) == ([], 0)
    assert audit["requests"] >= len(load.whole)
