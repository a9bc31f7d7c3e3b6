"""Completion, asked of the shells themselves."""

import pathlib
import shutil
import subprocess

import pytest

from baton.cli.main import COMMANDS
from baton.upstreams import registry
from tests.cli.conftest import Cli

BASH = """
source "$1"
COMP_WORDS=({words}) COMP_CWORD={at}
_baton
printf '%s\\n' "${{COMPREPLY[@]}}"
"""

ZSH = """
compdef() {{ }}
_describe() {{ print -rl -- $found }}
compadd() {{ shift; print -rl -- "$@" }}
_files() {{ print FILES }}
source "$1"
words=({words}) CURRENT={at}
_baton
"""


def completed(script: pathlib.Path, line: str) -> list[str]:
    """What bash offers at the end of a line."""
    words = [repr(word) for word in line.split(" ")]
    code = BASH.format(words=" ".join(words), at=len(words) - 1)
    done = subprocess.run(
        ["bash", "-euc", code, "bash", script], capture_output=True, text=True, timeout=10
    )
    assert "" == done.stderr
    return done.stdout.split()


@pytest.fixture
def bash_script(cli: Cli, tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "baton.bash"
    path.write_text(cli("completion", "bash").out, encoding="utf-8")
    return path


def test_bash_completes(bash_script: pathlib.Path) -> None:
    """Commands, commands of groups, options, and values that are known."""
    assert [*COMMANDS, "--help"] == completed(bash_script, "baton ")
    assert ["restore"] == completed(bash_script, "baton res")
    assert ["revoke", "rotate"] == sorted(completed(bash_script, "baton key r"))
    assert ["--tokens-per-minute"] == completed(bash_script, "baton key create alice --tok")
    assert sorted(["auto", *registry.names()]) == sorted(
        completed(bash_script, "baton upstream add gpu --dialect ")
    )
    assert ["end_user"] == completed(bash_script, "baton usage --by end")
    assert ["bash", "zsh", "fish", "--help"] == completed(bash_script, "baton completion ")


def test_bash_leaves_the_rest_to_files(bash_script: pathlib.Path) -> None:
    """After an option with a value of the caller's own nothing of ours is offered; a name that is
    also a command's leads nowhere."""
    assert [] == completed(bash_script, "baton serve --home ")
    assert [] == completed(bash_script, "baton serve --home x")
    assert "--strict" in completed(bash_script, "baton key create list ")


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not here")
def test_fish_completes(cli: Cli, tmp_path: pathlib.Path) -> None:
    """The same, with what each means."""
    path = tmp_path / "baton.fish"
    path.write_text(cli("completion", "fish").out, encoding="utf-8")

    def offered(line: str) -> list[str]:
        code = f"source {path}; complete -C '{line}'"
        done = subprocess.run(["fish", "-Nc", code], capture_output=True, text=True, timeout=10)
        assert "" == done.stderr
        return [word.split("\t")[0] for word in done.stdout.splitlines()]

    assert set(COMMANDS) == set(offered("baton "))
    assert {"revoke", "rotate"} == set(offered("baton key r"))
    assert {"auto", *registry.names()} == set(offered("baton upstream add gpu --dialect "))
    assert ["--tokens-per-minute"] == offered("baton key create alice --tok")


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not here")
def test_zsh_completes(cli: Cli, tmp_path: pathlib.Path) -> None:
    """What it hands to zsh's own functions, which choose among it."""
    path = tmp_path / "_baton"
    path.write_text(cli("completion", "zsh").out, encoding="utf-8")

    def offered(line: str) -> list[str]:
        code = ZSH.format(words=line, at=len(line.split(" ")))
        command = ["zsh", "-fc", code, "zsh", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
        assert "" == done.stderr
        return [word.split(":")[0] for word in done.stdout.splitlines()]

    assert [*COMMANDS, "--help"] == offered("baton x")
    assert {"create", "revoke"} <= set(offered("baton key x"))
    assert ["auto", *sorted(registry.names())] == offered("baton upstream add gpu --dialect x")
    assert ["FILES"] == offered("baton serve --home x")


def test_every_option_is_in_every_script(cli: Cli) -> None:
    """Also where a shell is not here to be asked."""
    for shell, word in (("bash", "--requests-at-once"), ("zsh", "--requests-at-once:"),
                        ("fish", "-l requests-at-once -r")):  # fmt: skip
        assert word in cli("completion", shell).out


def test_an_unknown_shell_is_wrong_usage(cli: Cli) -> None:
    """Exit code 2, and which there are."""
    done = cli("completion", "tcsh")
    assert 2 == done.code
    assert "fish" in done.err
