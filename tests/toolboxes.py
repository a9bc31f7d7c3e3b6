"""Tools that tests need in installations of their own: made once, kept in the user's cache.

A toolbox is a folder named after the lock file that it was made from, so that a changed lock makes
a new one. It is built under another name and renamed when whole: none is ever used half installed.
"""

import hashlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable


def toolbox(name: str, lock: pathlib.Path, build: Callable[[pathlib.Path], None]) -> pathlib.Path:
    """The folder of the toolbox; `build` fills it on first use."""
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    folder = cache() / f"{name}-{digest}"
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = pathlib.Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        build(building)
        building.rename(folder)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    return folder


def cache() -> pathlib.Path:
    """Where toolboxes are kept: $XDG_CACHE_HOME/baton/tests."""
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "baton" / "tests"
