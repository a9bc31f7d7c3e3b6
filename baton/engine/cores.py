"""How many threads compute, and the environment that keeps other libraries from adding theirs.

llama.cpp's OpenMP barriers spin: with as many threads as cores, one busy neighbour makes the engine
collapse to below two tokens per second. Therefore one core is left free.
"""

import contextlib
import os
import pathlib
from collections.abc import Mapping

from baton.engine.crowding import Usage

_TASKS, _STAT = pathlib.Path("/proc/self/task"), pathlib.Path("/proc/stat")
_IDLE_FIELDS = slice(4, 6)
"""Of the first line of /proc/stat: idle, and waiting for a disk."""
_QUOTA = pathlib.Path("/sys/fs/cgroup/cpu.max")


def usable_cores() -> int:
    """Cores that this process may use: its affinity, and no more than its cgroup's quota."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else (os.cpu_count() or 1)
    return max(1, min(cores, _quota_cores(cores)))


def _quota_cores(cores: int) -> int:
    """The quota in whole cores; `cores` where there is none."""
    try:
        quota, period = _QUOTA.read_text(encoding="ascii").split()
        return cores if quota == "max" else int(quota) // int(period)
    except (OSError, ValueError):
        return cores


def default_threads() -> int:
    return max(1, usable_cores() - 1)


def usage() -> Usage | None:
    """What Linux tells of it, about 50 µs and 10 for each thread; None elsewhere."""
    try:
        first = _STAT.read_text(encoding="ascii").partition("\n")[0].split()
        tasks = list(_TASKS.iterdir())
    except OSError:
        return None
    delayed_ns = 0
    for task in tasks:
        with contextlib.suppress(OSError):  # it has just ended
            delayed_ns += int((task / "schedstat").read_text(encoding="ascii").split()[1])
    ticks = sum(map(int, first[_IDLE_FIELDS]))
    return Usage(delayed_ns / 1e9, ticks / os.sysconf("SC_CLK_TCK"))


def openmp_environment(threads: int, given: Mapping[str, str]) -> dict[str, str]:
    """Variables to set before libgomp is loaded; what the operator has set stays."""
    wanted = {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": "1"}
    return {name: value for name, value in wanted.items() if name not in given}
