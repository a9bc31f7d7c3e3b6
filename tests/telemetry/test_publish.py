"""Numbers of several processes: files that replace each other, sums that never fall."""

import asyncio
import functools
import os
import pathlib
import time

import msgspec

from baton.telemetry.condition import Condition
from baton.telemetry.metrics import Metrics
from baton.telemetry.publish import DEAD_AFTER_S, Publisher
from baton.telemetry.upstreams import UpstreamNumbers


def neighbour(
    folder: pathlib.Path, pid: int, age_s: float = 0.0, requests: int = 5
) -> pathlib.Path:
    """The file of another process, written `age_s` ago."""
    metrics = Metrics()
    for _ in range(requests):
        metrics.series("tiny", "embedded").answered(200, 0.1)
    metrics.in_flight = 2
    metrics.upstreams = lambda: [UpstreamNumbers("gpu", {"ejected": 1}, 7, 1)]
    path = folder / f"metrics-{pid}.msgpack"
    path.write_bytes(msgspec.msgpack.encode(metrics.snapshot()))
    then = time.time() - age_s
    os.utime(path, (then, then))
    return path


def test_own_live_numbers_and_the_others_files_are_added(tmp_path: pathlib.Path) -> None:
    """A scrape sees what this process counted a moment ago and what its neighbours published."""
    mine = Publisher(Metrics(), tmp_path)
    neighbour(tmp_path, 1)
    mine.metrics.series("tiny", "embedded").answered(200, 0.1)
    merged = mine.merged()
    assert (6, 2, 2) == (merged.series[0].statuses[2], merged.in_flight, merged.processes)


def test_the_dead_keep_their_counters_and_lose_their_gauges(tmp_path: pathlib.Path) -> None:
    """A file that nobody renews counts, but nothing is in flight there any more."""
    mine = Publisher(Metrics(), tmp_path)
    neighbour(tmp_path, 1, age_s=DEAD_AFTER_S + 1)
    merged = mine.merged()
    assert (5, 0, 1) == (merged.series[0].statuses[2], merged.in_flight, merged.processes)
    gpu = merged.upstream("gpu")
    assert ({}, 0, 1) == (gpu.states, gpu.in_flight, gpu.ejections)


def test_a_new_process_goes_on_where_the_dead_stopped(tmp_path: pathlib.Path) -> None:
    """Old files, and one of this process's own number, are adopted and deleted; living ones
    stay.
    """
    old = neighbour(tmp_path, 1, age_s=DEAD_AFTER_S + 1)
    own = neighbour(tmp_path, os.getpid())
    alive = neighbour(tmp_path, 2)

    async def run() -> int:
        publisher = Publisher(Metrics(), tmp_path)
        publisher.start()
        total = publisher.merged().series[0].statuses[2]
        await publisher.stop()
        return total

    assert 15 == asyncio.run(run())
    assert [False, True, True] == [path.exists() for path in (old, own, alive)]
    left = msgspec.msgpack.decode(own.read_bytes())
    assert [0, 0, 10, 0, 0, 0] == left["series"][0]["statuses"]


def test_the_file_is_written_only_when_a_number_changed(tmp_path: pathlib.Path) -> None:
    """An idle process does not wear its disk; a changed number is published at once."""
    publisher = Publisher(Metrics(), tmp_path)
    written = [publisher.publish(), publisher.publish()]
    publisher.metrics.held()
    written.append(publisher.publish())
    assert [True, False, True] == written
    assert [publisher.path] == list(tmp_path.iterdir())


def test_a_foreign_file_is_passed_over(tmp_path: pathlib.Path) -> None:
    """What another version wrote (or a torn disk left) spoils no scrape and no start."""
    (tmp_path / "metrics-1.msgpack").write_bytes(b"\xc1 not ours")
    os.utime(tmp_path / "metrics-1.msgpack", (1, 1))

    async def run() -> int:
        publisher = Publisher(Metrics(), tmp_path)
        before = publisher.merged().processes
        publisher.start()
        await publisher.stop()
        return before

    assert 1 == asyncio.run(run())
    assert 1 == len(list(tmp_path.iterdir()))


def test_a_full_disk_does_not_end_the_counting(tmp_path: pathlib.Path) -> None:
    """When the folder is lost the process goes on, and publishes again once it is back."""
    folder = tmp_path / "run"

    async def run() -> bool:
        publisher = Publisher(Metrics(), folder)
        publisher.start()
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        await asyncio.sleep(0)  # one turn: the task meets the missing folder
        folder.mkdir()
        await publisher.stop()
        return publisher.path.exists()

    assert asyncio.run(run())


def test_who_was_killed_is_counted_once(tmp_path: pathlib.Path) -> None:
    """A process that took its leave is not; the other counts as soon as it counts as dead, and for
    good once it is adopted."""
    neighbour(tmp_path, 1, age_s=DEAD_AFTER_S + 1)

    async def run() -> list[int]:
        first = Publisher(Metrics(), tmp_path)
        found = [first.merged().lost, first.merged().lost]
        first.start()
        found.append(first.merged().lost)
        await first.stop()
        second = Publisher(Metrics(), tmp_path)  # takes the file over: it has the same number
        second.start()
        found.append(second.merged().lost)
        await second.stop()
        return found

    assert [1, 1, 1, 1] == asyncio.run(run())


def test_the_condition_of_the_living_is_told(tmp_path: pathlib.Path) -> None:
    """Of this process and its neighbours, not of the dead."""
    mine, theirs, gone = (Publisher(Metrics(), tmp_path) for _ in range(3))
    for publisher, seconds in ((mine, 1), (theirs, 70), (gone, 900)):
        publisher.metrics.condition = functools.partial(
            Condition, unfolded_s=seconds, counting_apart=1
        )
    theirs.path, gone.path = tmp_path / "metrics-1.msgpack", tmp_path / "metrics-2.msgpack"
    theirs.publish()
    gone.publish()
    then = time.time() - DEAD_AFTER_S - 1
    os.utime(gone.path, (then, then))
    assert Condition(unfolded_s=70, counting_apart=2) == mine.merged().condition


def test_who_took_its_leave_lives_no_more(tmp_path: pathlib.Path) -> None:
    """From then on, not only when its file has aged: after a reload no worker is counted twice."""
    mine, gone = Publisher(Metrics(), tmp_path), Publisher(Metrics(), tmp_path)
    gone.path = tmp_path / "metrics-1.msgpack"
    gone.metrics.condition = functools.partial(Condition, journals_failing=1)
    told = []
    for left in (False, True):
        gone.publish(left=left)
        merged = mine.merged()
        told.append((merged.processes, merged.condition.journals_failing, merged.lost))
    assert [(2, 1, 0), (1, 0, 0)] == told
