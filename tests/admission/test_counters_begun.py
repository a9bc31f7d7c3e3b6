"""Rows of the rates that begin while others count without the lock, as a disk takes its time."""

import os
import pathlib
from collections.abc import Callable

import pytest

from baton.admission import counters as module
from baton.admission.counters import MachineCounters
from baton.admission.rates import Left, Limit
from baton.stores.base import StoreUnavailable
from tests.admission.test_counters import REQUESTS, ROOM, passes


def slow_disk(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], None]) -> None:
    """The next write to the disk takes as long as that."""
    write = os.pwrite

    def slow(descriptor: int, data: bytes, offset: int) -> int:
        monkeypatch.setattr(os, "pwrite", write)
        meanwhile()
        return write(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", slow)


def test_no_row_is_begun_twice(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who goes on without the lock, as a disk takes long to write a row, refuses what would be
    counted in that; what has a row goes on. Counted twice, twice the limit passes."""
    monkeypatch.setattr(module, "LOCK_WAIT_S", 0.05)
    first, second = MachineCounters(tmp_path), MachineCounters(tmp_path)
    other, told = Limit("key:b", "b", requests_per_minute=ROOM), list[str]()
    assert passes(second, other)

    def meanwhile() -> None:
        with pytest.raises(StoreUnavailable) as refused:
            passes(second, REQUESTS)
        assert passes(second, other)
        told.append(str(refused.value))

    slow_disk(monkeypatch, meanwhile)
    assert passes(first, REQUESTS)
    assert ["another limit cannot be counted at the moment"] == told
    assert passes(second, REQUESTS)
    assert [Left(ROOM - 2, None, None)] * 2 == [*first.left((REQUESTS, other))]


def test_a_row_that_was_begun_meanwhile_is_found(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who had read that there is none before it could begin one reads again."""
    monkeypatch.setattr(module, "LOCK_WAIT_S", 0.05)
    first, second = MachineCounters(tmp_path), MachineCounters(tmp_path)
    assert passes(first, Limit("key:b", "b", requests_per_minute=ROOM)), "a lock that was free"
    read = os.pread

    def slow(descriptor: int, length: int, offset: int) -> bytes:
        monkeypatch.setattr(os, "pread", read)
        data = read(descriptor, length, offset)
        assert passes(second, REQUESTS)
        return data

    monkeypatch.setattr(os, "pread", slow)
    assert passes(first, REQUESTS)
    assert (Left(ROOM - 2, None, None),) == second.left((REQUESTS,))


def test_a_new_row_leaves_those_beside_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is counted in them without the lock while it is written stands."""
    monkeypatch.setattr(module, "SETS", 1)
    monkeypatch.setattr(module, "LOCK_WAIT_S", 0.05)
    first, second = MachineCounters(tmp_path), MachineCounters(tmp_path)
    limits = tuple(
        Limit(f"key:{n}", "", requests_per_minute=ROOM, requests_at_once=9) for n in range(2)
    )
    assert passes(second, limits[0])

    def beside() -> None:
        slow_disk(monkeypatch, lambda: told.append(passes(second, limits[0])))

    told: list[bool] = []
    slow_disk(monkeypatch, beside)  # the shares are written first, then the row
    assert passes(first, limits[1])
    assert [True] == told
    assert (Left(ROOM - 2, None, 7),) == first.left(limits[:1])
    assert (Left(ROOM - 1, None, 8),) == first.left(limits[1:2])
