"""The `baton` command: which commands there are, and what their exit codes mean.

Only the module of the command that was asked for is imported: `baton --help` reads this table, and
`baton serve` never loads what only the others need; without options not even the parser of them.

Exit codes: 0 done · 1 failed, the message says why · 2 wrong usage · 130 interrupted.
"""

import importlib
import sys
from collections.abc import Sequence
from typing import NamedTuple

from baton.config import SettingsError
from baton.errors import BatonError
from baton.staged import Staged

FAILED, INTERRUPTED = 1, 130


class CommandError(Exception):
    """The command cannot be done; the message says why and what would help."""


class Command(NamedTuple):
    """One command of the table."""

    module: str
    help: str
    group: bool = False
    """Whether it has commands of its own (`app` in its module); else `run` is the command."""


COMMANDS = {
    "serve": Command("serve", "Start Baton in the foreground."),
    "reload": Command(
        "reload", "Swap the workers, with baton.toml as it is now: no request is lost."
    ),
    "engine": Command("engine", "Run the engine process alone (serve does it for you)."),
    "complete": Command("complete", "Stream a completion from a running Baton."),
    "bench": Command(
        "bench",
        "Put a load on a running Baton and measure its answers. The key is charged; "
        "exit code 1 when a request failed.",
    ),
    "key": Command("key", "Create, import, list, show, rotate and revoke keys.", True),
    "account": Command("account", "Organisations, teams and users, and their limits.", True),
    "upstream": Command("upstream", "Add, change, list, test and remove upstreams.", True),
    "model": Command(
        "model", "List the models that callers can name; fetch the embedded one.", True
    ),
    "price": Command("price", "Set and list prices.", True),
    "usage": Command("usage", "What was used and what it cost."),
    "refusals": Command("refusals", "Requests that were refused, and what callers were told."),
    "audit": Command("audit", "Work out every charge and sum of the ledger anew."),
    "backup": Command("backup", "Copy the store while Baton runs."),
    "restore": Command("restore", "Put a backup into a new home."),
    "store": Command("store", "Migrate, copy or prune the store.", True),
    "doctor": Command("doctor", "Check the installation and say what to do."),
    "apply": Command("apply", "Bring keys, upstreams and prices to what a TOML file says."),
    "export": Command("export", "Write keys, upstreams and prices as TOML for `apply`."),
    "completion": Command("completion", "Print what makes a shell complete Baton's commands."),
    "man": Command("man", "Print the manual page."),
}


def run(arguments: Sequence[str], first: Staged | None = None) -> int:
    """Run one command line; the exit code. Messages go to standard error. `first`: the worker of a
    `serve` without options that loads already; it is ended where nothing came of it."""
    try:
        if list(arguments) == ["serve"]:  # as services start it: no options, so nothing to parse
            return int(importlib.import_module("baton.cli.starting").start(first))
        importlib.import_module("baton.cli.parsing").parsed(arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else FAILED
    except BrokenPipeError:
        sys.stderr.close()  # the reader has seen enough (`baton usage | head`)
        return FAILED
    except (BatonError, CommandError, SettingsError, OSError) as error:
        print(f"baton: {error}", file=sys.stderr)  # of the system's errors: a file, disk, memory
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0
