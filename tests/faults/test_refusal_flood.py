"""Refused requests against the limits of their log: a flood of keys that nobody has, and a database
that is away. No answer changes, and all of them are counted."""

import http.client
import json
import pathlib
import re
import secrets
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

from tests import running
from tests.asking import Answer
from tests.faults.conftest import FAKE_MODEL, add_upstream, set_prices, until_known
from tests.servers import postgres

FLOOD, THREADS = 5_000, 8
WORKERS = 2
ROWS_OF_A_KIND = 11
"""A minute, in each worker: ten singly, and one for all others."""
MINUTES = 3
"""That the flood touches at most; it takes some seconds."""
WITHIN_S = 30.0
AT_ONCE_S = 1.0


def flood(server: running.Server, times: int) -> None:
    """Completions on kept connections, each with another key that nobody has."""
    statuses: list[int] = []

    def ask() -> None:
        endpoint = server.endpoint
        connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=30)
        for number in range(times // THREADS):
            if number % 100 == 0:
                connection.close()  # another worker may have the next one
            key = f"sk-{secrets.token_hex(20)}"
            head = {"Authorization": f"Bearer {key}"}
            connection.request("POST", "/v1/completions", b'{"model":"m","prompt":"a"}', head)
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [401] * times == statuses


def counted(server: running.Server) -> dict[str, int]:
    """`baton_refusals_total` of all workers."""
    pattern = r'^baton_refusals_total\{end="(\w+)"\} ([0-9.e+]+)$'
    found = re.findall(pattern, server.admin.get("/metrics").text, re.MULTILINE)
    return {end: int(float(number)) for end, number in found}


def until_counted(server: running.Server, times: int) -> dict[str, int]:
    """Workers publish their numbers a moment later."""
    deadline = time.monotonic() + WITHIN_S
    while sum((found := counted(server)).values()) < times:
        assert time.monotonic() < deadline, found
        time.sleep(running.POLL_S)
    return found


def listed(server: running.Server) -> list[dict[str, Any]]:
    """None while the book is on its way back."""
    answer = server.admin.get("/admin/v1/refusals?limit=1000")
    assert answer.status in (200, 503)
    return list(answer.json["data"]) if answer.status == 200 else []


def test_a_flood_of_keys(home: pathlib.Path) -> None:
    """Rows stay within their limits, what a known key is refused stands beside it, and rows and
    counter account for every one."""
    with running.serving(home, {"BATON_MODEL": "none", "BATON_WORKERS": str(WORKERS)}) as server:
        flood(server, FLOOD)
        mine = server.endpoint.complete(prompt="a", max_tokens=-1)
        assert 400 == mine.status
        found = until_counted(server, FLOOD + 1)
        server.stop()
        rows = refused(server)
    assert (FLOOD + 1, 0) == (sum(found.values()), found["dropped"])
    flooded = [row for row in rows if row["status"] == 401]
    assert WORKERS * ROWS_OF_A_KIND <= len(flooded) <= MINUTES * WORKERS * ROWS_OF_A_KIND
    assert FLOOD == sum(row["times"] for row in flooded)
    assert found["kept"] == len(rows)
    assert [mine.headers["x-request-id"]] == [r["request_id"] for r in rows if r["status"] == 400]


def refused(server: running.Server) -> list[dict[str, Any]]:
    """What the book has, by the command line."""
    rows: list[dict[str, Any]] = json.loads(server.cli("refusals", "--limit", "10000", "--json"))
    return rows


@pytest.mark.parametrize("how", ["killed", "hanging"])
def test_a_database_that_is_away(home: pathlib.Path, fake_url: str, how: str) -> None:
    """Refusals are answered as ever, at once, and stand in the log when it is back; so do requests
    that go on with what was leased."""
    with postgres() as database:
        settings = {
            "BATON_DATABASE_URL": database.database(),
            "BATON_MODEL": "none",
            "BATON_DATABASE_TIMEOUT_S": "2",
            "BATON_DATABASE_CONNECT_TIMEOUT_S": "2",
        }
        with running.serving(home, settings) as server:
            set_prices(server)
            add_upstream(server, fake_url)
            until_known(server, FAKE_MODEL)
            there = refusals(server)
            if how == "killed":
                database.kill()
            else:
                database.hang()
            try:
                away = refusals(server)
                assert 200 == complete(server).status
            finally:
                if how == "killed":
                    database.start()
                else:
                    database.go_on()
            assert [(a.status, a.error) for a in there] == [(a.status, a.error) for a in away]
            wanted = {answer.headers["x-request-id"] for answer in (*there, *away)}
            deadline = time.monotonic() + WITHIN_S
            while not wanted <= {row["request_id"] for row in listed(server)}:
                assert time.monotonic() < deadline, server.printed()
                time.sleep(running.POLL_S)


def complete(server: running.Server, **fields: object) -> Answer:
    return server.endpoint.complete(**{"model": FAKE_MODEL, "prompt": "a b", **fields})


def refusals(server: running.Server) -> Sequence[Answer]:
    """Those that need nothing of the book."""
    began_s = time.monotonic()
    answers = [
        complete(server, max_tokens=-1),
        complete(server, model="another"),
        complete(server, prompt=7),
    ]
    assert time.monotonic() - began_s < AT_ONCE_S
    return answers
