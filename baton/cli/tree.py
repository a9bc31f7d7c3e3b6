"""All commands as plain data, read from the command line itself: what completion and the manual
page are made of."""

from collections.abc import Iterator
from typing import Any

import msgspec
import typer

from baton.cli.main import COMMANDS
from baton.cli.parsing import build
from baton.upstreams import registry


class Option(msgspec.Struct, frozen=True):
    names: tuple[str, ...]
    """`--json`; of a switch also what turns it off."""
    help: str
    takes_value: bool
    values: tuple[str, ...] = ()
    """What it may be, where that is known."""
    required: bool = False


class Argument(msgspec.Struct, frozen=True):
    name: str
    help: str
    required: bool
    values: tuple[str, ...] = ()


class Node(msgspec.Struct, frozen=True):
    """A command, or a group of commands."""

    name: str
    """As it is typed, from `baton` on."""
    help: str
    options: tuple[Option, ...]
    arguments: tuple[Argument, ...]
    nodes: tuple["Node", ...]

    @property
    def word(self) -> str:
        return self.name.rpartition(" ")[2]

    def all(self) -> Iterator["Node"]:
        """It, and all below it."""
        yield self
        for node in self.nodes:
            yield from node.all()


HELP = Option(("--help",), "Show what it does, and its options.", takes_value=False)


def tree() -> Node:
    """The command line as it stands; loads the modules of all commands."""
    found = _node(typer.main.get_command(build("", whole=True)), "baton")
    order = list(COMMANDS)  # typer puts groups last
    nodes = sorted(found.nodes, key=lambda node: order.index(node.word))
    return msgspec.structs.replace(found, nodes=tuple(nodes))


def _node(command: Any, name: str) -> Node:
    """`command` is typer's (or the click command that it wraps): only what both have is used."""
    context = command.make_context(name, [], resilient_parsing=True)
    options: list[Option] = []
    arguments: list[Argument] = []
    for each in command.params:
        values = _values(each, [item.value for item in each.shell_complete(context, "")])
        said = str(getattr(each, "help", None) or "")
        if each.param_type_name == "option":
            names = (*each.opts, *each.secondary_opts)
            takes = not getattr(each, "is_flag", False)
            options.append(Option(names, said, takes, values, each.required))
        else:
            arguments.append(Argument(str(each.name).upper(), said, each.required, values))
    below = getattr(command, "commands", {})
    nodes = tuple(_node(each, f"{name} {word}") for word, each in below.items())
    paragraph = (command.help or "").partition("\n\n")[0]
    return Node(name, " ".join(paragraph.split()), (*options, HELP), tuple(arguments), nodes)


def _values(parameter: Any, told: list[str]) -> tuple[str, ...]:
    """What a parameter may be, told by its type; dialects are known to the registry alone."""
    if "--dialect" in parameter.opts:
        return ("auto", *sorted(registry.names()))
    return tuple(told)
