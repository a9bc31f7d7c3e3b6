"""The tree of commands is the command line itself."""

import pytest

from baton.cli.main import COMMANDS
from baton.cli.tree import HELP, Node, tree
from baton.upstreams import registry
from tests.cli.conftest import Cli

ROOT = tree()


def node(name: str) -> Node:
    [found] = [each for each in ROOT.all() if each.name == name]
    return found


def test_every_command_is_there() -> None:
    """In the table's order, with its words; groups have what is below them."""
    assert list(COMMANDS) == [each.word for each in ROOT.nodes]
    assert [command.help for command in COMMANDS.values()] == [each.help for each in ROOT.nodes]
    groups = {name for name, command in COMMANDS.items() if command.group}
    assert groups == {each.word for each in ROOT.nodes if each.nodes}


@pytest.mark.parametrize("name", [each.name for each in ROOT.all() if each is not ROOT])
def test_help_names_all_of_it(cli: Cli, name: str) -> None:
    """Every option and argument, as `--help` lists them (where it has not to shorten them)."""
    shown = cli(*name.split()[1:], "--help").out
    found = node(name)
    for option in found.options:
        assert any(each[:18] in shown for each in option.names), option
    assert [] == [each.word for each in found.nodes if each.word not in shown]
    assert [] == [each.name for each in found.arguments if each.name.lower() not in shown.lower()]


def test_options() -> None:
    """Names, switches, values, what must be given: of a command that has one of each."""
    options = {option.names[0]: option for option in node("baton upstream add").options}
    assert ("--public-only", "--no-public-only") == options["--public-only"].names
    assert (True, True) == (options["--url"].required, options["--url"].takes_value)
    assert (False, False) == (options["--json"].required, options["--json"].takes_value)
    assert {"auto", *registry.names()} == set(options["--dialect"].values)
    assert options["--url"].help
    assert HELP == options["--help"]
    [by] = [option for option in node("baton usage").options if "--by" in option.names]
    assert {"key", "model", "day"} <= set(by.values)


def test_arguments() -> None:
    """Their names are in capitals, as the help writes them."""
    [argument] = node("baton backup").arguments
    assert ("TARGET", True) == (argument.name, argument.required)
    [shell] = node("baton completion").arguments
    assert ("bash", "zsh", "fish") == shell.values
