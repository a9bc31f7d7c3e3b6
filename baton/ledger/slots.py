"""Slots: which process writes which journal file, and who cleans up after the dead.

`home/journal/N.db` is a slot's file. A process holds `N.lock` (flock) for as long as it lives: the
kernel lets go of it when the process dies, whatever it dies of. The lock is a file of its own
because closing a second descriptor of a database file would drop SQLite's own locks on it.
"""

import contextlib
import fcntl
import os
import pathlib
from collections.abc import Iterator

from baton.stores.base import StoreError

SLOTS_MAX = 1_024


class Slot:
    """A slot that this process holds until `release` (or its death)."""

    def __init__(self, path: pathlib.Path, descriptor: int) -> None:
        self.path, self._descriptor = path, descriptor

    @property
    def name(self) -> str:
        return self.path.stem

    def release(self) -> None:
        os.close(self._descriptor)


def claim(folder: pathlib.Path) -> Slot:
    """The first slot that nobody holds."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in range(SLOTS_MAX):
        slot = _try(folder / f"{number}.db")
        if slot is not None:
            return slot
    raise RuntimeError(f"all {SLOTS_MAX} journal slots in {folder} are held")


def orphans(folder: pathlib.Path) -> Iterator[Slot]:
    """Every existing file that nobody holds; the caller releases each before it asks for the
    next."""
    for path in sorted(folder.glob("*.db")):
        slot = _try(path)
        if slot is not None:
            yield slot


@contextlib.contextmanager
def unused(folder: pathlib.Path) -> Iterator[None]:
    """While the block runs no process can take a journal of the folder. Raises StoreError when one
    has one."""
    with contextlib.ExitStack() as held:
        for path in sorted(folder.glob("*.db")):
            slot = _try(path)
            if slot is None:
                raise StoreError(f"{path} is in use: stop Baton first")
            held.callback(slot.release)
        yield


def _try(path: pathlib.Path) -> Slot | None:
    descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return Slot(path, descriptor)
