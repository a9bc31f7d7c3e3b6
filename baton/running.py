"""Which supervisor runs on a home: its process number in a file that it holds locked.

The lock says whether it lives, so a number that is left over is never signalled: the system may
have given it to another program.
"""

import contextlib
import fcntl
import os
import pathlib
from collections.abc import Iterator

FILE_NAME = "supervisor.pid"


def pid_file(home: pathlib.Path) -> pathlib.Path:
    """Where the number stands."""
    return home / "run" / FILE_NAME


@contextlib.contextmanager
def marked(home: pathlib.Path) -> Iterator[None]:
    """Hold the file with this process's number while the block runs.

    A second supervisor on one home (on another port) goes unmarked: signals reach the first."""
    path = pid_file(home)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("a+", encoding="ascii") as file:
        if _locked(file.fileno()):
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
        yield


def running(home: pathlib.Path) -> int | None:
    """The process number of the supervisor that runs on this home; None when none does."""
    try:
        with pid_file(home).open("r+", encoding="ascii") as file:
            if _locked(file.fileno()):
                return None  # nobody held it
            return int(file.read() or "0") or None
    except (FileNotFoundError, ValueError):
        return None


def _locked(descriptor: int) -> bool:
    """Whether the lock could be had; it goes with the descriptor."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
