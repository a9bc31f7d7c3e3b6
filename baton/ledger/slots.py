"""Slots: which process writes which journal, and who cleans up after the dead.

`home/journal/N` is a slot's folder. A process holds `N.lock` (flock) for as long as it lives: the
kernel lets go of it when the process dies, whatever it dies of. A journal that is damaged keeps its
slot and is not touched: its process takes the next one.
"""

import contextlib
import fcntl
import os
import pathlib
from collections.abc import Iterator

from baton.stores.base import StoreError
from baton.stores.segments import logs

SLOTS_MAX = 1_024


class Slot:
    """A slot that this process holds until `release` (or its death)."""

    def __init__(self, path: pathlib.Path, descriptor: int) -> None:
        self.path, self._descriptor = path, descriptor

    @property
    def name(self) -> str:
        return self.path.name

    def release(self) -> None:
        os.close(self._descriptor)


def free(folder: pathlib.Path) -> Iterator[Slot]:
    """Slots that nobody holds, in order; the caller keeps the first that does. Raises StoreError
    for the journals of an earlier Baton."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    logs(folder)
    for number in range(SLOTS_MAX):
        slot = _try(folder / str(number))
        if slot is not None:
            yield slot
    raise StoreError(f"all {SLOTS_MAX} journal slots in {folder} are held or damaged")


def claim(folder: pathlib.Path) -> Slot:
    """The first slot that nobody holds."""
    return next(free(folder))


def orphans(folder: pathlib.Path) -> Iterator[Slot]:
    """Every existing journal that nobody holds; the caller releases each before it asks for the
    next. Raises StoreError for the journals of an earlier Baton."""
    for path in logs(folder):
        slot = _try(path)
        if slot is not None:
            yield slot


@contextlib.contextmanager
def unused(folder: pathlib.Path) -> Iterator[None]:
    """While the block runs no process can take a journal of the folder. Raises StoreError when one
    has one."""
    with contextlib.ExitStack() as held:
        for path in logs(folder):
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
