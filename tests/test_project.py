"""The frame of the project: locks, the environment script, and the checks that guard the house."""

import ast
import os
import pathlib
import re
import subprocess
import tomllib

import pytest

from baton import __version__
from baton.upstreams.registry import BUILT_IN
from scripts import mirror, size, words

ROOT = pathlib.Path(__file__).parent.parent


def locked(name: str) -> dict[str, set[str]]:
    """What a lock file pins: `package==version` → its hashes."""
    pins: dict[str, set[str]] = {}
    current = ""
    for line in (ROOT / "requirements" / f"{name}.lock").read_text(encoding="utf-8").splitlines():
        if match := re.match(r"([a-z0-9._-]+==[^ ]+)", line):
            current = match.group(1)
            pins.setdefault(current, set())
        elif match := re.search(r"--hash=sha256:([0-9a-f]{64})", line):
            pins[current].add(match.group(1))
    return pins


@pytest.mark.parametrize("name", ["serve", "test"])
def test_every_pin_has_hashes(name: str) -> None:
    """pip refuses what is not byte for byte the file that was locked."""
    pins = locked(name)
    assert len(pins) > 20
    assert [] == [pin for pin, hashes in pins.items() if not hashes]


def test_test_lock_contains_serve_lock() -> None:
    """One environment serves both: whatever serves is also in the tests, in the same version."""
    serve, test = locked("serve"), locked("test")
    assert serve == {pin: test.get(pin) for pin in serve}


def test_one_version() -> None:
    """What Baton says of itself is what its package is called."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert __version__ == project["version"]


def test_each_dependency_is_locked() -> None:
    """No dependency was added to pyproject.toml without making the locks anew."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = project["dependency-groups"]
    for lock, wanted in (
        ("serve", [*project["project"]["dependencies"], *groups["build"]]),
        ("test", groups["dev"]),
    ):
        pinned = {pin.split("==")[0] for pin in locked(lock)}
        names = {re.split(r"[^a-z0-9-]", text, maxsplit=1)[0] for text in wanted}
        assert set() == names - pinned


def test_no_field_hides_the_type_of_another() -> None:
    """From Python 3.14 on an annotation is read when somebody asks, and finds the class's own names
    first (PEP 649): with a field named `object` beside it, `error: object` names that field."""
    hidden = []
    for path in (ROOT / "baton").rglob("*.py"):
        for found in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(found, ast.ClassDef):
                annotated = [line for line in found.body if isinstance(line, ast.AnnAssign)]
                fields = {ast.unparse(line.target) for line in annotated}
                types = [name for line in annotated for name in ast.walk(line.annotation)]
                used = {name.id for name in types if isinstance(name, ast.Name)}
                hidden += [f"{path.name}: {found.name}.{name}" for name in used & fields]
    assert [] == hidden


def test_every_dialect_is_held_to_purity() -> None:
    """An adapter that was added stands in the contract of modules that do no I/O."""
    listed = (ROOT / ".importlinter").read_text(encoding="utf-8")
    pure = listed.partition("contract:pure]")[2].partition("forbidden_modules")[0].split()
    modules = {dialect.adapter.__module__ for dialect in BUILT_IN.values()}
    assert set() == modules - set(pure)


def run_environment(path: pathlib.Path, python: str) -> subprocess.CompletedProcess[str]:
    """scripts/environment.sh in a folder of its own, with `python` as the machine's only one."""
    (path / "scripts").mkdir()
    (path / "scripts" / "environment.sh").symlink_to(ROOT / "scripts" / "environment.sh")
    stand_in = path / "python"
    stand_in.write_text(python)
    stand_in.chmod(0o755)
    return subprocess.run(
        ["sh", "scripts/environment.sh", "serve"],
        cwd=path,
        env={"PATH": os.environ["PATH"], "PYTHON": str(stand_in)},
        capture_output=True,
        text=True,
        timeout=30,
    )


@pytest.mark.parametrize(
    ("lacks", "package"),
    [
        ("sys.version_info", "python3 python3-venv"),
        ("import ensurepip, venv", "python3-venv"),
        ("libgomp", "libgomp1"),
    ],
)
def test_what_the_machine_lacks_is_named(tmp_path: pathlib.Path, lacks: str, package: str) -> None:
    """Without a part the environment is not made, and the message says what to install."""
    python = f'#!/bin/sh\ncase "$2" in *"{lacks}"*) exit 1;; *print*) echo glibc;; esac\n'
    done = run_environment(tmp_path, python)
    assert 1 == done.returncode
    assert f"apt-get install {package}\n" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_another_c_library_is_refused(tmp_path: pathlib.Path) -> None:
    """On musl there is no engine to install; the message says so before pip fails on it."""
    done = run_environment(tmp_path, "#!/bin/sh\nexit 0\n")
    assert (1, True) == (done.returncode, "glibc" in done.stderr)


def test_size_finds_long_files_and_functions(tmp_path: pathlib.Path) -> None:
    """One line over the limit is told, the limit itself is not."""
    path = tmp_path / "a.py"
    body = "    pass\n" * (size.FUNCTION_LINES_MAX - 1)
    path.write_text(f"def f():\n{body}" + "#\n" * (size.FILE_LINES_MAX - size.FUNCTION_LINES_MAX))
    assert [] == list(size.offences(path))
    path.write_text(f"def f():\n{body}    pass\n" + "#\n" * size.FILE_LINES_MAX)
    assert 2 == len(list(size.offences(path)))


def test_mirror_wants_a_test_for_each_file_and_the_other_way_round() -> None:
    """A file without its test and a test without its file are told; aspects are allowed."""
    tests = ["room/test_a.py", "room/test_a_odd.py", "room/test_a_b.py"]
    assert [] == mirror.offences(["room/a.py", "room/a_b.py"], tests)
    assert ["baton/room/c.py: no tests/room/test_c.py"] == mirror.offences(["room/c.py"], [])
    assert ["tests/room/test_c.py: tests no file of this name"] == mirror.offences(
        ["room/a.py"], ["room/test_a.py", "room/test_c.py"]
    )


@pytest.mark.parametrize(
    "text",
    ["class KeyManager: pass\n", "def helper(): pass\n", "# TODO: later\n", "P = '/root/x'\n"],
)
def test_words_finds_empty_names_and_notes(tmp_path: pathlib.Path, text: str) -> None:
    """Names that say nothing and left-over notes are told; ordinary code is not."""
    path = tmp_path / "a.py"
    path.write_text("def total(): pass\n")
    assert [] == list(words.offences(path, "a.py"))
    path.write_text(text)
    assert 1 == len(list(words.offences(path, "a.py")))
