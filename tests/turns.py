"""Tests that measure time run while no other test does, also where processes share the tests.

Two locked files (flock): `running` is shared by tests that run, a test marked `alone` has it to
itself. Whoever waits for it holds `next`, so that nobody who comes later overtakes.
"""

import contextlib
import fcntl
import functools
import os
import pathlib
import tempfile
from collections.abc import Iterator

RUN = "PYTEST_XDIST_TESTRUNUID"
"""What pytest-xdist tells the processes of one run; not set where there is one process."""


@contextlib.contextmanager
def turn(alone: bool) -> Iterator[None]:
    """Wait for the turn of a test, which lasts as long as the block."""
    if RUN not in os.environ:
        yield
        return
    following, running = _files(os.environ[RUN])
    fcntl.flock(following, fcntl.LOCK_EX)
    fcntl.flock(running, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
    fcntl.flock(following, fcntl.LOCK_UN)
    try:
        yield
    finally:
        fcntl.flock(running, fcntl.LOCK_UN)


@functools.cache
def _files(run: str) -> tuple[int, int]:
    folder = pathlib.Path(tempfile.gettempdir()) / f"turns-{run}"
    folder.mkdir(exist_ok=True)
    return _opened(folder / "next"), _opened(folder / "running")


def _opened(path: pathlib.Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
