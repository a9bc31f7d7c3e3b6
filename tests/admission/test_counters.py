"""Rates shared by the processes of a machine: exact over all of them, whoever dies."""

import asyncio
import fcntl
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import time
from multiprocessing.synchronize import Barrier

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from baton.admission import counters as module
from baton.admission.counters import MachineCounters
from baton.admission.rates import Left, Limit
from baton.stores.base import StoreUnavailable

PROCESSES, ATTEMPTS, ROOM = 8, 125, 100
REQUESTS = Limit("key:a", "a", requests_per_minute=ROOM)
BOTH = (
    Limit("key:a", "a", tokens_per_minute=1_000, requests_at_once=3),
    Limit("team:t", "t", tokens_per_minute=600),
)


def passes(counters: MachineCounters, *limits: Limit) -> bool:
    decision = counters.arrive_at_once(limits)
    return decision is None or decision.allowed


def reserves(counters: MachineCounters, tokens: int) -> bool:
    decision = asyncio.run(counters.reserve(BOTH, tokens))
    assert decision is not None
    return decision.allowed


def test_processes_share_a_limit(tmp_path: pathlib.Path) -> None:
    """What one counts the others see; each has a slot of its own."""
    first, second = MachineCounters(tmp_path), MachineCounters(tmp_path)
    assert (0, 1) == (first.slot, second.slot)
    limit = Limit("key:a", "a", requests_per_minute=3)
    assert [True, True, True, False] == [
        passes(counters, limit) for counters in (first, second, first, second)
    ]
    assert passes(first, Limit("key:b", "b", requests_per_minute=1)), "another scope"
    assert (Left(0, None, None),) == second.left((limit,))


def test_all_limits_of_requests_count(tmp_path: pathlib.Path) -> None:
    """Whichever of them is the tighter; what one refuses is counted by none."""
    counters = MachineCounters(tmp_path)
    wide, narrow = (Limit(name, name, requests_per_minute=n) for name, n in (("a", 5), ("b", 1)))
    for limits in ((wide, narrow), (narrow, wide)):
        assert [limits == (wide, narrow), False] == [passes(counters, *limits) for _ in range(2)]
        assert {wide: Left(4, None, None), narrow: Left(0, None, None)} == dict(
            zip(limits, counters.left(limits), strict=True)
        )


def test_who_starts_counts_what_the_living_have_under_way(tmp_path: pathlib.Path) -> None:
    """Also of a limit that counts requests by the minute, too."""
    limit = Limit("key:a", "a", requests_per_minute=9, requests_at_once=2)
    living = MachineCounters(tmp_path)
    assert passes(living, limit)
    assert (Left(8, None, 1),) == MachineCounters(tmp_path).left((limit,))


def test_what_the_dead_had_under_way_is_over(tmp_path: pathlib.Path) -> None:
    """Whoever starts next frees what a dead process held, and nothing of the living."""
    living, dead = MachineCounters(tmp_path), MachineCounters(tmp_path)
    for counters, tokens in ((living, 100), (dead, 200), (dead, 250)):
        assert passes(counters, *BOTH)
        assert reserves(counters, tokens)
    assert (Left(None, 450, 0), Left(None, 50, None)) == living.left(BOTH)
    assert not passes(living, *BOTH)
    dead.close()
    fresh = MachineCounters(tmp_path)
    assert 1 == fresh.slot
    assert (Left(None, 900, 2), Left(None, 500, None)) == fresh.left(BOTH)
    living.end(BOTH, 100, 60)
    left = fresh.left(BOTH)
    assert [3, None] == [each.at_once for each in left]
    assert 940 <= (left[0].tokens or 0) <= 945


def test_rows_are_taken_over_when_idle(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy limit keeps its row however many others come; beyond them nothing is let through
    uncounted."""
    monkeypatch.setattr(module, "SETS", 1)
    counters = MachineCounters(tmp_path)
    busy = [Limit(f"key:{number}", "", requests_at_once=1) for number in range(module.WAYS)]
    assert all(passes(counters, limit) for limit in busy)
    with pytest.raises(StoreUnavailable, match="too many limits"):
        passes(counters, Limit("key:late", "", requests_at_once=1))
    counters.end((busy[0],), 0, 0)
    assert passes(counters, Limit("key:late", "", requests_at_once=1))
    assert not any(passes(counters, limit) for limit in busy[1:])
    with pytest.raises(StoreUnavailable):
        passes(counters, busy[0])


def test_a_request_ends_where_its_row_is_gone(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had nothing under way in it (its tokens were refused), and there is no room for it."""
    monkeypatch.setattr(module, "SETS", 1)
    counters = MachineCounters(tmp_path)
    refused, left = Limit("key:a", "a", tokens_per_minute=9), Limit("b", "b", requests_at_once=1)
    assert passes(counters, refused, left)
    busy = [Limit(f"key:{number}", "", requests_at_once=1) for number in range(module.WAYS - 1)]
    assert all(passes(counters, limit) for limit in busy)
    counters.end((refused, left), 0, 0)
    assert passes(counters, left)


def test_limits_of_one_request_have_a_row_each(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where all of them are new, and belong into one set: none takes the row of another."""
    monkeypatch.setattr(module, "SETS", 1)
    counters = MachineCounters(tmp_path)
    limits = tuple(Limit(f"key:{number}", "", requests_at_once=2) for number in range(3))
    assert passes(counters, *limits)
    assert [1, 1, 1] == [each.at_once for each in counters.left(limits)]
    counters.end(limits, 0, 0)
    assert [2, 2, 2] == [each.at_once for each in counters.left(limits)]


def test_a_stopped_neighbour_stops_nobody(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who holds the lock and does not let go is waited for once, until it is free again."""
    monkeypatch.setattr(module, "LOCK_WAIT_S", 0.05)
    first, second = MachineCounters(tmp_path), MachineCounters(tmp_path)
    assert first._take()
    began = time.monotonic()
    assert passes(second, REQUESTS)
    waited = time.monotonic()
    assert all(passes(second, REQUESTS) for _ in range(20))
    assert waited - began > 0.05 > time.monotonic() - waited
    first._release(True)
    assert (Left(ROOM - 21, None, None),) == first.left((REQUESTS,))
    assert second._take()
    assert 0.05 == second._patience_s


def test_no_folder_no_counting(tmp_path: pathlib.Path) -> None:
    """Where the file cannot be, the worker does not start as if nothing were limited."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match="cannot be counted"):
        MachineCounters(tmp_path / "file/rates")


FULL = """
import asyncio, pathlib, sys
from baton.admission.counters import MachineCounters
from baton.admission.rates import Limit
from baton.stores.base import StoreUnavailable
folder = pathlib.Path(sys.argv[1])
counters = MachineCounters(folder)
def arrive(name):
    limit = Limit(name, name, requests_per_minute=9, tokens_per_minute=9)
    return asyncio.run(counters.arrive((limit,))).remaining
told, filler = [arrive("key:a")], (folder / "filler").open("wb", buffering=0)
try:
    while filler.write(bytes(4096)):
        pass
except OSError:
    told.append(arrive("key:a"))
try:
    for number in range(9):
        arrive(f"key:{number}")
except StoreUnavailable as error:
    told.append(str(error))
print(told)
"""


def test_a_full_disk_kills_nobody(tmp_path: pathlib.Path) -> None:
    """Limits that are counted go on; another one is refused."""
    mounted = 'mount -t tmpfs -o size=4m tmpfs "$1" && exec "$2" -c "$3" "$1"'
    words = ["unshare", "-rm", "sh", "-c", mounted, "sh", str(tmp_path), sys.executable, FULL]
    if subprocess.run(["unshare", "-rm", "true"], check=False).returncode != 0:
        pytest.skip("no file system of one's own may be mounted here")
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.startswith("[8, 7, 'another limit cannot be counted: ")


def test_another_version_has_another_file(tmp_path: pathlib.Path) -> None:
    """What another version left is not read, and goes."""
    (tmp_path / "cells").write_bytes(b"old")
    assert passes(MachineCounters(tmp_path), REQUESTS)
    (cells,) = tmp_path.glob("cells*")
    assert module.FILE_BYTES == cells.stat().st_size
    assert 10_000_000 > cells.stat().st_blocks * 512, "sparse"


async def race(folder: pathlib.Path, start: Barrier) -> None:
    """Arrive as often as one may, all at once; tell how many passed, and die without a word.

    Beside tests that sync to the disk all the time, the first write of a row may take a second, and
    who goes on without the lock counts less exactly: here nobody does."""
    module.LOCK_WAIT_S = 30.0
    counters, passed = MachineCounters(folder), 0
    start.wait()
    for _ in range(ATTEMPTS):
        decision = await counters.arrive((REQUESTS,))
        passed += decision is not None and decision.allowed
    os.write(1, f"{passed}\n".encode())
    os.kill(os.getpid(), signal.SIGKILL)


def racer(folder: pathlib.Path, start: Barrier) -> None:
    asyncio.run(race(folder, start))


def starter(folder: pathlib.Path, start: Barrier) -> None:
    """Begin without the lock, all at once; tell which file (its inode) is mapped."""
    module.START_WAIT_S = 0.0
    start.wait()
    counters = MachineCounters(folder)
    (mapped,) = [
        line.split()[4]
        for line in pathlib.Path("/proc/self/maps").read_text().splitlines()
        if f"{folder}/cells" in line
    ]
    os.write(1, f"{mapped}\n".encode())
    counters.close()


def in_processes(target: str, folder: pathlib.Path) -> list[int]:
    """What each of so many processes tells."""
    ended = subprocess.run(
        [sys.executable, __file__, target, str(folder)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parents[2])},
        check=True,
    )
    told = [int(line) for line in ended.stdout.split()]
    assert PROCESSES == len(told)
    return told


def test_eight_processes_at_once(tmp_path: pathlib.Path) -> None:
    """1,000 requests in eight processes against 100 a minute: exactly 100 pass, and those that
    refill while it runs."""
    began = time.monotonic()
    counts = in_processes("racer", tmp_path)
    refilled = int((time.monotonic() - began) * ROOM / 60)
    assert ROOM <= sum(counts) <= ROOM + refilled, counts


def test_who_starts_without_the_lock_counts_with_the_others(tmp_path: pathlib.Path) -> None:
    """While a stopped neighbour has it, there is still one file."""
    stuck = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(stuck, fcntl.LOCK_EX)
    assert 1 == len(set(in_processes("starter", tmp_path)))
    os.close(stuck)


class CountersMachine(RuleBasedStateMachine):
    """Processes that start, die, and let requests in and end them, beside a plain count."""

    @initialize()
    def begin(self) -> None:
        self.folder = pathlib.Path(TEMPORARY[0]) / f"{len(list(TEMPORARY[0].iterdir()))}"
        self.processes: list[MachineCounters] = []
        self.running: list[tuple[MachineCounters, int]] = []
        self.starts()

    @rule()
    def starts(self) -> None:
        if len(self.processes) < 3:
            self.processes.append(MachineCounters(self.folder))

    @rule(which=st.integers(0, 2), tokens=st.integers(0, 700))
    def arrives(self, which: int, tokens: int) -> None:
        counters = self.processes[which % len(self.processes)]
        if not passes(counters, *BOTH):
            assert 3 == len(self.running)
            return
        assert len(self.running) < 3
        if reserves(counters, tokens):
            self.running.append((counters, tokens))
        else:
            assert sum(reserved for _, reserved in self.running) + tokens > 600
            counters.end(BOTH, 0, 0)

    @rule(which=st.integers(0, 2))
    def ends(self, which: int) -> None:
        if self.running:
            counters, tokens = self.running.pop(which % len(self.running))
            counters.end(BOTH, tokens, 0)

    @rule(which=st.integers(0, 2))
    def dies(self, which: int) -> None:
        if len(self.processes) > 1:
            dead = self.processes.pop(which % len(self.processes))
            dead.close()
            self.running = [pair for pair in self.running if pair[0] is not dead]
            self.processes.append(MachineCounters(self.folder))

    @invariant()
    def all_see_the_same(self) -> None:
        if not hasattr(self, "processes"):
            return
        reserved = sum(tokens for _, tokens in self.running)
        expected = (
            Left(None, 1_000 - reserved, 3 - len(self.running)),
            Left(None, 600 - reserved, None),
        )
        for counters in self.processes:
            assert expected == counters.left(BOTH)

    def teardown(self) -> None:
        for counters in self.processes:
            counters.close()


TEMPORARY: list[pathlib.Path] = []


def test_counters_machine(tmp_path: pathlib.Path) -> None:
    """At every moment every process sees what the living have under way, and nothing else."""
    TEMPORARY[:] = [tmp_path]
    case = CountersMachine.TestCase
    case.settings = settings(
        max_examples=25,
        stateful_step_count=20,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    case("runTest").runTest()


if __name__ == "__main__":
    forked = multiprocessing.get_context("fork")
    start = forked.Barrier(PROCESSES)
    children = [
        forked.Process(target=globals()[sys.argv[1]], args=(pathlib.Path(sys.argv[2]), start))
        for _ in range(PROCESSES)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join()
