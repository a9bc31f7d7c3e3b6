"""Processes that come and go: restarts, signals, and nobody is refused or left behind."""

import contextlib
import errno
import io
import itertools
import os
import pathlib
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from baton.listening import Place, bind
from baton.supervisor import reap_orphans, say
from tests import running
from tests.faults.conftest import FAKE_MODEL, add_upstream, until_known
from tests.supervised import STUBBORN, Supervised, serve, supervised

SPIN_CPU_S = 0.2
"""More than a supervisor uses in half a second when it has nothing to do, start included."""
SWAPS = 2
CALLERS = 3
GONE_WITHIN_S = 10.0


def test_what_dies_is_restarted_with_growing_pauses(tmp_path: pathlib.Path) -> None:
    """0.2, 0.5, 1 s …; the rest goes on, and the operator is told."""
    engine = "date +%s.%N >> $LOG; exit 7"
    with supervised(tmp_path, "echo ready; exec sleep 60", engine) as running_one:
        running_one.wait_for(lambda: len(running_one.told()) == 4)
        assert 0 == running_one.end()
        times = list(map(float, running_one.told()))
        said = running_one.errors()
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert [True] * 3 == [
        least <= pause < least + 0.4 for least, pause in zip((0.2, 0.5, 1.0), pauses, strict=True)
    ]
    assert "engine ended with status 7; it starts again in 0.2 s" in said


BEATING = """echo began >> $LOG; echo ready
if [ $(grep -c ^began $LOG) = 1 ]; then exec sleep 60; fi
while :; do sleep 0.2; echo alive; done"""
"""The first one hangs."""


def test_workers_are_told_that_an_engine_died(tmp_path: pathlib.Path) -> None:
    """By a mark, which is there before it is started again, and stays over a reload."""
    engine = "ls ${LOG%/*}/run >> $LOG; echo began >> $LOG; exit 7"
    (tmp_path / "run").mkdir()
    with supervised(tmp_path, serve("worker"), engine) as running_one:
        running_one.wait_began(1)
        running_one.wait_told("engine.died")
        assert "began" == next(one for one in running_one.told() if "worker" not in one)
        running_one.signal(signal.SIGHUP)
        running_one.wait_told("worker ended")
        assert (tmp_path / "run/engine.died").exists()


def test_a_silent_engine_is_started_anew(tmp_path: pathlib.Path) -> None:
    """Killed once it has said nothing for its time, not before; one that tells goes on."""
    with supervised(tmp_path, serve("worker"), BEATING, stall_s=2.0) as running_one:
        assert running_one.announced()
        began = time.monotonic()
        running_one.wait_began(2)
        assert 1.9 < time.monotonic() - began < 5.0
        time.sleep(2.5)
        assert 2 == running_one.told().count("began")
        assert 0 == running_one.end()
    assert "engine says nothing any more: it is killed" in running_one.errors()


def test_an_unusable_engine_is_left_alone(tmp_path: pathlib.Path) -> None:
    """Exit status 3: told once, not started again, the banner comes, and nothing spins. SIGHUP
    tries it once more."""
    engine = "echo engine >> $LOG; exit 3"
    with supervised(tmp_path, serve("worker"), engine) as running_one:
        assert running_one.announced()
        before = cpu_s(running_one.process.pid)
        time.sleep(0.5)
        assert cpu_s(running_one.process.pid) - before < SPIN_CPU_S / 2
        assert 1 == running_one.told().count("engine")
        running_one.signal(signal.SIGHUP)
        running_one.wait_for(lambda: running_one.told().count("engine") == 2)
        assert 0 == running_one.end()
    assert "the embedded model is off" in running_one.errors()


def test_a_worker_that_cannot_work_ends_the_start(tmp_path: pathlib.Path) -> None:
    """Exit status 3: what keeps it from working was told, and does not go away by itself."""
    with supervised(tmp_path, "exit 3", serve("engine")) as running_one:
        assert 1 == running_one.process.wait(GONE_WITHIN_S)
    assert "again" not in running_one.errors()


def test_a_successor_that_cannot_work_ends_nothing(tmp_path: pathlib.Path) -> None:
    """What serves goes on, as the file that is missing may come back."""
    worker = f"if [ -e $LOG ]; then echo tried >> $LOG; exit 3; fi; {serve('worker')}"
    with supervised(tmp_path, worker) as running_one:
        assert running_one.announced()
        running_one.signal(signal.SIGHUP)
        running_one.wait_for(lambda: running_one.told().count("tried") == 2)
        assert "worker ended" not in running_one.told()
        assert 0 == running_one.end()


REFUSED_ONCE = """import os, sys
from baton.config import Settings
from baton.listening import bind_all
from baton.supervisor import Supervisor
from tests.faults.conftest import FAKE_MODEL, add_upstream, until_known
from tests.supervised import script

settings = Settings(home=sys.argv[1], port=0)
supervisor = Supervisor(settings, bind_all(settings))
tries = [BlockingIOError(11, "no process left")]
def start():
    if tries:
        raise tries.pop()
    return script("echo ready; exec sleep 60")
supervisor.children[0].start = start
sys.exit(supervisor.run(settings, None, lambda: os.kill(os.getpid(), 15)))
"""


def test_what_cannot_be_started_is_tried_again(tmp_path: pathlib.Path) -> None:
    """A machine without a process or memory left for the moment ends no supervisor."""
    words = [sys.executable, "-c", REFUSED_ONCE, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=GONE_WITHIN_S)
    assert 0 == done.returncode, done.stderr
    assert "worker 0 cannot be started: [Errno 11] no process left; it starts again" in done.stderr


class Full(io.StringIO):
    """A log on a disk that is full."""

    def write(self, _text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_what_nobody_reads_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A supervisor that cannot tell what it does goes on doing it."""
    monkeypatch.setattr("sys.stderr", Full())
    say("a worker ended")


def cpu_s(pid: int) -> float:
    """What a process has used so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_workers_end_before_the_engine(tmp_path: pathlib.Path) -> None:
    """SIGTERM: streams need the engine until the last worker is gone."""
    with supervised(tmp_path, serve("worker"), serve("engine")) as running_one:
        assert running_one.announced()
        assert 0 == running_one.end()
        assert ["worker ended", "engine ended"] == running_one.told()[-2:]


def test_a_second_sigterm_kills(tmp_path: pathlib.Path) -> None:
    """Children that do not end are not waited for when asked twice."""
    with supervised(tmp_path, STUBBORN, STUBBORN) as running_one:
        assert running_one.announced()
        running_one.signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            running_one.process.wait(0.5)
        assert 0 == running_one.end()


def test_workers_are_swapped(tmp_path: pathlib.Path) -> None:
    """SIGHUP: the old worker ends when the new one is ready; the engine stays."""
    with supervised(tmp_path, serve("worker"), serve("engine")) as running_one:
        assert running_one.announced()
        running_one.signal(signal.SIGHUP)
        running_one.wait_told("worker ended")
        lines = [line for line in running_one.told() if "worker" in line]
        assert ["worker began", "worker began", "worker ended"] == lines
        assert 0 == running_one.end()
    assert 1 == running_one.told().count("engine began")


SLOW = """trap 'trap "" TERM USR1; echo ended $n >> $LOG; exit 0' TERM USR1
touch $LOG; n=$(($(grep -c ^began $LOG) + 1))
echo began >> $LOG; if [ $n = 1 ]; then echo ready; fi
while :; do sleep 0.02; done"""
"""Only the first worker becomes ready. Each tells its number when it ends."""


BUSY = """trap 'echo replaced >> $LOG' USR1
trap 'trap "" TERM; echo worker ended >> $LOG; exit 0' TERM
echo began >> $LOG; echo ready; while :; do sleep 0.02; done"""
"""A worker with streams that last."""


def test_who_is_replaced_may_take_its_time(tmp_path: pathlib.Path) -> None:
    """It is told so, not to stop; it stops with the others."""
    with supervised(tmp_path, BUSY, serve("engine")) as running_one:
        assert running_one.announced()
        running_one.signal(signal.SIGHUP)
        running_one.wait_told("replaced")
        assert "worker ended" not in running_one.told()
        assert 0 == running_one.end()
        assert ["worker ended", "worker ended", "engine ended"] == running_one.told()[-3:]


def test_sigterm_during_a_swap(tmp_path: pathlib.Path) -> None:
    """Old and new workers are ended, then the engine: at once, not by the drain's time limit."""
    with supervised(tmp_path, SLOW, serve("engine")) as running_one:
        assert running_one.announced()
        running_one.signal(signal.SIGHUP)
        running_one.wait_began(2)
        assert 0 == running_one.end()
        *_, first, second, last = running_one.told()
        assert {"ended 1", "ended 2"} == {first, second}
        assert "engine ended" == last


def test_several_hang_ups(tmp_path: pathlib.Path) -> None:
    """A successor that is not ready yet gives way to the next one; the worker that serves stays,
    and no descriptor is left over."""
    with supervised(tmp_path, SLOW, serve("engine")) as running_one:
        assert running_one.announced()
        for count in (2, 3, 4):
            running_one.signal(signal.SIGHUP)
            running_one.wait_began(count)
        running_one.wait_told("ended 2", "ended 3")
        assert "ended 1" not in running_one.told()
        assert running_one.process.poll() is None
        assert 0 == running_one.end()
    assert {"ended 1", "ended 4"} < set(running_one.told())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[running.Server]:
    """A real one without a model."""
    home = tmp_path_factory.mktemp("supervised") / "home"
    with running.serving(home, {"BATON_MODEL": "none"}) as started:
        yield started


def test_a_swap_refuses_nobody(server: running.Server) -> None:
    """Callers that ask without a pause, each on a new connection, see no failure over swaps."""
    before = set(server.processes())
    statuses: list[int] = []
    failures: list[OSError] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            try:
                statuses.append(server.endpoint.complete(prompt="a").status)
            except OSError as error:
                failures.append(error)

    callers = [threading.Thread(target=ask) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    try:
        for _ in range(SWAPS):
            swap(server)
    finally:
        over.set()
        for caller in callers:
            caller.join()
    assert [] == failures
    assert {404} == set(statuses)  # no upstream has the model
    assert {server.process.pid} == before & set(server.processes())


def swap(server: running.Server) -> None:
    """SIGHUP, and until only new workers are there."""
    old = workers(server)
    server.process.send_signal(signal.SIGHUP)
    until_others(server, old)


def until_others(server: running.Server, old: set[int]) -> None:
    """Until as many workers are there, and none of the old ones."""
    deadline = time.monotonic() + running.START_TIMEOUT_S
    while old & workers(server) or len(workers(server)) < len(old):
        assert time.monotonic() < deadline, server.printed()
        time.sleep(running.POLL_S)


def test_who_comes_while_it_drains_is_refused(tmp_path: pathlib.Path) -> None:
    """At once, and does not wait for what still runs: a proxy goes on to another relay."""
    upstream = socket.create_server(("127.0.0.1", 0))
    with upstream, running.serving(tmp_path / "home", {"BATON_MODEL": "none"}) as server:
        add_upstream(server, f"http://127.0.0.1:{upstream.getsockname()[1]}")
        until_known(server, FAKE_MODEL)
        wanted = {"model": FAKE_MODEL, "prompt": "a"}
        asked = threading.Thread(target=server.endpoint.post, args=("/v1/completions", wanted))
        asked.start()
        call, _ = upstream.accept()
        server.process.send_signal(signal.SIGTERM)
        until_refused(int(server.base_url.rpartition(":")[2]))
        assert server.process.poll() is None
        upstream.close()
        call.close()
        asked.join()


def until_refused(port: int) -> None:
    """Return once nobody takes connections there; those that were taken before are left."""
    deadline = time.monotonic() + GONE_WITHIN_S
    with contextlib.suppress(ConnectionError):
        while True:
            socket.create_connection(("127.0.0.1", port), 1).close()
            assert time.monotonic() < deadline
            time.sleep(running.POLL_S)


def workers(server: running.Server) -> set[int]:
    return {pid for pid, command in server.processes().items() if "baton.worker" in command}


def test_children_end_with_a_killed_supervisor(tmp_path: pathlib.Path) -> None:
    """kill -9: nothing outlives it, and the next one can start on the same port."""
    server = running.start(tmp_path / "home", {"BATON_MODEL": "none"})
    try:
        server.wait_ready()
        assert 2 == len(server.processes())
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        deadline = time.monotonic() + GONE_WITHIN_S
        while server.processes():
            assert time.monotonic() < deadline, server.processes()
            time.sleep(running.POLL_S)
    finally:
        server.kill()
    with contextlib.closing(bind(Place("127.0.0.1", server.endpoint.port))) as again:
        assert server.endpoint.port == again.getsockname()[1]


ORPHANS = """
import os, sys, time
from baton.supervisor import reap_orphans
ours, orphan = [os.posix_spawn("/bin/true", ["true"], {}) for _ in range(2)]
def zombies():
    states = {}
    for pid in (ours, orphan):
        try:
            states[pid] = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            states[pid] = "gone"
    return [states[ours], states[orphan]]
while zombies() != ["Z", "Z"]:
    time.sleep(0.01)
reap_orphans({ours})
first = os.waitpid(ours, 0)[1]
reap_orphans(set())
print(first, zombies())
"""


def test_orphans_are_reaped_but_not_our_own() -> None:
    """As process 1: a child's status stays for who asks for it, strangers are gone."""
    done = subprocess.run(
        [sys.executable, "-c", ORPHANS], capture_output=True, text=True, check=True, timeout=20
    )
    assert "0 ['gone', 'gone']\n" == done.stdout
    reap_orphans(set())  # nobody there: nothing happens


def test_it_keeps_no_descriptor_too_many(tmp_path: pathlib.Path) -> None:
    """Restarts leave nothing open."""
    with supervised(tmp_path, "echo one >> $LOG; exit 1") as running_one:
        running_one.wait_for(lambda: len(running_one.told()) >= 1)
        at_first = descriptors(running_one)
        running_one.wait_for(lambda: len(running_one.told()) >= 4)
        running_one.wait_for(lambda: descriptors(running_one) <= at_first + 1)
        assert 0 == running_one.end()
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > at_first


def descriptors(running_one: Supervised) -> int:
    return len(list(pathlib.Path(f"/proc/{running_one.process.pid}/fd").iterdir()))
