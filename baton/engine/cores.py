"""How many threads compute, and the environment that keeps other libraries from adding theirs.

llama.cpp's OpenMP barriers spin: with as many threads as cores, one busy neighbour makes the engine
collapse to below two tokens per second. Therefore one core is left free.
"""

import os
import pathlib
from collections.abc import Mapping

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


def openmp_environment(threads: int, given: Mapping[str, str]) -> dict[str, str]:
    """Variables to set before libgomp is loaded; what the operator has set stays."""
    wanted = {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": "1"}
    return {name: value for name, value in wanted.items() if name not in given}
