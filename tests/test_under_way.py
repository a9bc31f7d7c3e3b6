"""A key that ends takes its streams along, within two seconds; no request runs beyond its time."""

import contextlib
import hashlib
import json
import pathlib
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator

import msgspec
import pytest

from baton.stores.base import KeyRecord, Missing
from baton.turn import Turn
from baton.under_way import UnderWay
from tests.asking import Answer
from tests.bookkeeping import PRICE
from tests.hearing import hearing
from tests.relaying import USER, Relay, relaying

ENDED_WITHIN_S = 2.0


def record(relay: Relay, name: str = USER) -> KeyRecord:
    [found] = relay.store.keys.find(name)
    return found


def revoke(relay: Relay) -> None:
    relay.store.keys.revoke(record(relay).id, "test")


def expire(relay: Relay) -> None:
    soon_us = time.time_ns() // 1000 + 100_000
    relay.store.keys.update(record(relay).id, "test", expires_us=soon_us)


def rotate(relay: Relay, overlap_s: float = 0.0) -> None:
    now = record(relay)
    until_us = time.time_ns() // 1000 + round(overlap_s * 1e6)
    value = hashlib.sha256(secrets.token_bytes(16)).digest()
    fresh = msgspec.structs.replace(
        now, digest=value, previous_digest=now.digest, previous_until_us=until_us
    )
    relay.store.keys.rotate(fresh, "test")


def rotate_soon(relay: Relay) -> None:
    rotate(relay, 0.1)


def rotate_twice(relay: Relay) -> None:
    """The value from before both has ended, whatever the overlap."""
    rotate(relay, 3600.0)
    rotate(relay, 3600.0)


def nothing(_: Relay) -> None:
    """Its time is over by itself."""


def rest(client: socket.socket) -> bytes:
    """All that comes until the end."""
    client.settimeout(10.0)
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while data := client.recv(65536):
            found += data
    return found


@pytest.mark.parametrize("end", [revoke, expire, rotate, rotate_soon, rotate_twice])
def test_a_stream_is_ended(tmp_path: pathlib.Path, end: Callable[[Relay], None]) -> None:
    """By one error event, without [DONE]; what came is charged; its upstream is closed; other keys'
    streams go on."""
    with relaying(tmp_path) as relay:
        relay.fake.fault(times=2, interval_s=0.02)
        other = relay.key("other")
        answers: list[Answer] = []
        going_on = threading.Thread(
            target=lambda: answers.append(other.complete(prompt="a b", max_tokens=99, stream=True))
        )
        going_on.start()
        relay.seen()
        with relay.ask(stream=True, max_tokens=3000) as client:
            assert b"data: " in client.recv(65536) + client.recv(65536)
            began = time.monotonic()
            end(relay)
            tail = rest(client)
        assert time.monotonic() - began < ENDED_WITHIN_S
        going_on.join()
        relay.until(lambda: relay.fake.aborted == 1)
    assert b"[DONE]" not in tail
    events = [line[6:] for line in tail.decode().split("\r\n") if line.startswith("data: ")]
    assert "invalid_api_key" == json.loads(events[-1].strip())["error"]["code"]
    assert "[DONE]" == (answers[0].events or [])[-1]
    row = next(row for row in relay.rows() if row.state == "interrupted")
    assert (401, "invalid_api_key") == (row.status, row.error_code)
    assert row.completion_tokens is not None
    assert 0 < row.completion_tokens < 3000
    worth = (row.prompt_tokens or 0) * PRICE.input_pico + row.completion_tokens * PRICE.output_pico
    assert (worth + 500) // 1000 == row.charge


def test_a_value_may_be_used_within_its_overlap(tmp_path: pathlib.Path) -> None:
    """A rotation that lets the old value live ends nothing that runs under it."""
    with relaying(tmp_path) as relay:
        relay.fake.fault(interval_s=0.02)
        with relay.ask(stream=True, max_tokens=40) as client:
            assert b"data: " in client.recv(65536) + client.recv(65536)
            changes = relay.worker._gate.changes
            rotate(relay, 3600.0)
            relay.until(lambda: relay.worker._gate.changes > changes)
            client.settimeout(10.0)
            tail = b""
            while b"[DONE]" not in tail:
                data = client.recv(65536)
                assert data, tail
                tail += data
    assert ["settled"] == [row.state for row in relay.rows()]


@pytest.mark.parametrize(
    ("end", "time_s", "code"),
    [
        (revoke, 60.0, "invalid_api_key"),
        (expire, 60.0, "invalid_api_key"),
        (nothing, 0.8, "request_timeout"),
    ],
)
def test_all_who_follow_a_run_are_told(
    tmp_path: pathlib.Path, end: Callable[[Relay], None], time_s: float, code: str
) -> None:
    """Callers of one idempotency key have one stream: each is told why it ends, and none has an end
    that looks like one; it is charged once."""
    with relaying(tmp_path, request_timeout_s=time_s) as relay:
        relay.fake.fault(interval_s=0.02)
        with contextlib.ExitStack() as leaving:
            asked = [
                leaving.enter_context(relay.ask(once="k", stream=True, max_tokens=3000))
                for _ in range(3)
            ]
            begun = [client.recv(65536) for client in asked]
            end(relay)
            tails = [rest(client) for client in asked]
        assert 1 == len(relay.fake.seen)
    assert all(head.startswith(b"HTTP/1.1 200 ") for head in begun)
    for tail in tails:
        events = [line[6:] for line in tail.decode().split("\r\n") if line.startswith("data: ")]
        assert code == json.loads(events[-1].strip())["error"]["code"]
        assert b"[DONE]" not in tail
    assert ["interrupted"] == [row.state for row in relay.rows()]


def test_who_still_reads_a_run_that_is_over(tmp_path: pathlib.Path) -> None:
    """Its connection breaks: what it has has no end, and what all of it cost is charged."""
    with relaying(tmp_path) as relay:
        relay.listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        asked = relay.ask(once="k", stream=True, max_tokens=300, n=20, logprobs=5)
        with asked as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            assert client.recv(100).startswith(b"HTTP/1.1 200 ")
            relay.until(lambda: not relay.worker.room.once._asked)
            revoke(relay)
            relay.until(lambda: not relay.worker.room.under_way.turns)
            tail = rest(client)
    assert not tail.endswith(b"\r\n0\r\n\r\n")
    assert ["settled"] == [row.state for row in relay.rows()]


def test_before_the_answer(tmp_path: pathlib.Path) -> None:
    """A plain 401 and no charge where nothing was generated."""
    with relaying(tmp_path) as relay:
        relay.fake.fault(delay_s=30.0)
        with relay.ask() as client:
            relay.seen()
            revoke(relay)
            head = client.recv(65536)
        relay.until(lambda: relay.fake.aborted == 1)
    assert head.startswith(b"HTTP/1.1 401 ")
    [row] = relay.rows()
    assert ("released", 0) == (row.state, row.charge)


def test_the_deadline_is_over_all_attempts(tmp_path: pathlib.Path) -> None:
    """Two upstreams that hang, within their own limits: 504 when the request's time is over, which
    is looked at each half second: later than one of them takes, and sooner than both."""
    with relaying(tmp_path, {"one": "vllm", "two": "vllm"}, request_timeout_s=1.0) as relay:
        for name, fake in relay.fakes.items():
            fake.fault(delay_s=30.0, times=9)
            relay.add_upstream(name, fake, first_byte_timeout_s=0.8)
        sites = relay.worker._configured
        relay.until(
            lambda: all(
                s.upstream._transport.limits.first_byte_timeout_s < 1  # type: ignore[attr-defined]
                for s in sites.sites.values()
            )
        )
        began = time.monotonic()
        answer = relay.user.complete(prompt="a b")
        assert 1.0 <= time.monotonic() - began < 1.0 + ENDED_WITHIN_S
        assert [1, 1] == [len(fake.seen) for fake in relay.fakes.values()]
    assert (504, "request_timeout") == (answer.status, answer.error["code"])
    [row] = relay.rows()
    assert ("released", 0, 504) == (row.state, row.charge, row.status)


def test_a_stream_beyond_its_deadline(tmp_path: pathlib.Path) -> None:
    """It breaks off with an event that says why, charged for what came; the upstream is closed."""
    with relaying(tmp_path, request_timeout_s=0.7) as relay:
        relay.fake.fault(interval_s=0.02)
        with relay.ask(stream=True, max_tokens=3000) as client:
            tail = rest(client)
        relay.until(lambda: relay.fake.aborted == 1)
    events = [line[6:] for line in tail.decode().split("\r\n") if line.startswith("data: ")]
    assert "request_timeout" == json.loads(events[-1].strip())["error"]["code"]
    [row] = relay.rows()
    assert ("interrupted", 504) == (row.state, row.status)
    assert 0 < (row.completion_tokens or 0) < 3000


def test_an_upstream_may_have_more_time_than_other_requests(tmp_path: pathlib.Path) -> None:
    """The deadline is never less than what an operator allows one attempt."""
    with relaying(tmp_path, request_timeout_s=0.5) as relay:
        assert 0.5 == relay.worker._configured.request_timeout_s()
        relay.add_upstream("fake", relay.fake, total_timeout_s=60.0)
        relay.until(lambda: relay.worker._configured.request_timeout_s() == 60.0)
        relay.fake.fault(delay_s=1.5)
        assert 200 == relay.user.complete(prompt="a b").status


def test_other_changes_end_nothing(tmp_path: pathlib.Path) -> None:
    """A key that was only changed goes on; so does an answer whose end is settled already."""
    with relaying(tmp_path) as relay:
        relay.fake.fault(interval_s=0.02)
        with relay.ask(stream=True, max_tokens=60) as client:
            relay.seen()
            relay.store.keys.update(record(relay).id, "test", name="changed")
            text = b""
            while not text.endswith(b"\r\n0\r\n\r\n"):
                text += client.recv(65536)
    assert b"[DONE]" in text
    assert ["settled"] == [row.state for row in relay.rows()]


def test_a_time_that_is_moved_holds_for_what_runs(tmp_path: pathlib.Path) -> None:
    """A stream goes on beyond the time that its key had when it began, where that was put off, and
    ends at the new one, long after the change."""
    with relaying(tmp_path) as relay:
        relay.fake.fault(interval_s=0.1)
        key_id, began = record(relay).id, time.time()

        def ends_in(seconds: float) -> None:
            until_us = int((began + seconds) * 1e6)
            relay.store.keys.update(key_id, "test", expires_us=until_us)

        ends_in(1.5)
        with relay.ask(stream=True, max_tokens=3000) as client:
            assert b"data: " in client.recv(65536) + client.recv(65536)
            ends_in(3.0)
            tail = rest(client)
        assert 3.0 <= time.time() - began < 3.0 + ENDED_WITHIN_S
    assert b"invalid_api_key" in tail


@pytest.fixture
def idle(tmp_path: pathlib.Path) -> Iterator[Relay]:
    with relaying(tmp_path) as relay:
        yield relay


def test_nothing_stays_behind(idle: Relay) -> None:
    """Turns are taken out, whatever became of them; a key that is unknown here changes nothing."""
    assert 200 == idle.user.complete(prompt="a").status
    assert 400 == idle.user.complete(prompt="a", n=-1).status
    under_way = idle.worker.room.under_way
    assert "<UnderWay 0>" == repr(under_way)
    assert set() == under_way.among(["key_unknown"])
    with pytest.raises(Missing):
        idle.store.keys.get("key_unknown")


def test_a_turn_that_cannot_tell_is_passed_over() -> None:
    """Who looks after deadlines goes on, and says whose checkpoint there is none of."""
    told: list[str] = []

    class Odd(Turn):
        """Fails, or tells."""

        def __init__(self, request_id: str) -> None:
            self.request_id = request_id

        def checkpoint(self) -> None:
            if self.request_id == "odd":
                raise ValueError
            told.append(self.request_id)

    under_way = UnderWay()
    under_way.turns = {Odd(name): None for name in ("odd", "even")}
    with hearing() as heard:
        under_way.checkpoint()
    assert ["even"] == told
    assert ["odd"] == [each["request_id"] for each in heard]
