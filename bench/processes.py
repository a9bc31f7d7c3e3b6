"""What a relay costs: the processor time and memory of its whole process tree, from /proc.

The time is the sum of `schedstat` over all threads, in nanoseconds: `utime` and `stime` count in
ticks of 10 ms, which is 5 % of a short run.
"""

import contextlib
import os
import pathlib
import resource
import signal
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence

from tests.running import command_line, session_members

NANOSECONDS = 1e9
QUIET_S, QUIET_SHARE, SETTLE_MAX_S = 0.3, 0.02, 10.0
STOP_TIMEOUT_S = 10.0


def spread(ratios: Sequence[float]) -> dict[str, float]:
    """Of the rounds' ratios."""
    return {
        "median": round(statistics.median(ratios), 3),
        "least": round(min(ratios), 3),
        "most": round(max(ratios), 3),
    }


def cpu_s(session: int) -> float:
    """Processor seconds of all living threads of a session."""
    total = 0
    for pid in session_members(session):
        for path in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                total += int(path.read_text(encoding="ascii").split()[0])
    return total / NANOSECONDS


def children_s() -> float:
    """Processor seconds of the processes that this one started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def settled_cpu_s(session: int) -> float:
    """As cpu_s, once the session has become quiet: work after the last answer counts too."""
    deadline = time.monotonic() + SETTLE_MAX_S
    before = cpu_s(session)
    while time.monotonic() < deadline:
        time.sleep(QUIET_S)
        after = cpu_s(session)
        if after - before < QUIET_SHARE * QUIET_S:
            return after
        before = after
    return before


def memory_mib(session: int) -> float:
    """Proportional set size of all processes of a session."""
    kib = 0
    for pid in session_members(session):
        with contextlib.suppress(OSError):
            lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
            kib += sum(int(line.split()[1]) for line in lines.splitlines() if "Pss:" in line[:4])
    return kib / 1024


def resident_mib(session: int, words: str) -> list[float]:
    """Resident memory of each process of a session whose command line has these words."""
    found = []
    for pid in session_members(session):
        if words in command_line(pid):
            with contextlib.suppress(OSError):
                text = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
                kib = next(line.split()[1] for line in text.splitlines() if "VmRSS:" in line)
                found.append(int(kib) / 1024)
    return found


@contextlib.contextmanager
def running(
    command: Sequence[str],
    core: int | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    log: pathlib.Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, on one core where given; ended with the block.

    What it prints goes to `log`: a pipe that nobody reads stops who writes much.
    """
    pinned = ["taskset", "-c", str(core), *command] if core is not None else list(command)
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("ab")) if log is not None else None
        process = subprocess.Popen(
            pinned,
            start_new_session=True,
            env=dict(environment) if environment is not None else None,
            stdout=output if output is not None else subprocess.PIPE,
            stderr=subprocess.STDOUT if output is not None else None,
        )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end, then end what is left of its session."""
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_TIMEOUT_S)
    for pid in session_members(process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
