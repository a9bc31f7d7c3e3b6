"""`python -m baton` and the `baton` command.

`baton serve` starts its first worker here, before anything else is loaded: what the worker loads is
the longest part of a start.
"""

import importlib
import sys

from baton import staged


def main() -> None:
    """Run the command line; its exit status is the process's."""
    staged.open_standard()
    words = sys.argv[1:]
    if words != ["serve"]:
        sys.exit(run(words))
    try:
        first = staged.start(0)
    except OSError as error:
        sys.exit(f"baton: {staged.NO_PROCESS}: {error.strerror}")
    with first:
        sys.exit(run(words, first))


def run(words: list[str], first: staged.Staged | None = None) -> int:
    """As `baton.cli.main.run`, which is loaded now."""
    return int(importlib.import_module("baton.cli.main").run(words, first))


if __name__ == "__main__":
    main()
