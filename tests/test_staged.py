"""Workers that were started and wait to be told: they serve, or end where nobody wants them."""

import contextlib
import os
import pathlib
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import msgspec
import pytest

from baton import staged
from baton.config import Settings
from tests.bookkeeping import new_store
from tests.loading import loaded

TIMEOUT_S = 15.0
ORIGINS = [f"https://{number}.example" for number in range(20_000)]


@pytest.fixture
def worker() -> Iterator[staged.Staged]:
    """One that nobody has told anything."""
    with staged.start(0) as started:
        yield started


def test_it_serves_once_it_is_told(worker: staged.Staged, tmp_path: pathlib.Path) -> None:
    """Not before; with settings of any length. It ends when its supervisor is gone."""
    watch_read, watch_write = os.pipe()
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        contextlib.closing(new_store(tmp_path)),
        open(worker.ready_fd, "rb", 0) as ready,
    ):
        listener.setblocking(False)
        assert ([], [], []) == select.select([ready], [], [], 0)
        settings = Settings(home=str(tmp_path), model="none", cors_origins=",".join(ORIGINS))
        worker.tell(msgspec.json.encode(settings), watch_read, [listener.fileno()])
        assert b"ready\n" == ready.read(100)
        os.close(watch_write)
        os.close(watch_read)
        assert 0 == worker.process.wait(TIMEOUT_S)


def test_nobody_wants_it(worker: staged.Staged) -> None:
    """Its supervisor is gone before it said anything: it ends, and has nothing to complain of."""
    worker._told.shutdown(socket.SHUT_RDWR)
    assert 0 == worker.process.wait(TIMEOUT_S)


def test_it_is_gone_when_it_is_told(worker: staged.Staged) -> None:
    """Its exit status says so, to whoever watches it."""
    worker.process.kill()
    worker.process.wait()
    worker.tell(b"{}", 0, [0])
    os.close(worker.ready_fd)


def test_it_is_dropped() -> None:
    """Gone when this returns, with its descriptors; so it is where nobody told it."""
    with staged.start(0) as worker:
        pass
    assert worker.process.returncode is not None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(worker.ready_fd)


def environment(pid: int) -> list[str]:
    """A process begins with none, until its program is there."""
    place, end_s = pathlib.Path(f"/proc/{pid}/environ"), time.monotonic() + TIMEOUT_S
    while not (told := place.read_text()):
        assert time.monotonic() < end_s
        time.sleep(0.001)
    return told.split("\0")


@pytest.mark.parametrize(("given", "arenas"), [(None, "1"), ("4", "4")])
def test_its_memory(monkeypatch: pytest.MonkeyPatch, given: str | None, arenas: str) -> None:
    """One arena, unless the operator says otherwise; all else it has from its supervisor."""
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    if given is not None:
        monkeypatch.setenv("MALLOC_ARENA_MAX", given)
    monkeypatch.setenv("BATON_ODD", "kept")
    with staged.start(0) as worker:
        told = environment(worker.process.pid)
    assert {f"MALLOC_ARENA_MAX={arenas}", "BATON_ODD=kept"} <= set(told)


def test_starting_one_loads_nothing_else() -> None:
    """It is done before all else, and all else waits for it."""
    dear = ("asyncio", "dataclasses", "baton.config", "inspect", "msgspec", "typing")
    assert set() == loaded("baton.staged", dear)


CLOSED = """import os, sys
from baton import staged

staged.open_standard()
null = os.stat(os.devnull).st_rdev
told = [os.fstat(number).st_rdev == null and os.get_inheritable(number) for number in (0, 1, 2)]
print("gone", sys.stdin.read(), file=sys.stderr)
open(sys.argv[1], "w").write(str(told))
"""


def test_closed_standard_streams_become_nothing(tmp_path: pathlib.Path) -> None:
    """No socket gets one of their numbers, and what is printed is gone."""
    words = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", CLOSED]
    assert 0 == subprocess.run([*words, str(tmp_path / "told")], timeout=TIMEOUT_S).returncode
    assert "[True, True, True]" == (tmp_path / "told").read_text()


def test_what_the_outputs_encoding_has_not() -> None:
    """It is escaped: no name of a key ends a command with a traceback."""
    code = "from baton import staged; staged.open_standard(); print('ключ')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONIOENCODING": "latin1"},
        capture_output=True,
        timeout=TIMEOUT_S,
    )
    assert (0, b"\\u043a\\u043b\\u044e\\u0447\n") == (done.returncode, done.stdout)


def test_nothing_stays_open_where_no_process_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """A supervisor tries again and again."""
    monkeypatch.setattr("baton.staged.MODULE", ("/nowhere/python", "-m"))
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        staged.start(0)
    assert before == set(os.listdir("/proc/self/fd"))
