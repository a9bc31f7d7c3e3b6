"""What the figures were taken on, and what else the machine did meanwhile."""

import datetime
import os
import pathlib
import platform
import re
import subprocess
import sys
from importlib import metadata

PACKAGES = ("baton-relay", "uvicorn", "uvloop", "httptools", "msgspec", "xllamacpp")
TICKS = os.sysconf("SC_CLK_TCK")
IDLE_FIELDS = (3, 4)
"""`idle` and `iowait` in the first line of /proc/stat."""


def facts() -> dict[str, object]:
    """The machine and the versions, for the head of a report."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "processor": _first(r"model name\s*: (.+)", "/proc/cpuinfo"),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(_first(r"MemTotal:\s+(\d+)", "/proc/meminfo")) / 2**20),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": sys.version.split()[0],
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "nginx": _output(["nginx", "-v"]),
        "compiler": _output(["cc", "--version"]).partition("\n")[0],
        "commit": _output(["git", "rev-parse", "--short", "HEAD"]),
        "load_before": os.getloadavg()[0],
    }


def busy_s() -> float:
    """Seconds of processor time that the whole machine has spent since it started."""
    line = pathlib.Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0]
    fields = [int(field) for field in line.split()[1:9]]
    return sum(v for place, v in enumerate(fields) if place not in IDLE_FIELDS) / TICKS


def _first(pattern: str, path: str) -> str:
    found = re.search(pattern, pathlib.Path(path).read_text(encoding="utf-8"))
    return found[1] if found else "unknown"


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "not installed"
    return (done.stdout + done.stderr).strip()
