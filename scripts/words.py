"""Fail on names that mean nothing, on left-over notes, and on what belongs to one machine only."""

import ast
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parent.parent

EMPTY_NAMES = {"util", "utils", "manager", "managers", "helper", "helpers", "handler", "handlers"}
"""Words for "misc": a file, class or function of that name has no job of its own."""

TEXTS = {
    r"\b(TODO|FIXME|XXX)\b": "a left-over note: do it, or write it down as an open question",
    r"(?<![\w.])/(work|root)/": "a path of one machine",
    r"(pypi|pythonhosted|npmjs)\.(org|com)\b": "a host of a package index: pip knows its own",
    r"(?i)^litellm\b.*==": "a package that this project never installs",
}
PLANTED = {"scripts/words.py", "tests/test_project.py"}
"""Files that name what is forbidden in order to find it."""
TEXT_ENDINGS = {".py", ".md", ".toml", ".lock", ".sh", ".js", ".css", ".html", ".json", ".sql", ""}


def names(path: pathlib.Path) -> Iterator[tuple[int, str]]:
    """(line, name) of the file itself and of every class and function in it."""
    yield 1, path.stem
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, node.name


def words(name: str) -> set[str]:
    """The words of a snake_case or CamelCase name, in lower case."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name)}


def offences(path: pathlib.Path, name: str) -> Iterator[str]:
    """What is wrong in one file, called `name` in the messages."""
    if path.suffix == ".py":
        for line, found in names(path):
            if empty := words(found) & EMPTY_NAMES:
                yield f"{name}:{line} {found}: '{empty.pop()}' says nothing, name the job"
    if path.suffix in TEXT_ENDINGS:
        for line, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            for pattern, reason in TEXTS.items():
                if match := re.search(pattern, text):
                    yield f"{name}:{line} {match.group()}: {reason}"


def main() -> int:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    files = [name for name in listed if (ROOT / name).is_file() and name not in PLANTED]
    found = [offence for name in files for offence in offences(ROOT / name, name)]
    print(*found, sep="\n", end="\n" if found else "")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
