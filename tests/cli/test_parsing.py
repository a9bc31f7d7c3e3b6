"""The parser of the command line: it loads the asked command alone."""

import sys

import pytest

from baton.cli.parsing import build
from tests.cli.conftest import Cli


def test_only_the_asked_module_is_loaded() -> None:
    """Building the command line without a name leaves every module alone."""
    before = set(sys.modules)
    build("")
    assert set() == {name for name in set(sys.modules) - before if name.startswith("baton.cli.")}


def test_an_argument_that_is_no_text(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that no book can hold are told, not traced back; a fault of ours is not hidden."""
    done = cli("key", "create", "bad\udcff")
    assert (1, "") == (done.code, done.out)
    assert "baton: an argument is no UTF-8 text" in done.err

    def faulty() -> None:
        "\udcff".encode()

    monkeypatch.setattr("baton.cli.key.opened", faulty)
    with pytest.raises(UnicodeEncodeError):
        cli("key", "list")
