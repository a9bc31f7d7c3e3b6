"""The words of a command line, parsed by typer and run."""

import importlib
from collections.abc import Sequence

import typer

from baton.cli.main import COMMANDS, CommandError
from baton.misset import is_text


def parsed(arguments: Sequence[str]) -> None:
    """Run the command that they name. Raises SystemExit, and what the command raises."""
    asked = next((argument for argument in arguments if not argument.startswith("-")), "")
    try:
        build(asked)(args=list(arguments), prog_name="baton")
    except UnicodeEncodeError:
        if all(map(is_text, arguments)):
            raise
        message = "an argument is no UTF-8 text, or the locale (LC_ALL) has none"
        raise CommandError(message) from None


def build(asked: str, *, whole: bool = False) -> typer.Typer:
    """The command line with the module of `asked` loaded, the others by name and help only;
    `whole`: with all of them."""
    app = typer.Typer(
        help="A self-hosted relay for text completions in native OpenAI format.",
        epilog="Settings: BATON_* variables, or baton.toml in BATON_HOME. "
        "Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for name, command in COMMANDS.items():
        if name != asked and not whole:
            app.command(name, help=command.help)(_unloaded)
            continue
        module = importlib.import_module(f"baton.cli.{command.module}")
        if command.group:
            app.add_typer(module.app, name=name, help=command.help, no_args_is_help=True)
        else:
            app.command(name, help=command.help)(module.run)
    return app


def _unloaded() -> None:
    """Stands for a command that was not asked for."""
    raise AssertionError("a command runs from its own module")
