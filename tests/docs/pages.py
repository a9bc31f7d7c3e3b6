"""The guide as files: what the tests of the documentation read."""

import pathlib
import tomllib

from baton.web.guide import CONTENTS
from baton.web.markdown import Block, blocks

ROOT = pathlib.Path(__file__).parents[2]
GUIDE = ROOT / "docs/guide"
NAMES: list[str] = [
    name
    for section in tomllib.loads((GUIDE / CONTENTS).read_text(encoding="utf-8"))["section"]
    for name in section["pages"]
]


def text(name: str, language: str = "en") -> str:
    return (GUIDE / language / f"{name}.md").read_text(encoding="utf-8")


def marked(name: str, mark: str) -> list[Block]:
    """The blocks of a page that carry a mark after their language: run, check, shown."""
    return [block for block in blocks(text(name)) if mark in block.words]


def with_mark(mark: str) -> list[str]:
    """Pages that have such blocks."""
    return [name for name in NAMES if marked(name, mark)]
