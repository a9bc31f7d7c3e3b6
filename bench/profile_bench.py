"""What a request and a chunk cost where: python -m bench profiles [--publish]

Two ways to look at the same load. `perf` samples all threads of a running Baton and tells in which
library each is: the interpreter, a C library, the system. The bytecodes that a traced worker runs
(`opcodes.py`) tell by file what the interpreter is busy with; the table has its time in proportion
to them. Neither says how long a bytecode takes: one that waits for memory counts as any other.
"""

import pathlib
import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from typing import Any

from bench import machine, opcodes
from bench.relay_bench import SCENARIOS, WARM_UP, Scenario, measure
from bench.relays import CHUNKS, BenchFailed, Relay, beside_nginx
from bench.report import machine_lines
from tests.running import session_members

ROUNDS = 1
SAMPLES_PER_SECOND = 2000
TITLES = {"closed": "A request (32 connections)", "stream": "A chunk (64 streams)"}
LIBRARIES = (
    (r"kernel|vdso|vmlinux", "the system"),
    (r"libpython|/python3?[^/]*$", "Python's interpreter"),
    (r"/msgspec/", "msgspec (JSON)"),
    (r"/uvloop/", "uvloop (the loop, libuv)"),
    (r"/httptools/", "httptools (HTTP)"),
    (r"sqlite3", "SQLite"),
    (r"libcrypto|_hashlib|_sha|blake", "hashes"),
    (r"libc\.so|libc-|ld-linux", "libc (memory, copies)"),
)
"""By what the file of a sample is called; the first that fits."""
STAGES = (
    (r"^baton/http/", "the caller's connection"),
    (r"^baton/(decoding|protocol|long_text|engine_fields)", "decoding the request"),
    (r"^baton/admission/", "who asks, within which rates"),
    (r"^baton/(routing/|relay|sites|filled|configured)", "choosing upstreams"),
    (r"^baton/ledger/", "hold, journal, charge"),
    (r"^baton/upstreams/(connection|transport|response|http)", "the upstream's connection"),
    (r"^baton/upstreams/", "the upstream's words"),
    (r"^baton/(answer|semantics/)", "the answer's events and their encoding"),
    (r"^baton/(turn|ended|under_way|telemetry/)", "the turn's books, log, numbers"),
    (r"^baton/", "the room (completions) and the rest of it"),
    (r"", "Python's library and uvicorn"),
)
LINE = re.compile(r"^\s*(\d+)/(\d+)\s+[0-9a-f]+\s.*\((.*?)\)$")


def run(rounds: int = ROUNDS) -> dict[str, Any]:
    """The machine, and for a request and a chunk the shares of both kinds."""
    if shutil.which("perf") is None:
        raise BenchFailed("missing: perf. Debian has it as linux-perf")
    facts = machine.facts()
    scenarios = [one for one in SCENARIOS if one.name in TITLES]
    with beside_nginx() as (folder, (direct, _, own)):
        measure(own, direct, WARM_UP, folder)
        sampled = {
            one.name: [_sampled(own, direct, one, folder) for _ in range(rounds)]
            for one in scenarios
        }
    return {
        "machine": facts,
        "sampled": sampled,
        "bytecodes": {one.name: _bytecodes(stream=one.stream) for one in scenarios},
    }


def _sampled(own: Relay, direct: Relay, scenario: Scenario, folder: pathlib.Path) -> dict[str, Any]:
    """One load with perf beside it."""
    data = folder / "perf.data"
    pids = ",".join(map(str, session_members(own.session)))
    rate, words = str(SAMPLES_PER_SECOND), ["-e", "cpu-clock", "-p", pids, "-o", str(data)]
    sampling = subprocess.Popen(
        ["perf", "record", "-q", "-F", rate, *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 10
    while not data.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    try:
        measured = measure(own, direct, scenario, folder)
    finally:
        sampling.terminate()
        sampling.wait()
    told = subprocess.run(
        ["perf", "script", "-i", str(data), "-F", "pid,tid,ip,sym,dso"],
        capture_output=True,
        check=True,
    )
    counts = by_library(told.stdout.decode("utf-8", "replace"))
    if not counts:
        raise BenchFailed("perf took no samples: is kernel.perf_event_paranoid above 1?")
    return {
        "cpu_us_each": measured["cpu_us_each"],
        "other_cores": measured["other_cores"],
        "samples": {f"{thread}: {library}": n for (thread, library), n in counts.most_common()},
    }


def by_library(script: str) -> Counter[tuple[str, str]]:
    """Samples by thread and library, from what `perf script` prints."""
    counts: Counter[tuple[str, str]] = Counter()
    for line in script.splitlines():
        if found := LINE.match(line):
            pid, tid, file = found.groups()
            thread = "loop" if pid == tid else "other threads"
            counts[thread, named(file, LIBRARIES, "other libraries")] += 1
    return counts


def by_stage(counts: opcodes.Counts) -> Counter[str]:
    """Bytecodes by stage of a request's life."""
    stages: Counter[str] = Counter()
    for (file, _), number in counts.opcodes.items():
        stages[named(file, STAGES, "")] += number
    return stages


def named(file: str, names: tuple[tuple[str, str], ...], otherwise: str) -> str:
    return next((name for pattern, name in names if re.search(pattern, file)), otherwise)


def _bytecodes(*, stream: bool) -> dict[str, float]:
    """Of one request, or of one chunk of a stream, by stage."""
    requests = 4 if stream else 40
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        (counts,) = opcodes.rounds(pathlib.Path(name), stream, 10, [requests], interval_us=2_000)
    each = requests * (CHUNKS if stream else 1)
    return {stage: round(n / each, 1) for stage, n in by_stage(counts).most_common()}


def markdown(result: dict[str, Any]) -> str:
    lines = ["# What a request and a chunk are made of", "", *machine_lines(result["machine"])]
    lines += [
        "Made by `python -m bench profiles --publish`; `bench/profile_bench.py` tells how.",
        "",
    ]
    for name, title in TITLES.items():
        sampled, stages = result["sampled"][name], result["bytecodes"][name]
        cost = sorted(one["cpu_us_each"] for one in sampled)[len(sampled) // 2]
        counts: Counter[str] = Counter()
        for one in sampled:
            counts.update(one["samples"])
        other = max(one["other_cores"] for one in sampled)
        lines += [f"## {title}: {cost:.1f} µs of processor time", ""]
        lines += [f"Other processes used up to {other:.1f} cores meanwhile (perf among them).", ""]
        lines += ["| thread: library | share | µs |", "|---|---|---|"]
        total = counts.total()
        lines += [
            _row(kind, n / total, cost) for kind, n in counts.most_common() if n * 200 > total
        ]
        python = counts["loop: Python's interpreter"] / total * cost
        codes = sum(stages.values())
        lines += [
            "",
            f"Of the interpreter's {python:.1f} µs in the loop, by its {codes:,.0f} bytecodes:",
        ]
        lines += ["", "| stage | share | µs |", "|---|---|---|"]
        lines += [_row(stage, n / codes, python) for stage, n in stages.items()]
        lines.append("")
    return "\n".join(lines)


def _row(name: str, share: float, cost: float) -> str:
    return f"| {name} | {100 * share:.1f} % | {share * cost:.1f} |"
