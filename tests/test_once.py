"""Idempotency-Key through whole workers: one call, one charge, one answer, however often asked."""

import concurrent.futures
import contextlib
import pathlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from baton import once
from baton.stores.book import book_path
from baton.stores.idempotency import Place
from tests.asking import Answer, Endpoint
from tests.bookkeeping import POSTGRES, database_url, new_key, new_store
from tests.relaying import MODEL, Relay, relaying, text_of
from tests.servers import Postgres
from tests.stores.test_contents import heard

CALLERS = 100
PROMPT = "the river is"
KEY = "order-4711"


def ask(endpoint: Endpoint, key: str = KEY, **fields: Any) -> Answer:
    body = {"model": MODEL, "prompt": PROMPT, "max_tokens": 9, **fields}
    return endpoint.post("/v1/completions", body, Idempotency_Key=key)


def ask_all(endpoint: Endpoint, callers: int, **fields: Any) -> list[Answer]:
    with concurrent.futures.ThreadPoolExecutor(callers) as pool:
        return list(pool.map(lambda _: ask(endpoint, **fields), range(callers)))


@contextlib.contextmanager
def two_workers(
    folder: pathlib.Path, delay_s: float, **settings: str
) -> Iterator[tuple[Relay, Relay]]:
    """On one book, each with an upstream of its own that takes so long to answer."""
    with (
        relaying(folder, {"one": "vllm"}, **settings) as one,
        relaying(folder, {"two": "vllm"}, **settings) as two,
    ):
        for relay in (one, two):
            relay.run(relay.worker.refresh())
            for fake in relay.fakes.values():
                fake.fault(delay_s=delay_s)
        yield one, two


@pytest.mark.parametrize("stream", [False, True])
def test_100_equal_requests(tmp_path: pathlib.Path, stream: bool) -> None:
    """100 at once: one call of the upstream, one row, 100 equal bodies; and again after a
    restart."""
    fields: dict[str, Any] = {"stream": stream}
    if stream:
        fields["stream_options"] = {"include_usage": True}
    with relaying(tmp_path) as relay:
        relay.fake.fault(delay_s=0.2)
        first = ask_all(relay.user, CALLERS, **fields)
        assert 1 == len(relay.fake.seen)
    assert {200} == {answer.status for answer in first}
    assert 1 == len({answer.raw for answer in first})
    assert CALLERS - 1 == sum(
        answer.headers.get("idempotent-replayed") == "true" for answer in first
    )
    with relaying(tmp_path) as relay:
        again = ask_all(relay.user, 3, **fields)
        assert [] == relay.fake.seen
    assert {first[0].raw} == {answer.raw for answer in again}
    assert {first[0].headers["x-request-id"]} == {a.headers["x-request-id"] for a in again}
    assert {first[0].content_type} == {answer.content_type for answer in again}
    [row] = relay.rows()
    assert ("settled", first[0].headers["x-request-id"]) == (row.state, row.request_id)
    assert row.charge > 0


def test_two_processes(tmp_path: pathlib.Path) -> None:
    """Equal requests to two workers on one book are answered by one of them, once."""
    with two_workers(tmp_path, delay_s=0.2) as (one, two):
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            each = [pool.submit(ask_all, relay.user, 5) for relay in (one, two)]
            answers = [answer for found in each for answer in found.result()]
        assert 1 == len(one.fake.seen) + len(two.fake.seen)
    assert {200} == {answer.status for answer in answers}
    assert 1 == len({answer.raw for answer in answers})
    assert 1 == len(one.rows())


def test_a_clock_that_is_set_forward(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever works on a request is not taken for dead by another worker, and the request not run
    again, for a clock that jumped over its lease."""
    ahead_s = 0.0
    monkeypatch.setattr(once, "_now_us", lambda: int((time.time() + ahead_s) * 1e6))
    with two_workers(tmp_path, delay_s=0.5) as (one, two):
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            first = pool.submit(ask, one.user)
            one.until(lambda: bool(one.fake.seen or two.fake.seen))
            ahead_s = 3 * once.LEASE_S
            second = pool.submit(ask, two.user)
            answers = [first.result(), second.result()]
        assert 1 == len(one.fake.seen) + len(two.fake.seen)
    assert answers[0].raw == answers[1].raw
    assert 1 == len(one.rows())


def test_a_clock_that_is_set_back(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, cluster: Postgres
) -> None:
    """On one of several nodes: the others do not take it for dead, and run its request again."""
    monkeypatch.setenv(POSTGRES, cluster.url("postgres"))
    with two_workers(tmp_path, 0.5, database_url=database_url(tmp_path)) as (one, two):

        async def thread() -> int:
            return threading.get_ident()

        there = one.run(thread())

        def now_us() -> int:
            back_s = 6 * once.LEASE_S if threading.get_ident() == there else 0.0
            return int((time.time() - back_s) * 1e6)

        monkeypatch.setattr(once, "_now_us", now_us)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            first = pool.submit(ask, one.user)
            one.until(lambda: bool(one.fake.seen or two.fake.seen))
            second = pool.submit(ask, two.user)
            answers = [first.result(), second.result()]
        assert 1 == len(one.fake.seen) + len(two.fake.seen)
    assert answers[0].raw == answers[1].raw
    assert 1 == len(one.rows())


def test_each_caller_has_its_own_keys(tmp_path: pathlib.Path) -> None:
    """The same value from another caller is another key."""
    with relaying(tmp_path) as relay:
        answers = [ask(relay.user), ask(relay.key("other"))]
        assert 2 == len(relay.fake.seen)
    assert 2 == len({answer.json["id"] for answer in answers})


def test_mismatch(tmp_path: pathlib.Path) -> None:
    """Another body or option under a used key is 422, while it runs and afterwards; nothing is
    asked or charged."""
    with relaying(tmp_path) as relay:
        relay.fake.fault(delay_s=0.3)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            running = pool.submit(ask, relay.user)
            relay.seen()
            early = ask(relay.user, max_tokens=8)
            assert 200 == running.result().status
        late = ask(relay.user, max_tokens=8)
        body = {"model": MODEL, "prompt": PROMPT, "max_tokens": 9}
        strict = relay.user.post(
            "/v1/completions", body, Idempotency_Key=KEY, X_Baton_Strict="true"
        )
        assert 1 == len(relay.fake.seen)
    for answer in (early, late, strict):
        assert (422, "idempotency_mismatch") == (answer.status, answer.error["code"])
        assert "idempotency_error" == answer.error["type"]
    assert 1 == len(relay.rows())


def test_a_failure_leaves_the_key_free(tmp_path: pathlib.Path) -> None:
    """After an error, ours or the upstream's, the same key asks anew."""
    with relaying(tmp_path, handoffs_max=0) as relay:
        refused = ask(relay.user, prompt=[])
        relay.fake.fault(status=500)
        failed = ask(relay.user)
    with relaying(tmp_path, handoffs_max=0) as relay:  # which thinks nothing bad of it yet
        relay.fake.fault(cut_after_bytes=300)
        broken = ask(relay.user, stream=True, max_tokens=30)
    with relaying(tmp_path) as relay:
        answered = ask(relay.user)
    assert (400, 502) == (refused.status, failed.status)
    assert b"[DONE]" not in broken.raw
    assert (200, text_of(PROMPT, 9)) == (answered.status, answered.json["choices"][0]["text"])
    assert "settled" == relay.rows()[-1].state


@pytest.mark.parametrize("stream", [False, True])
def test_a_key_is_free_before_its_failure_is_told(tmp_path: pathlib.Path, stream: bool) -> None:
    """However slow the book is: the next request, another one, is no mismatch."""
    with relaying(tmp_path, handoffs_max=0) as relay:
        store = relay.worker.room.once._store
        drop = store.drop

        def slowly(place: Place, owner: str) -> None:
            time.sleep(0.3)
            drop(place, owner)

        store.drop = slowly  # type: ignore[method-assign]
        if stream:
            relay.fake.fault(cut_after_bytes=300)
        else:
            relay.fake.fault(status=400)
        failed = ask(relay.user, stream=stream, max_tokens=30)
        answered = ask(relay.user, max_tokens=5)
    assert b"[DONE]" not in failed.raw
    assert (200, 200 if stream else 400) == (answered.status, failed.status)


def test_a_caller_that_leaves_has_its_answer_later(tmp_path: pathlib.Path) -> None:
    """The connection is lost while the upstream works: the retry gets that answer, charged once."""
    with relaying(tmp_path) as relay:
        relay.fake.fault(delay_s=0.3)
        body = b'{"model":"m","prompt":"the river is","max_tokens":9}'
        head = (
            f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
            f"Authorization: Bearer {relay.user.key}\r\nIdempotency-Key: {KEY}\r\n\r\n"
        )
        client = relay.connect()
        client.sendall(head.encode() + body)
        relay.seen()
        client.close()
        answer = relay.user.ask("POST", "/v1/completions", body, {"Idempotency-Key": KEY})
        assert 1 == len(relay.fake.seen)
    assert (200, text_of(PROMPT, 9)) == (answer.status, answer.json["choices"][0]["text"])
    assert [("settled", answer.json["id"])] == [(r.state, r.request_id) for r in relay.rows()]


def test_what_is_too_large_is_not_kept(tmp_path: pathlib.Path) -> None:
    """Those who ask meanwhile have it; later the same request is refused, not run again."""
    with relaying(tmp_path, idempotency_answer_bytes_max=100) as relay:
        first, later = ask(relay.user), ask(relay.user)
        assert 1 == len(relay.fake.seen)
    assert 200 == first.status
    assert (409, "idempotency_not_kept") == (later.status, later.error["code"])
    assert "false" == later.headers["x-should-retry"]
    assert 1 == len(relay.rows())


@pytest.mark.parametrize("value", ["", "k" * 256])
def test_a_key_that_is_none(tmp_path: pathlib.Path, value: str) -> None:
    """Refused before anything is done."""
    with relaying(tmp_path) as relay:
        answer = ask(relay.user, key=value)
    assert (400, "invalid_idempotency_key") == (answer.status, answer.error["code"])


def test_rates_count_each_request_once(tmp_path: pathlib.Path) -> None:
    """The one that runs and the one that is replayed: two of the minute's requests."""
    with relaying(tmp_path) as relay:
        slow = relay.key("slow", requests_per_minute=2)
        answers = [ask(slow), ask(slow), ask(slow)]
    assert [200, 200, 429] == [answer.status for answer in answers]


def test_without_the_header_nothing_is_kept(tmp_path: pathlib.Path) -> None:
    """A plain request leaves no row behind."""
    with relaying(tmp_path) as relay:
        assert 200 == relay.user.complete(prompt=PROMPT).status
    assert [] == kept_rows(tmp_path)
    with relaying(tmp_path) as relay:
        ask(relay.user)
    assert [("charged",)] == kept_rows(tmp_path)


def test_upkeep_is_for_contents_too(tmp_path: pathlib.Path) -> None:
    """What was kept of a key for long enough goes as a worker begins, with answers that did."""
    with contextlib.closing(new_store(tmp_path)) as store:
        key = new_key(store, keep_content_days=1)
        store.contents.keep([heard(key, "old", created_us=7), heard(key, "young")])
    with relaying(tmp_path) as relay:
        relay.until(lambda: ["young"] == content_rows(tmp_path))


def content_rows(home: pathlib.Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(book_path(home))) as connection:
        return [row[0] for row in connection.execute("SELECT request_id FROM content")]


def kept_rows(home: pathlib.Path) -> list[tuple[str]]:
    with contextlib.closing(sqlite3.connect(book_path(home))) as connection:
        return connection.execute("SELECT state FROM idempotency").fetchall()


@pytest.mark.parametrize("stream", [False, True])
def test_editors_doors(tmp_path: pathlib.Path, stream: bool) -> None:
    """A key belongs to one shape of request: the same body elsewhere is another request; the
    replay is in the shape that was asked for."""
    body = {"model": MODEL, "prompt": PROMPT, "suffix": "", "max_tokens": 9, "stream": stream}
    with relaying(tmp_path) as relay:
        path = "/v1/fim/completions"
        first, again = (relay.user.post(path, body, Idempotency_Key=KEY) for _ in range(2))
        other = relay.user.post("/v1/completions", body, Idempotency_Key=KEY)
        assert 1 == len(relay.fake.seen)
    assert (200, first.raw, first.content_type) == (again.status, again.raw, again.content_type)
    assert "chat.completion" in first.text
    assert (422, "idempotency_mismatch") == (other.status, other.error["code"])
