"""A disk that takes nothing more: 503, no answer that is not on the ledger; then it heals.

The worker's file size limit is set from outside below what its files have: every write fails as on
a full disk, and lifting the limit is making room.
"""

import http.client
import json
import pathlib
import resource
import time

import pytest

from tests import running
from tests.asking import Answer, Endpoint
from tests.faults.accounting import Whole, offences, read_book
from tests.faults.conftest import FAKE_MODEL, PRICE, add_upstream, set_prices

NO_ROOM_BYTES = 1
WITHIN_S = 10.0


def set_room(server: running.Server, room_bytes: int) -> None:
    """How large the worker's files may grow."""
    for pid, command in server.processes().items():
        if "baton.worker" in command:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (room_bytes, resource.RLIM_INFINITY))


def ask(server: running.Server, max_tokens: int = 4) -> Answer:
    body = {"model": FAKE_MODEL, "prompt": "a b", "max_tokens": max_tokens}
    return server.endpoint.post("/v1/completions", body)


def until_status(server: running.Server, status: int) -> Answer:
    """Ask until the answer has this status; the last answer."""
    deadline = time.monotonic() + WITHIN_S
    while (answer := ask(server)).status != status:
        assert time.monotonic() < deadline, f"{answer.status} {answer.text}"
        time.sleep(running.POLL_S)
    return answer


def whole(answer: Answer) -> Whole:
    usage = answer.json["usage"]
    tokens = (usage["prompt_tokens"], usage["completion_tokens"])
    return Whole(answer.json["id"], *tokens, stream=False)


@pytest.mark.parametrize("rounds", [3])
def test_full_disk(home: pathlib.Path, fake_url: str, rounds: int) -> None:
    """503 with a wait while it is full, answers again after, and an exact ledger in the end."""
    answered = []
    with running.serving(home, {"BATON_MODEL": "none"}) as server:
        set_prices(server)
        add_upstream(server, fake_url)
        for _ in range(rounds):
            answered.append(whole(until_status(server, 200)))
            set_room(server, NO_ROOM_BYTES)
            refused = [ask(server) for _ in range(5)]
            assert {answer.status for answer in refused} == {503}
            assert int(refused[0].headers["retry-after"]) >= 1
            assert refused[0].error["code"] == "overloaded"
            set_room(server, resource.RLIM_INFINITY)
        answered.append(whole(until_status(server, 200)))
    assert offences([*answered, *_served(home, answered)], read_book(home), PRICE) == []


def _served(home: pathlib.Path, known: list[Whole]) -> list[Whole]:
    """Answers with status 200 on the way that `until_status` did not return: none is expected."""
    ids = {answer.request_id for answer in known}
    settled = [row for row in read_book(home).rows if row.state == "settled" and row.charge]
    assert {row.request_id for row in settled} == ids
    return []


def test_stream_over_a_disk_that_fills(home: pathlib.Path, fake_url: str) -> None:
    """A stream whose end cannot be written down gets no [DONE] and no usage."""
    with running.serving(home, {"BATON_MODEL": "none"}) as server:
        set_prices(server)
        add_upstream(server, fake_url)
        until_status(server, 200)
        Endpoint(fake_url, "", "").post("/fault", {"times": 1, "interval_s": 0.02})
        text = _stream_while_it_fills(server)
        set_room(server, resource.RLIM_INFINITY)
        until_status(server, 200)
    assert "data: {" in text
    assert "[DONE]" not in text
    assert '"error"' in text


def _stream_while_it_fills(server: running.Server) -> str:
    connection = http.client.HTTPConnection(
        server.endpoint.host, server.endpoint.port, timeout=WITHIN_S
    )
    body = {"model": FAKE_MODEL, "prompt": "a b", "max_tokens": 40, "stream": True}
    headers = {"Authorization": f"Bearer {server.key}"}
    connection.request("POST", "/v1/completions", json.dumps(body), headers)
    response = connection.getresponse()
    assert response.status == 200
    start = response.readline()
    set_room(server, NO_ROOM_BYTES)
    try:
        rest = response.read()
    except http.client.IncompleteRead as cut:
        rest = cut.partial
    connection.close()
    return (start + rest).decode()
