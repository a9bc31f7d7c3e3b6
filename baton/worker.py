"""A relay worker: one process, one event loop, on the socket that the supervisor handed down.

Started as `python -m baton.worker INDEX LISTEN_FD,WATCH_FD,READY_FD` with its settings as JSON on
stdin. It writes `ready` to READY_FD when it accepts connections, and drains and ends on SIGTERM or
when WATCH_FD reports that the supervisor is gone.

What it consists of is loaded before the settings come (staged.py): that is most of a start.
"""

import gc
import importlib
import sys

GC_ALLOCATIONS = 20_000
"""Objects allocated beyond those freed before the collector runs (Python's own default: 700)."""


def main() -> None:
    """The process entry."""
    gc.disable()  # loading makes no garbage: looking for it there takes a seventh of the time
    working = importlib.import_module("baton.working")
    told = sys.stdin.buffer.read()
    if not told:
        return  # nobody wants it any more
    settings = working.prepare(told)
    # What is loaded by now lives as long as the process: the collector need not look at it again,
    # and what a request allocates is freed by counting, so it seldom needs to look at all.
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, 20, 50)
    gc.enable()
    working.serve(settings, *map(int, sys.argv[2].split(",")))


if __name__ == "__main__":
    main()
