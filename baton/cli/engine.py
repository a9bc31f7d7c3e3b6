"""`baton engine`: the engine process alone, on this machine's settings (for looking into it)."""

import os

from baton import config
from baton.cli.main import CommandError
from baton.engine import models
from baton.serve import engine_command


def run() -> None:
    """Run the engine process that `baton serve` would start, in its place of this one."""
    settings = config.load()
    model = models.resolve(settings)
    if model is None:
        raise CommandError("BATON_MODEL is 'none': there is no embedded model to run")
    settings.engine_socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = engine_command(settings, model)
    os.execv(command[0], command)
