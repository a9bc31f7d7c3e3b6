"""From the settings to a running server: the model's file, where it is still to be had, then the
supervisor. Apart from the command's options, as a start that has none loads no parser for them."""

import functools
import importlib
import os
import sys

import msgspec

from baton import config
from baton.engine import models
from baton.serve import reloads, serve
from baton.staged import Staged


def start(first: Staged | None = None, /, **given: object) -> int:
    """Serve until stopped, `given` standing over the settings, with the worker that was started
    already, if any; the exit status."""
    read = functools.partial(config.load, os.environ, **given)
    began = read()
    return serve(with_model(began), first, reloads(began, read))


def with_model(settings: config.Settings) -> config.Settings:
    """Fetch a model that is not here yet, and show it; go on without when it fails."""
    place = models.locate(settings)
    if place is None or not place.source or place.fetched:
        return settings
    progress = importlib.import_module("baton.cli.progress")  # rich, for this once only
    try:
        with progress.shown(f"Fetching {place.public_name}") as shown:
            models.resolve(settings, shown)
    except models.ModelError as error:
        print(f"baton: {error}", file=sys.stderr)
        print("baton: going on without the embedded model.", file=sys.stderr)
        return msgspec.structs.replace(settings, model=models.NONE)
    return settings
