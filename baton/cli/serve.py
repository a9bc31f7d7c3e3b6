"""`baton serve`: options over the settings."""

from typing import Annotated

import typer

from baton.cli.starting import start


def run(
    host: Annotated[str | None, typer.Option(help="BATON_HOST: the address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="BATON_PORT.")] = None,
    home: Annotated[str | None, typer.Option(help="BATON_HOME: the data folder.")] = None,
    workers: Annotated[int | None, typer.Option(help="BATON_WORKERS: relay processes.")] = None,
    model: Annotated[
        str | None, typer.Option(help="BATON_MODEL: a GGUF path, a name, or none.")
    ] = None,
) -> None:
    """Start Baton in the foreground; Ctrl-C or SIGTERM stops it, SIGHUP swaps its workers."""
    options = {"host": host, "port": port, "home": home, "workers": workers, "model": model}
    given = {name: value for name, value in options.items() if value is not None}
    raise typer.Exit(start(**given))
