"""Bugs of ours and a ledger that fails: on the fast path they end as in the room."""

import pathlib

import pytest

from tests.asking import Answer
from tests.flying import Sky, flying
from tests.test_fast_path import told
from tests.test_fast_path_leaving import Disk


@pytest.mark.parametrize("name", ["hold_at_once", "settle"])
def test_a_bug(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A 500 with the request's id, of this request alone; the connection goes on."""
    with flying(tmp_path) as sky, sky.warm() as caller:
        with monkeypatch.context() as broken:
            kept, times = getattr(sky.relay.worker._ledger, name), [1]

            def once(*given: object, **named: object) -> object:
                if times:
                    raise ValueError("a bug", times.pop())
                return kept(*given, **named)

            broken.setattr(sky.relay.worker._ledger, name, once)
            found = caller.complete()
        assert (500, "internal_error") == (found.status, found.error["code"])
        assert found.headers["x-request-id"] in found.error["message"]
        assert 200 == caller.complete().status
        assert 1 == sky.course.failed
        sky.quiet()


def test_a_bug_behind_the_answer(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is nobody's second answer."""
    with flying(tmp_path) as sky, sky.warm() as caller:
        with monkeypatch.context() as broken:
            broken.setattr(sky.relay.worker.room.books.log, "append", None)
            assert 200 == caller.complete().status
        for _ in range(2):
            assert 200 == caller.complete().status
        assert (3, 3, 0) == sky.course.counts
        sky.quiet()


def test_a_charge_that_is_not_written(tmp_path: pathlib.Path) -> None:
    """The same 503, line and row."""

    def scenario(sky: Sky) -> list[Answer]:
        disk = Disk(sky)
        with sky.warm() as caller:
            disk.full = True
            found = caller.complete()
            disk.full = False
            return [found]

    fast, room = (told(tmp_path / str(f), scenario, fast=f) for f in (True, False))
    assert (1, 0, 0) == fast.counts
    assert 503 == fast.answers[0][0]
    assert (room.answers, room.rows) == (fast.answers, fast.rows)
    assert (room.lines, room.numbers) == (fast.lines, fast.numbers)
