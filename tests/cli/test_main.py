"""The command line as a whole: its table, what it loads, its exit codes."""

import pathlib
import subprocess
import sys

import pytest

from baton.cli.main import COMMANDS
from tests.cli.conftest import Cli


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_loads_and_has_help(cli: Cli, name: str) -> None:
    """Each row of the table has its module, and the module's help begins like the table's."""
    done = cli(name, "--help")
    assert (0, "") == (done.code, done.err)
    assert f"Usage: baton {name}" in done.out


def test_help_lists_all_commands_and_loads_none() -> None:
    """`baton --help` names every command, and imports neither a store nor an engine."""
    code = (
        "import sys\n"
        "from baton.cli.main import run\n"
        "assert run(['--help']) == 0\n"
        "heavy = {'sqlalchemy', 'numpy', 'cryptography', 'xllamacpp'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert (0, "") == (done.returncode, done.stderr)
    assert [] == [name for name in COMMANDS if f" {name} " not in done.stdout]


def test_serving_loads_nothing_for_people() -> None:
    """The module of `baton serve` has no rich in it; bars are loaded when there is one to show."""
    code = "import sys, baton.cli.serve\nassert 'rich' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert (0, "") == (done.returncode, done.stderr)


def test_exit_codes(cli: Cli) -> None:
    """0 done, 1 failed with a message on standard error, 2 wrong usage."""
    assert 0 == cli("key", "list").code
    failed = cli("key", "show", "nobody")
    assert (1, "") == (failed.code, failed.out)
    assert "there is no key 'nobody'" in failed.err
    assert 2 == cli("key", "list", "--odd").code
    assert 2 == cli("nonsense").code


def test_bad_setting_is_a_message(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting out of range fails the command with the setting's name, not a traceback."""
    monkeypatch.setenv("BATON_PORT", "99999")
    done = cli("key", "list")
    assert 1 == done.code
    assert done.err.startswith("baton: BATON_PORT is '99999'")


def test_a_folder_that_cannot_be_used_is_a_message(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    """Full, read-only, another user's: the system's words and the path, not a traceback."""
    (tmp_path / "a_file").touch()
    monkeypatch.setenv("BATON_HOME", str(tmp_path / "a_file"))
    done = cli("key", "list")
    assert 1 == done.code
    assert done.err.startswith("baton: ")
    assert str(tmp_path / "a_file") in done.err


def test_interrupt_is_130(monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    """Ctrl-C ends a command without a traceback."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("baton.cli.key.opened", interrupted)
    assert 130 == cli("key", "list").code
