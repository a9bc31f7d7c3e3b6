"""`baton reload`: swap the workers of the running server, without a lost request."""

import os
import signal

from baton import config
from baton.cli.main import CommandError
from baton.running import running


def run() -> None:
    """Start new workers on the same socket; old ones finish what they have, then end.

    Use it after an upgrade of the package, or to bring back a model that was switched off. Changes
    of keys, upstreams and prices need no reload."""
    home = config.load().home_path
    pid = running(home)
    if pid is None:
        raise CommandError(f"no server runs on {home} (BATON_HOME names another)")
    os.kill(pid, signal.SIGHUP)
    print(f"told the server (process {pid}) to swap its workers")
