"""A relay worker: one process, one event loop, on the sockets that the supervisor handed down.

Started as `python -m baton.worker INDEX READY_FD`. Its settings, as JSON, a pipe to watch and the
listening sockets come over standard input (staged.py), once it has loaded what it consists of: that
is most of a start. It writes `ready` to READY_FD when it accepts connections, and drains and ends
on SIGTERM or when the watched pipe reports that the supervisor is gone.
"""

import gc
import importlib
import sys

from baton import staged

GC_ALLOCATIONS = 20_000
"""Objects allocated beyond those freed before the collector runs (Python's own default: 700)."""


def main() -> None:
    """The process entry."""
    gc.disable()  # loading makes no garbage: looking for it there takes a seventh of the time
    working = importlib.import_module("baton.working")
    told = staged.hear()
    if told is None:
        return
    settings = working.prepare(told[0])
    # What is loaded by now lives as long as the process: the collector need not look at it again,
    # and what a request allocates is freed by counting, so it seldom needs to look at all.
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, 20, 50)
    gc.enable()
    watch_fd, *listen_fds = told[1]
    if not working.serve(settings, watch_fd, listen_fds, int(sys.argv[2])):
        sys.exit(staged.UNUSABLE_EXIT)


if __name__ == "__main__":
    main()
