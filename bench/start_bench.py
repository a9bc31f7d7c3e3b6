"""How long Baton takes to start, without the engine: python -m bench cold-start [--rounds N]

In each round: the time to import the worker's modules, beyond an empty Python; `baton serve`, from
the start of its process on, until /readyz is 200, on a new data folder and again on the same one.
Wall time on all cores, as it is started for real, and processor time of all its processes; the
answer is looked for every 2 ms. A start before them is not counted: it
leaves the compiled modules on disk, which an installed Baton has (also where Python was told to
write none), and in the system's memory: a restart of the program, not of the machine.
"""

import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from bench import machine
from bench.processes import children_s, cpu_s
from bench.report import machine_lines
from tests import running as servers

COMPILED = {"PYTHONDONTWRITEBYTECODE": ""}
ROUNDS, POLL_S, TIMEOUT_S = 5, 0.002, 60.0
TITLES = {
    "import_s": "import of the worker's modules",
    "import_cpu_s": "the same, processor time",
    "first_s": "first start, new data folder, until ready",
    "first_cpu_s": "the same, processor time",
    "again_s": "start again, until ready",
    "again_cpu_s": "the same, processor time",
}


def run(rounds: int = ROUNDS) -> dict[str, Any]:
    """The machine and each round's seconds."""
    facts = machine.facts()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        one_round(pathlib.Path(folder) / "home")
        starts = [one_round(pathlib.Path(folder) / f"home-{number}") for number in range(rounds)]
    return {"machine": facts, "rounds": starts}


def one_round(home: pathlib.Path) -> dict[str, float]:
    """Seconds of an import, of a first start and of a second one."""
    bare_s, bare_cpu_s = _python_s("pass")
    import_s, import_cpu_s = _python_s("import baton.working")
    found = {"import_s": import_s - bare_s, "import_cpu_s": import_cpu_s - bare_cpu_s}
    for name in ("first", "again"):
        found[f"{name}_s"], found[f"{name}_cpu_s"] = start_s(home)
    return {name: round(took_s, 3) for name, took_s in found.items()}


def _python_s(words: str) -> tuple[float, float]:
    """Seconds, and seconds of processor time, of a Python that runs these words."""
    began_s, before_s = time.monotonic(), children_s()
    environment = {**os.environ, **COMPILED}
    subprocess.run([sys.executable, "-c", words], check=True, env=environment)
    return time.monotonic() - began_s, children_s() - before_s


def start_s(home: pathlib.Path) -> tuple[float, float]:
    """Seconds from the command to the first 200 of /readyz, and of processor time until then; it is
    ended again."""
    began_s = time.monotonic()
    server = servers.start(home, {"BATON_MODEL": "none", **COMPILED})
    try:
        while not servers.is_ready(server.base_url):
            if time.monotonic() > began_s + TIMEOUT_S or server.process.poll() is not None:
                raise servers.ServerFailed(server.printed())
            time.sleep(POLL_S)
        took_s = time.monotonic() - began_s
        used_s = cpu_s(server.process.pid)
        server.stop()
        return took_s, used_s
    finally:
        server.kill()


def markdown(result: dict[str, Any]) -> str:
    lines = ["## Cold start without the engine", "", *machine_lines(result["machine"])]
    lines += ["| | seconds, median | least to most |", "|---|---|---|"]
    for name, title in TITLES.items():
        took_s = [one[name] for one in result["rounds"]]
        median = statistics.median(took_s)
        lines.append(f"| {title} | {median:.2f} | {min(took_s):.2f} to {max(took_s):.2f} |")
    return "\n".join([*lines, ""])
