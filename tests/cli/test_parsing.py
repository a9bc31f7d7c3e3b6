"""The parser of the command line: it loads the asked command alone."""

import sys

from baton.cli.parsing import build


def test_only_the_asked_module_is_loaded() -> None:
    """Building the command line without a name leaves every module alone."""
    before = set(sys.modules)
    build("")
    assert set() == {name for name in set(sys.modules) - before if name.startswith("baton.cli.")}
