"""Fail when a source file has no test file, or a test file no source: tests mirror files.

`baton/room/file.py` is tested by `tests/room/test_file.py`, and where that would grow too long also
by `tests/room/test_file_<aspect>.py`.
"""

import pathlib
import sys
from collections.abc import Iterable

ROOT = pathlib.Path(__file__).parent.parent

UNTESTED = {
    "__main__.py": "one call into cli",
    "semantics/events.py": "data without behaviour; every room's tests use it",
    "engine/wire.py": "data without behaviour; the engine's and its caller's tests speak it",
    "engine/vocabulary_wire.py": "data without behaviour; the tests of both sides speak it",
    "upstreams/base.py": "data and protocols without behaviour",
    "stores/base.py": "data and protocols without behaviour",
    "stores/tables.py": "declarations; the store's and the migrations' tests use each of them",
}
"""Files without a test file of their own, each with the reason."""

WHOLE = ("browser", "fakes", "conformance", "clients", "lmeval", "faults", "load", "system", "docs")
"""Folders of tests that belong to no single file: fakes, and tests of the whole program."""

WHOLE_FILES = {"test_project.py"}


def sources(folder: pathlib.Path) -> set[str]:
    """Files that need a test, relative to the package."""
    names = {str(path.relative_to(folder)) for path in folder.rglob("*.py")}
    return {
        name
        for name in names
        if not name.endswith("__init__.py") and "migrations/" not in name and name not in UNTESTED
    }


def tests(folder: pathlib.Path) -> set[str]:
    """Test files that should have a source, relative to the folder of tests."""
    names = {path.relative_to(folder) for path in folder.rglob("test_*.py")}
    return {str(n) for n in names if n.parts[0] not in WHOLE and str(n) not in WHOLE_FILES}


def offences(source_names: Iterable[str], test_names: Iterable[str]) -> list[str]:
    """Sentences about what has no counterpart."""
    present, found = set(test_names), []
    stems = []
    for name in sorted(source_names):
        path = pathlib.PurePosixPath(name)
        stems.append(str(path.parent / f"test_{path.stem}"))
        if f"{stems[-1]}.py" not in present:
            found.append(f"baton/{name}: no tests/{stems[-1]}.py")
    for name in sorted(present):
        if not any(name == f"{stem}.py" or name.startswith(f"{stem}_") for stem in stems):
            found.append(f"tests/{name}: tests no file of this name")
    return found


def main() -> int:
    found = offences(sources(ROOT / "baton"), tests(ROOT / "tests"))
    gone = [f"{name}: listed in UNTESTED, gone" for name in UNTESTED if not exists(name)]
    print(*found, *gone, sep="\n", end="\n" if found or gone else "")
    return bool(found or gone)


def exists(name: str) -> bool:
    return (ROOT / "baton" / name).exists()


if __name__ == "__main__":
    sys.exit(main())
