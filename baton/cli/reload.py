"""`baton reload`: new workers for the running server, with the settings as they are now."""

import os
import signal

from baton import config
from baton.cli.main import CommandError
from baton.running import running


def run() -> None:
    """Start new workers on the same socket; old ones finish what they have, then end.

    Use it after a change of baton.toml or an upgrade of the package, or to bring back a model that
    was switched off. Settings that cannot be used change nothing; what needs a restart is told by
    the server. Changes of keys, upstreams and prices need no reload."""
    home = config.load().home_path  # raises where the server would refuse
    pid = running(home)
    if pid is None:
        raise CommandError(f"no server runs on {home} (BATON_HOME names another)")
    os.kill(pid, signal.SIGHUP)
    print(f"told the server (process {pid}) to swap its workers")
