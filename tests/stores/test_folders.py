"""Folders are synced as they are, and nothing stays open."""

import os
import pathlib

import pytest

from baton.stores.folders import sync_folder


def test_a_folder_is_synced(tmp_path: pathlib.Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    sync_folder(tmp_path)
    with pytest.raises(FileNotFoundError):
        sync_folder(tmp_path / "missing")
    assert before == len(os.listdir("/proc/self/fd"))
