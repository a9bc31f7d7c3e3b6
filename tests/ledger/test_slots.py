"""Slots: one living process each, and the dead's are found."""

import pathlib
import subprocess
import sys

import pytest

from baton.ledger.slots import claim, free, orphans
from baton.stores.base import StoreError

HOLDER = """
import pathlib, sys
from baton.ledger.slots import claim
slot = claim(pathlib.Path(sys.argv[1]))
print(slot.name, flush=True)
sys.stdin.read()
"""


def test_slots_are_exclusive(tmp_path: pathlib.Path) -> None:
    """Each claim gets the first slot that nobody holds, within a process and between them."""
    first, second = claim(tmp_path), claim(tmp_path)
    assert ("0", "1") == (first.name, second.name)
    first.release()
    assert "0" == claim(tmp_path).name


def test_slot_of_the_dead_is_free(tmp_path: pathlib.Path) -> None:
    """A killed process holds nothing: its slot is claimed next, its journal is an orphan until
    then."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout is not None
        assert b"0\n" == holder.stdout.readline()
        (tmp_path / "0").mkdir()
        assert [] == [slot.name for slot in orphans(tmp_path)]
        living = claim(tmp_path)
        assert "1" == living.name
        holder.kill()
        holder.wait()
    found = []
    for slot in orphans(tmp_path):
        found.append(slot.name)
        slot.release()
    assert ["0"] == found
    assert "0" == claim(tmp_path).name
    living.release()


def test_the_next_slot_after_a_damaged_one(tmp_path: pathlib.Path) -> None:
    """Whoever cannot use a slot is offered the next one, though it let go of the first."""
    offered = free(tmp_path)
    next(offered).release()
    assert "1" == next(offered).name


def test_journals_of_an_earlier_baton_are_not_forgotten(tmp_path: pathlib.Path) -> None:
    """They were files of SQLite. Nobody begins beside them, and the message says what to do."""
    (tmp_path / "0.db").touch()
    for take in (claim, lambda folder: list(orphans(folder))):
        with pytest.raises(StoreError, match=r"0\.db is the journal of an earlier Baton: start"):
            take(tmp_path)
