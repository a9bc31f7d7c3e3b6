"""The manual page is current, says everything, and is right in man's own eyes."""

import pathlib
import shutil
import subprocess

import pytest

from baton.cli.man import ENVIRONMENT
from baton.cli.tree import tree
from baton.config import Settings
from tests.cli.conftest import Cli

PAGE = pathlib.Path(__file__).parent.parent.parent / "docs/man/baton.1"


def test_the_file_is_current(cli: Cli) -> None:
    """Else: baton man > docs/man/baton.1"""
    assert cli("man").out == PAGE.read_text(encoding="utf-8")


def test_its_variables_are_settings() -> None:
    """None is misspelt or gone."""
    known = {f"BATON_{name.upper()}" for name in Settings.__struct_fields__}
    assert {name for name, _ in ENVIRONMENT} <= known


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not here")
def test_it_is_shown_whole() -> None:
    """groff has nothing to warn of, and shows every command and option."""
    done = subprocess.run(
        ["groff", "-man", "-Kutf8", "-Tutf8", "-ww", "-P-cbou", "-rLL=200n", PAGE],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert (0, "") == (done.returncode, done.stderr)
    shown = done.stdout.replace("‐", "-").replace("−", "-")
    for node in tree().all():
        if not node.nodes:
            assert node.name in shown
            assert [] == [each.names[0] for each in node.options[:-1] if each.names[0] not in shown]
