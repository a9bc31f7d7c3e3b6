"""One worker's parts together: what changes reach it, what it tells, how it ends."""

import asyncio
import os
import pathlib
import threading
import time
from collections.abc import Callable

import pytest

from baton.app import Worker
from baton.config import Settings
from baton.routing.health import FAILURES_MAX
from baton.stores.base import ChangeRecord, StoreError
from baton.telemetry import diary
from baton.upstreams.failures import failure
from tests.bookkeeping import new_store
from tests.engine.process import engine_process
from tests.fakes import tiny_gguf
from tests.relaying import MODEL, THEIRS, generated, relaying

WITHIN_S = 2.0
ERRORS = 'baton_log_lines_total{level="error"}'


def soon(condition: Callable[[], bool]) -> None:
    """It takes effect within a second (and another one on a busy machine)."""
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def value(exposition: str, name: str) -> str:
    """Of a sample in what a scraper reads."""
    [line] = [each for each in exposition.splitlines() if each.startswith(f"{name} ")]
    return line.rpartition(" ")[2]


def test_changes_by_others_take_effect(tmp_path: pathlib.Path) -> None:
    """A model that was added, a price that was set and a key that was revoked: within a second."""
    with relaying(tmp_path) as relay:
        leaver = relay.key("leaver")
        assert 200 == leaver.complete(prompt="a").status
        [key] = [each for each in relay.store.keys.all() if each.name == "leaver"]
        relay.store.keys.revoke(key.id, "test")
        relay.store.upstreams.update("fake", "test", models={MODEL: THEIRS, "new": THEIRS})
        soon(lambda: relay.user.complete(model="new", prompt="a").status == 200)
        soon(lambda: leaver.complete(prompt="a").status == 401)
        names = [model["id"] for model in relay.user.get("/v1/models").json["data"]]
    assert {MODEL, "new"} == set(names)


def _entry(kind: str) -> ChangeRecord:
    return ChangeRecord(seq=1, at_us=2, actor="test", kind=kind, object_id="x", action="read")


def test_only_what_is_planned_with_is_loaded_anew(tmp_path: pathlib.Path) -> None:
    """Not for an entry of the log that tells who read a content."""

    async def reacting(worker: Worker, kind: str) -> bool:
        worker._changed([_entry(kind)])
        return bool(worker._reacting)

    with relaying(tmp_path) as relay:
        assert not relay.run(reacting(relay.worker, "content"))
        assert relay.run(reacting(relay.worker, "price"))


def test_what_is_new_was_read_as_it_is(tmp_path: pathlib.Path) -> None:
    """That a key was made is heard after it was used: its caller and what it was lent stay."""

    async def reacting(worker: Worker, changes: list[ChangeRecord]) -> tuple[bool, bool]:
        worker._changed(changes)
        return bool(worker._reacting), worker._gate.known(shown) is not None

    with relaying(tmp_path) as relay:
        new = relay.key("new", budget_nano=10**9)
        assert 200 == new.complete(prompt="a").status
        [key] = [each for each in relay.store.keys.all() if each.name == "new"]
        [made] = relay.store.changes.newest_first(object_id=key.id)
        shown = f"Bearer {new.key}".encode()
        assert (False, True) == relay.run(reacting(relay.worker, [made]))
        relay.store.keys.update(key.id, "test", budget_nano=2 * 10**9)
        changed, _ = relay.store.changes.newest_first(object_id=key.id)
        assert (True, False) == relay.run(reacting(relay.worker, [made, changed]))


def test_readiness(tmp_path: pathlib.Path) -> None:
    """Ready with an upstream; not while it drains. It is alive in any case."""
    with relaying(tmp_path) as relay:
        ready = relay.user.get("/readyz")
        relay.worker.drain()
        draining = relay.user.get("/readyz")
        alive = relay.user.get("/healthz")
    assert [200, 503, 200] == [answer.status for answer in (ready, draining, alive)]


def test_how_it_is_stands_in_the_metrics(tmp_path: pathlib.Path) -> None:
    """A journal that takes nothing, and what was logged of it."""
    with relaying(tmp_path) as relay:
        sound = relay.user.get("/metrics").text
        relay.worker._ledger._journal.failing = True
        diary.error("the disk is full")
        broken = relay.user.get("/metrics").text
        relay.worker._ledger._journal.failing = False
    for line, words in (("baton_journals_failing", "0.0 1.0"), (ERRORS, "0.0 1.0")):
        assert words.split() == [value(each, line) for each in (sound, broken)]
    assert ["0.0"] * 2 == [
        value(sound, f"baton_{name}") for name in ("unfolded_seconds", "counting_apart")
    ]


def test_a_callers_own_usage(tmp_path: pathlib.Path) -> None:
    """Reports come from the book that completions are folded into."""
    with relaying(tmp_path) as relay:
        admin = relay.key("admin", role="admin")
        relay.user.complete(prompt="a b")
        counted = generated("a b").counted
        soon(lambda: f'"completion_tokens":{counted}' in admin.get("/admin/v1/usage").text)


def test_embedded(tmp_path: pathlib.Path) -> None:
    """Its model is listed, tokens and text come from it as soon as the engine is there, which is
    waited for; not so one that died."""
    model = tiny_gguf.write(tmp_path / "tiny.gguf")
    (tmp_path / "run").mkdir()
    with relaying(tmp_path, model="tiny") as relay:
        before = relay.user.get("/readyz")
        with engine_process(model, tmp_path / "run"):
            soon(lambda: relay.user.get("/readyz").json["engine"] == "ok")
            names = [model["id"] for model in relay.user.get("/v1/models").json["data"]]
            body = {"model": "tiny", "prompt": "ab"}
            tokens = relay.user.post("/tokenize", body)
            answer = relay.user.post("/v1/completions", {**body, "max_tokens": 3})
        after = relay.user.get("/readyz")
    assert (503, "loading") == (before.status, before.json["engine"])
    assert (200, "down") == (after.status, after.json["engine"])
    assert {"tiny", MODEL} == set(names)
    assert 200 == tokens.status, tokens.text
    assert "embedded" == answer.headers["x-baton-upstream"]
    assert answer.json["usage"]["prompt_tokens"] == tokens.json["count"]
    assert ["settled"] == [row.state for row in relay.rows()]


def test_its_end_is_complete(tmp_path: pathlib.Path) -> None:
    """Threads and tasks are gone, the journal is folded and the next worker begins where it
    ended."""
    before = threading.active_count()
    for count in (1, 2):
        with relaying(tmp_path) as relay:
            assert 200 == relay.user.complete(prompt="a").status
        assert count == len(relay.rows())
        relay_gone = [t for t in threading.enumerate() if t.name in ("journal", "changes")]
        assert [] == relay_gone
    soon(lambda: threading.active_count() <= before)


def test_how_upstreams_fared_is_in_the_book(tmp_path: pathlib.Path) -> None:
    """By the end at the latest: requests, and each change of state with this process's name."""
    with relaying(tmp_path) as relay:
        assert 200 == relay.user.complete(prompt="a", stream=True).status
        site = relay.worker._configured.sites["fake"]
        for _ in range(FAILURES_MAX):
            site.failed(failure("connect", "refused"))
    store = new_store(tmp_path)
    slots = store.history.slots(["fake"], 60, 0, 2**40)
    assert (1, FAILURES_MAX, 1) == tuple(
        sum(getattr(slot, name) for slot in slots)
        for name in ("requests", "failed_calls", "ejections")
    )
    assert 1 == sum(sum(slot.first.values()) for slot in slots)
    [change] = store.history.changes("fake", 10)
    assert ("ejected", "connect refused") == (change.state, change.reason)
    assert change.worker.endswith(f"/{os.getpid()}")
    store.close()


def test_what_was_open_is_closed_when_it_cannot_begin(tmp_path: pathlib.Path) -> None:
    """A book that cannot be used: an error of the store, no half of a worker."""
    (tmp_path / "baton.db").write_bytes(b"not a book" * 100)

    async def begin() -> None:
        async with Worker(Settings(home=str(tmp_path), model="none")):
            raise AssertionError("it began")

    with pytest.raises(StoreError):
        asyncio.run(begin())
