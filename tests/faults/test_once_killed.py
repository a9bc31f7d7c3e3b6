"""Idempotency keys and kill -9: who asks until it has an answer has one, charged once."""

import concurrent.futures
import http.client
import os
import pathlib
import random
import signal
import time

import pytest

from tests import running
from tests.asking import Answer, Endpoint
from tests.faults.accounting import offences, read_book
from tests.faults.conftest import FAKE_MODEL, PRICE, add_upstream, budget_key, set_prices
from tests.faults.load import whole_body, whole_stream

CALLERS = 8
WITHIN_S = 60.0
PAUSE_S = 0.02


def ask(endpoint: Endpoint, key: str, stream: bool) -> Answer:
    body = {"model": FAKE_MODEL, "prompt": "Once upon a time", "max_tokens": 12, "user": key}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return endpoint.post("/v1/completions", body, Idempotency_Key=key)


def ask_until_whole(endpoint: Endpoint, key: str, stream: bool) -> bytes:
    """What a careful client does: the same request again, until it has all of an answer."""
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        try:
            answer = ask(endpoint, key, stream)
            if answer.status == 200 and (not stream or answer.raw.endswith(b"[DONE]\n\n")):
                return answer.raw
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(PAUSE_S)
    raise AssertionError(f"no answer for {key}")


def kill_worker(server: running.Server) -> None:
    for pid, command in server.processes().items():
        if "baton.worker" in command:
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("kills", [1, pytest.param(10, marks=pytest.mark.soak)])
def test_once_killed(home: pathlib.Path, fake_url: str, kills: int) -> None:
    """While the worker is killed, callers ask under their keys until they have an answer; asking
    once more gives the same bytes, and the ledger has each answer once, at its exact price."""
    dice, answers = random.Random(kills), {}
    with running.serving(home, {"BATON_MODEL": "none"}) as server:
        set_prices(server)
        add_upstream(server, fake_url)
        endpoint = Endpoint(server.base_url, budget_key(server), FAKE_MODEL)
        names = [f"order-{number}" for number in range(16 * kills)]
        with concurrent.futures.ThreadPoolExecutor(CALLERS) as pool:
            asked = {
                name: pool.submit(ask_until_whole, endpoint, name, number % 2 == 0)
                for number, name in enumerate(names)
            }
            for _ in range(kills):
                time.sleep(dice.uniform(0.02, 0.2))
                kill_worker(server)
                while not running.is_ready(server.base_url):
                    time.sleep(PAUSE_S)
            answers = {name: future.result() for name, future in asked.items()}
        for number, name in enumerate(names):
            again = ask(endpoint, name, number % 2 == 0)
            assert (200, "true") == (again.status, again.headers.get("idempotent-replayed"))
            assert answers[name] == again.raw
        server.stop()
        assert "right" in server.cli("audit")
    read = [whole_stream, whole_body]
    whole = [read[number % 2](answers[name]) for number, name in enumerate(names)]
    book = read_book(home)
    assert [] == offences([answer for answer in whole if answer is not None], book, PRICE)
    settled = [row.user for row in book.rows if row.state == "settled"]
    assert sorted(names) == sorted(name for name in settled if name is not None)
