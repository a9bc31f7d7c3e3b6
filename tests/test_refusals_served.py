"""Each kind of refusal, as a caller gets it, has one row with what an operator needs; what is on
the ledger has none, and no row has anything of a prompt or a key."""

import contextlib
import pathlib
import sqlite3
from typing import Any

import pytest

from baton.stores.book import book_path
from baton.stores.refusals import RefusalFilter, RefusalRecord
from tests.asking import Answer, Endpoint
from tests.bookkeeping import new_store
from tests.flying import flying
from tests.http.serving import rest
from tests.relaying import MODEL, USER, Relay, relaying

CANARY = "canary in a prompt"
SHOWN = "sk-test-secret-canary-0123456789abcdef"
"""A key that nobody has."""
COMPLETIONS = "POST /v1/completions"
NOBODY = ""


def rows(home: pathlib.Path) -> dict[str, RefusalRecord]:
    """All that the book has of refused requests, by request id. Only after the worker's end."""
    with contextlib.closing(new_store(home)) as store:
        found = store.refusals.page(RefusalFilter(), 1_000)
    assert len(found) == len({each.request_id for each in found})
    return {each.request_id: each for each in found}


def secrets_in(home: pathlib.Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(book_path(home))) as book:
        told = str(book.execute("SELECT * FROM refusal").fetchall())
    return [each for each in (CANARY, SHOWN, "sk-test-") if each in told]


def refused_as(row: RefusalRecord, answer: Answer) -> None:
    """It says what the caller was told."""
    error = answer.error
    assert (answer.status, error["code"], error["param"]) == (row.status, row.code, row.param)
    assert error["message"] == row.message


class Case:
    """A request, whose key it shows, and what its row says beside the answer."""

    def __init__(
        self,
        status: int,
        key: str = USER,
        *,
        path: str = "/v1/completions",
        model: str = MODEL,
        headers: dict[str, str | None] | None = None,
        **fields: Any,
    ) -> None:
        self.status, self.key, self.path, self.model = status, key, path, model
        self.headers, self.fields = headers or {}, fields

    def ask(self, relay: Relay) -> Answer:
        headers = {"Authorization": f"Bearer {SHOWN}"} if self.key == NOBODY else {}
        body = {"model": self.model, "prompt": CANARY, **self.fields}
        endpoint = relay.endpoint(self.key or USER)
        answer = endpoint.post(self.path, body, **{**headers, **self.headers})
        assert self.status == answer.status, answer.text
        return answer


CASES = (
    Case(400, max_tokens=-1),
    Case(400, n=CANARY),
    Case(400, unheard_of=CANARY, headers={"x-baton-strict": "true"}),
    Case(400, stop=[CANARY * 100]),
    Case(400, headers={"Idempotency-Key": "x" * 300}),
    Case(401, NOBODY),
    Case(401, NOBODY, headers={"Authorization": None}),
    Case(401, "gone"),
    Case(403, "elsewhere"),
    Case(404, model="another"),
    Case(404, path="/m/another/infill", model="another", input_prefix=CANARY, input_suffix=""),
    Case(413, prompt=CANARY * 1_000),
    Case(415, headers={"Content-Encoding": "gzip"}),
    Case(429, "poor", max_tokens=10),
    Case(429, "slow"),
)


def test_each_kind(tmp_path: pathlib.Path) -> None:
    """One row, with the caller's request id, key, path and model, and the words that it got."""
    with relaying(tmp_path, body_bytes_max=8_000) as relay:
        relay.key("gone")
        ids = {each.name: each.id for each in relay.store.keys.all()}
        relay.store.keys.revoke(ids["gone"], "test")
        relay.key("elsewhere", networks=("10.0.0.0/8",))
        relay.key("poor", budget_nano=1)
        assert 200 == relay.key("slow", requests_per_minute=1).complete(prompt="a").status
        ids |= {each.name: each.id for each in relay.store.keys.all()} | {NOBODY: ""}
        answers = [(case, case.ask(relay)) for case in CASES]
    found = rows(tmp_path)
    for case, answer in answers:
        row = found[answer.headers["x-request-id"]]
        refused_as(row, answer)
        assert (ids[case.key], f"POST {case.path}") == (row.key_id, row.route)
        at_edge = case.status in (413, 415)  # its body is not there
        assert ("" if at_edge else case.model, 1) == (row.model, row.times)
    assert [] == secrets_in(tmp_path)
    assert 1 == len(relay.rows()), "the one that was answered"


def test_who_has_no_key_at_other_paths(tmp_path: pathlib.Path) -> None:
    """Routes beside the completions tell in the same log: who asked for a chat, or may not; not
    what an operator got wrong, whose words may be secrets."""
    with relaying(tmp_path) as relay:
        answers = {
            "POST /v1/chat/completions": relay.user.post("/v1/chat/completions", {"a": CANARY}),
            "GET /admin/v1/keys": relay.user.get("/admin/v1/keys"),
            "GET /v1/models": Endpoint(relay.url, SHOWN, MODEL).get("/v1/models?key=" + SHOWN),
            "DELETE /v1/completions": relay.user.ask("DELETE", "/v1/completions"),
        }
        user = relay.store.keys.find(USER)[0].id
        typed = {"name": "u", "url": "http://u:sesame/word@host/v1", "models": {"m": "m"}}
        admin = relay.key("admin", role="admin")
        quoted = admin.post("/admin/v1/upstreams", {**typed, "dialect": "openai"})
        assert (400, True) == (quoted.status, "sesame" in quoted.text)
    assert [404, 403, 401, 405] == [each.status for each in answers.values()]
    found = rows(tmp_path)
    assert len(answers) == len(found)
    for route, answer in answers.items():
        row = found[answer.headers["x-request-id"]]
        refused_as(row, answer)
        known = user if answer.status == 403 else ""
        assert (route, known, "") == (row.route, row.key_id, row.model)
    assert [] == secrets_in(tmp_path)


def test_what_connections_refuse(tmp_path: pathlib.Path) -> None:
    """Before there is a request, or an exchange runs: with the key where the head shows a known
    one."""
    with relaying(tmp_path, requests_in_flight_max=1, header_timeout_s=0.1) as relay:
        for sent in (b"nonsense\r\n\r\n", b"GET /v1/models?q=1 HTTP/1.1\r\nHost:"):
            with relay.connect() as client:
                client.sendall(sent)
                rest(client)
        relay.fake.fault(stall_after_bytes=0)
        with relay.ask():
            relay.seen()
            assert 503 == relay.user.complete(prompt=CANARY).status
        user = relay.store.keys.find(USER)[0].id
    told = {(each.status, each.code): each for each in rows(tmp_path).values()}
    assert {(400, None), (408, "request_timeout"), (503, "overloaded")} == told.keys()
    assert ("", "GET /v1/models") == (told[400, None].route, told[408, "request_timeout"].route)
    shed = told[503, "overloaded"]
    assert (user, COMPLETIONS, MODEL) == (shed.key_id, shed.route, shed.model)
    assert [] == secrets_in(tmp_path)


def test_what_is_on_the_ledger_is_not_here(tmp_path: pathlib.Path) -> None:
    """Answered, failed upstream, refused by an upstream, left by its caller: each stands there
    alone."""
    with relaying(tmp_path, handoffs_max=0, upstream_first_byte_timeout_s=0.2) as relay:
        assert 200 == relay.user.complete(prompt="a").status
        assert 400 == relay.user.complete(prompt="a", max_tokens=5_000).status
        relay.fake.fault(status=500, times=9)
        assert 502 == relay.user.complete(prompt="a").status
        relay.fake.faults.clear()
        relay.fake.fault(stall_after_bytes=0)
        with relay.ask(stream=True):
            relay.until(lambda: relay.worker.room.books.metrics.in_flight == 1)
        relay.until(lambda: relay.worker.room.books.metrics.in_flight == 0)
    assert {} == rows(tmp_path)
    assert 4 == len(relay.rows())


def test_the_fast_path_refuses_in_the_room(tmp_path: pathlib.Path) -> None:
    """A budget that is used up by requests on the fast path: what is beyond it is here, all else
    on the ledger."""
    with flying(tmp_path) as sky:
        sky.relay.key("poor", budget_nano=300)
        with sky.kept("poor") as caller:
            answers = [caller.complete() for _ in range(80)]
        assert 200 == answers[0].status
        assert sky.course.flown > 0
    refused = [each for each in answers if each.status != 200]
    assert refused
    found = rows(tmp_path)
    assert len(refused) == sum(each.times for each in found.values())
    refused_as(found[refused[0].headers["x-request-id"]], refused[0])
    assert len(answers) == len(refused) + len(sky.relay.rows())


@pytest.mark.parametrize("times", [3])
def test_equal_requests_under_an_idempotency_key(tmp_path: pathlib.Path, times: int) -> None:
    """A run that is refused has a row, however many follow it; so has who reuses its key."""
    with relaying(tmp_path) as relay:
        for _ in range(times):
            headers = {"Idempotency-Key": "one"}
            answer = relay.user.post("/v1/completions", {"model": "another"}, **headers)
            assert answer.status in (400, 404)
        once = {"Idempotency-Key": "two"}
        body = {"model": MODEL, "prompt": "a"}
        assert 200 == relay.user.post("/v1/completions", body, **once).status
        assert 200 == relay.user.post("/v1/completions", body, **once).status
        other = relay.user.post("/v1/completions", {**body, "prompt": CANARY}, **once)
        assert 422 == other.status
    found = rows(tmp_path)
    assert times + 1 == len(found)
    refused_as(found[other.headers["x-request-id"]], other)
    assert 1 == len(relay.rows())


def test_no_days_keep_nothing(tmp_path: pathlib.Path) -> None:
    with relaying(tmp_path, refusals_days=0) as relay:
        assert 401 == Endpoint(relay.url, SHOWN, MODEL).complete(prompt="a").status
    assert {} == rows(tmp_path)
