"""Fail when a file or a function outgrows its limit: what is too long is two things."""

import ast
import pathlib
import sys
from collections.abc import Iterator

FILE_LINES_MAX, FUNCTION_LINES_MAX = 400, 60
ROOT = pathlib.Path(__file__).parent.parent
FOLDERS = ("baton", "tests", "scripts", "bench")


def offences(path: pathlib.Path) -> Iterator[str]:
    """What in one Python file is too long."""
    text = path.read_text(encoding="utf-8")
    name = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    if (lines := text.count("\n")) > FILE_LINES_MAX:
        yield f"{name}: {lines} lines (at most {FILE_LINES_MAX})"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                place = f"{name}:{node.lineno} {node.name}"
                yield f"{place}: {lines} lines (at most {FUNCTION_LINES_MAX})"


def main() -> int:
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    found = [offence for path in paths for offence in offences(path)]
    print(*found, sep="\n", end="\n" if found else "")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
