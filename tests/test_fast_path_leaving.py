"""Callers that leave, upstreams and keys that go, workers that stop: all while requests are on the
fast path. Whatever happens, nothing stays counted as under way."""

import contextlib
import json
import pathlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from baton.ledger.batch import QueuedEnd, QueuedHold
from baton.ledger.entries import CheckpointRow
from baton.stores.base import StoreUnavailable
from tests.flying import Kept, Sky, answer, flying
from tests.http.serving import rest
from tests.relaying import USER

CLOSED_WITHIN_S = 0.05


def closes(caller: Kept) -> None:
    caller.socket.close()


def resets(caller: Kept) -> None:
    caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    caller.socket.close()


def half_closes(caller: Kept) -> None:
    """As a client that leaves looks the same, it counts as gone."""
    caller.socket.shutdown(socket.SHUT_WR)


LEAVING = [closes, resets, half_closes]


def lines(log: pathlib.Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


class Disk:
    """The worker's journal on disk, which may wait or be full."""

    def __init__(self, sky: Sky) -> None:
        self.file = sky.relay.worker._ledger._journal._file
        self.append, self.free = self.file.append, threading.Event()
        self.full = False
        self.waiting = threading.Event()
        self.free.set()
        self.file.append = self.write  # type: ignore[method-assign]

    def write(
        self,
        holds: Sequence[tuple[int, QueuedHold]],
        checkpoints: Sequence[CheckpointRow],
        settles: Sequence[tuple[int, QueuedEnd]],
    ) -> None:
        if settles:
            self.waiting.set()
            assert self.free.wait(10)
        if self.full:
            raise StoreUnavailable("no space left")
        self.append(holds, checkpoints, settles)


@pytest.mark.parametrize("leave", LEAVING)
def test_before_the_answer(tmp_path: pathlib.Path, leave: Callable[[Kept], None]) -> None:
    """The upstream is let go at once, nothing is charged, and the log says that nobody was there to
    hear of it."""
    log = tmp_path / "log"
    with flying(tmp_path, access_log=str(log)) as sky:
        with sky.warm() as caller:
            sky.upstream.answers(answer(), held=True)
            caller.send()
            sky.asked(2)
            began_s = time.monotonic()
            leave(caller)
            sky.until(lambda: sky.upstream.aborted == 1)
            assert time.monotonic() - began_s < CLOSED_WITHIN_S + 0.2  # of a busy machine
            sky.quiet()
        assert (1, 0, 0) == sky.course.counts
        assert 200 == sky.relay.user.complete(prompt="a").status
    rows, told = sky.relay.rows(), lines(log)
    assert ["settled", "released", "settled"] == [row.state for row in rows]
    assert (0, 499) == (rows[1].charge, rows[1].status)
    assert [200, 0, 200] == [line["status"] for line in told]


def test_while_the_charge_is_written(tmp_path: pathlib.Path) -> None:
    """It is charged, as the answer was there; the connection is served no more."""
    log = tmp_path / "log"
    with flying(tmp_path, access_log=str(log)) as sky:
        disk = Disk(sky)
        with sky.warm() as caller:
            disk.free.clear()
            disk.waiting.clear()
            caller.send()
            assert disk.waiting.wait(5)
            half_closes(caller)
            sky.until(lambda: sky.relay.shared.exchanges == 0)
            disk.free.set()
            assert b"" == rest(caller.socket)
            sky.quiet()
        assert (1, 0, 0) == sky.course.counts
    rows = sky.relay.rows()
    assert [(11, "settled")] * 2 == [(row.charge, row.state) for row in rows]
    assert [200, 0] == [line["status"] for line in lines(log)]


def test_around_the_answer(tmp_path: pathlib.Path) -> None:
    """At any moment: each is charged or released, and none is counted twice or for ever."""
    count = 90
    with flying(tmp_path) as sky:
        for number in range(count):
            with sky.kept() as caller:
                caller.complete()
                caller.send()
                time.sleep(number % 30 * 1e-4)
                with contextlib.suppress(OSError):
                    LEAVING[number % 3](caller)
        sky.quiet()
        boarded, flown, _ = sky.course.counts
        assert count - 5 <= boarded <= count  # an upstream that was left closes its connection
        assert 0 < flown < boarded
    rows = sky.relay.rows()
    assert {("settled", 11), ("released", 0)} >= {(row.state, row.charge) for row in rows}


def test_a_full_disk(tmp_path: pathlib.Path) -> None:
    """Nobody gets a text whose charge is not on the ledger: 503, and nothing is charged. Others of
    the same commit are told as well; then all is as before."""
    with flying(tmp_path) as sky:
        disk = Disk(sky)
        callers = [sky.kept() for _ in range(4)]
        for caller in callers:
            caller.complete()
        disk.full = True
        disk.free.clear()
        for caller in callers:
            caller.send()
        assert disk.waiting.wait(5)
        sky.until(lambda: len(sky.upstream.requests) == 8)
        disk.free.set()
        statuses = [caller.receive().status for caller in callers]
        assert [503] * 4 == statuses
        assert sky.course.failed + sky.course.landed == sky.course.boarded == 4
        disk.full = False
        time.sleep(0.6)  # journal.RETRY_S: what is kept is written
        assert [200] * 4 == [caller.complete().status for caller in callers]
        for caller in callers:
            caller.socket.close()
        sky.quiet()
    rows = sky.relay.rows()
    assert 8 * 11 == sum(row.charge for row in rows)


def test_pipelined(tmp_path: pathlib.Path) -> None:
    """What comes behind a flight waits for it, plain or not, and is answered in its order."""
    with flying(tmp_path) as sky, sky.warm() as caller:
        for _ in range(3):
            sky.upstream.opened.clear()
            sky.upstream.answers(answer(), held=True)
            caller.send()
            sky.asked(len(sky.upstream.requests))
            models = caller.request(prompt="b") + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
            caller.socket.sendall(models + caller.request(model="other"))
            sky.open()
            found = b""
            while found.count(b"HTTP/1.1 ") < 4 or not found.endswith(b"}}"):
                part = caller.socket.recv(65536)
                assert part, found
                found += part
            statuses = [part[:3] for part in found.split(b"HTTP/1.1 ")[1:]]
            assert [b"200", b"200", b"200", b"404"] == statuses
            assert 200 == caller.complete().status  # its head is read anew
        assert sky.course.boarded >= 3
        caller.socket.close()
        sky.quiet()


def test_garbage_behind(tmp_path: pathlib.Path) -> None:
    """Hangs up, as it does on a request in the room, and the flight is lost with it."""
    with flying(tmp_path) as sky:
        for held in (True, False):
            with sky.warm() as caller:
                caller.complete()
                sky.upstream.answers(answer(), held=held)
                caller.send()
                caller.socket.sendall(b"GARBAGE\r\n\r\n")
                with contextlib.suppress(OSError):
                    rest(caller.socket)
        sky.quiet()


@pytest.mark.parametrize("parts", [[answer()], [answer()[:-9], answer()[-9:]]])
@pytest.mark.parametrize("change", ["removed", "replaced", "elsewhere"])
def test_a_change_of_the_upstream(tmp_path: pathlib.Path, parts: list[bytes], change: str) -> None:
    """A request keeps the upstream that it began with, also when its answer comes in parts."""
    with flying(tmp_path) as sky, sky.warm() as caller:
        sky.upstream.answers(*parts, held=True)
        caller.send()
        sky.asked(2)
        store = sky.relay.store.upstreams
        if change == "replaced":
            sky.relay.add_upstream_at("fake", sky.upstream.url, "vllm", "renamed", weight=3)
        elif change == "elsewhere":
            sky.relay.add_upstream("fake", sky.relay.fake)
        else:
            store.remove("fake", "test")
        sky.relay.run(sky.relay.worker.refresh())
        sky.open()
        assert 200 == caller.receive().status
        assert (404 if change == "removed" else 200) == caller.complete().status
        assert sky.course.boarded >= 1
        sky.quiet()
    first = sky.relay.rows()[1]
    assert ("fake", 11, "settled") == (first.upstream, first.charge, first.state)


def test_a_key_that_is_revoked(tmp_path: pathlib.Path) -> None:
    """Takes its flights along, and is not known on lanes any more."""
    with flying(tmp_path) as sky, sky.warm() as caller:
        sky.upstream.answers(answer(), held=True)
        caller.send()
        sky.asked(2)
        [record] = sky.relay.store.keys.find(USER)
        sky.relay.store.keys.revoke(record.id, "test")
        ended = caller.receive()
        assert (401, 401) == (ended.status, caller.complete().status)
        sky.until(lambda: sky.upstream.aborted == 1)
        assert (1, 0, 1) == sky.course.counts
        sky.quiet()
    assert [("settled", 11), ("released", 0)] == [(r.state, r.charge) for r in sky.relay.rows()]


def test_a_key_that_expires(tmp_path: pathlib.Path) -> None:
    """Not a moment longer than its time, though its lane was just made."""
    with flying(tmp_path) as sky:
        sky.relay.key("brief")
        [record] = sky.relay.store.keys.find("brief")
        ends_us = time.time_ns() // 1000 + 600_000
        sky.relay.store.keys.update(record.id, "test", expires_us=ends_us)
        time.sleep(0.25)
        found: list[tuple[int, int]] = []
        with sky.kept("brief") as caller:
            while time.time_ns() // 1000 < ends_us + 200_000:
                sent_us = time.time_ns() // 1000
                found.append((sent_us, caller.complete().status))
        assert all(status == 401 for sent_us, status in found if sent_us >= ends_us)
        assert 200 in {status for _, status in found}
        assert sky.course.boarded > 0
        sky.quiet()


def test_the_deadline(tmp_path: pathlib.Path) -> None:
    """Holds for what landed, from its arrival on."""
    limits: dict[str, Any] = {"request_timeout_s": 1.0, "upstream_total_timeout_s": 1.0}
    with flying(tmp_path, **limits) as sky, sky.warm() as caller:
        sky.upstream.answers(answer(), held=True)
        began_s = time.monotonic()
        assert 504 == caller.complete().status
        assert 1.0 <= time.monotonic() - began_s < 3.0
        assert (1, 0, 1) == sky.course.counts
        sky.quiet()


def test_too_many_in_flight(tmp_path: pathlib.Path) -> None:
    """Flights count: beyond the most there is 503; then there is room again."""
    with flying(tmp_path, requests_in_flight_max=2) as sky:
        with sky.warm() as one, sky.warm() as two, sky.warm() as third:
            for caller in (one, two):
                sky.upstream.answers(answer(), held=True)
                caller.send()
            sky.asked(5)
            assert 503 == third.complete().status
            sky.open()
            assert [200, 200] == [one.receive().status, two.receive().status]
            assert 200 == third.complete().status
        sky.quiet()


@pytest.mark.parametrize("late", [False, True])
def test_a_worker_that_stops(tmp_path: pathlib.Path, late: bool) -> None:
    """Answers what is out, and then closes; also where only the charge is waited for."""
    with flying(tmp_path) as sky:
        disk = Disk(sky)
        with sky.warm() as caller:
            sky.upstream.answers(answer(), held=not late)
            if late:
                disk.free.clear()
            disk.waiting.clear()
            caller.send()
            sky.asked(2)
            if late:
                assert disk.waiting.wait(5)
            sky.relay.shared.draining = True
            sky.relay.server.should_exit = True
            sky.until(lambda: late or sky.course.landed == 1)
            sky.open()
            disk.free.set()
            found = caller.receive()
            assert 200 == found.status
            assert late or "close" == found.headers["connection"]
            assert (1, int(late), int(not late)) == sky.course.counts
            caller.socket.settimeout(5)
            assert b"" == caller.socket.recv(9)
    assert [11, 11] == [row.charge for row in sky.relay.rows()]
