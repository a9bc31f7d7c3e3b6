"""Workers that were started and wait to be told: they serve, or end where nobody wants them."""

import contextlib
import os
import pathlib
import select
import socket
from collections.abc import Iterator

import pytest

from baton import staged
from baton.config import Settings
from tests.bookkeeping import new_store

TIMEOUT_S = 15.0


@pytest.fixture
def worker() -> Iterator[staged.Staged]:
    """One that nobody has told anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        watch_read, watch_write = os.pipe()
        started = staged.start(0, listener.fileno(), watch_read)
        try:
            yield started
        finally:
            os.close(watch_write)
            os.close(watch_read)
            if started.process.poll() is None:
                started.process.kill()
                started.process.wait()
            assert started.process.stdin is not None
            started.process.stdin.close()


def test_it_serves_once_it_is_told(worker: staged.Staged, tmp_path: pathlib.Path) -> None:
    """Not before."""
    with contextlib.closing(new_store(tmp_path)), open(worker.ready_fd, "rb", 0) as ready:
        assert ([], [], []) == select.select([ready], [], [], 0)
        worker.tell(Settings(home=str(tmp_path), model="none"))
        assert b"ready\n" == ready.read(100)


def test_nobody_wants_it(worker: staged.Staged) -> None:
    """Its supervisor is gone before it said anything: it ends, and has nothing to complain of."""
    assert worker.process.stdin is not None
    worker.process.stdin.close()
    assert 0 == worker.process.wait(TIMEOUT_S)
    os.close(worker.ready_fd)


def test_it_is_dropped(worker: staged.Staged) -> None:
    """Gone when this returns, with its descriptors."""
    worker.drop()
    assert worker.process.returncode is not None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(worker.ready_fd)
