"""`baton serve`: options over the settings, the model's file, then the supervisor."""

import importlib
import os
import sys
from typing import Annotated

import msgspec
import typer

from baton import config
from baton.engine import models
from baton.serve import serve


def run(
    host: Annotated[str | None, typer.Option(help="BATON_HOST: the address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="BATON_PORT.")] = None,
    home: Annotated[str | None, typer.Option(help="BATON_HOME: the data folder.")] = None,
    workers: Annotated[int | None, typer.Option(help="BATON_WORKERS: relay processes.")] = None,
    model: Annotated[
        str | None, typer.Option(help="BATON_MODEL: a GGUF path, a known name, or none.")
    ] = None,
) -> None:
    """Start Baton in the foreground; Ctrl-C or SIGTERM stops it, SIGHUP swaps its workers."""
    options = {"host": host, "port": port, "home": home, "workers": workers, "model": model}
    given = {name: value for name, value in options.items() if value is not None}
    raise typer.Exit(serve(with_model(config.load(os.environ, **given))))


def with_model(settings: config.Settings) -> config.Settings:
    """Fetch a known model that is not here yet, and show it; go on without when it fails."""
    place = models.locate(settings)
    if place is None or place.known is None or place.path.exists():
        return settings
    progress = importlib.import_module("baton.cli.progress")  # rich, for this once only
    try:
        with progress.shown(f"Fetching {place.known.name}") as shown:
            models.resolve(settings, shown)
    except models.ModelError as error:
        print(f"baton: {error}", file=sys.stderr)
        print("baton: going on without the embedded model.", file=sys.stderr)
        return msgspec.structs.replace(settings, model=models.NONE)
    return settings
