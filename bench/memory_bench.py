"""What a worker's memory does under load: python -m bench memory [--seconds N] [--rate N]

Baton with everything on, 32 connections for N seconds (600: ten minutes), saturated or at a rate of
so many requests a second. Resident memory
of each worker (VmRSS, what the kernel holds for it) before the load and at the end of each tenth of
it. The slope is that of the line through the points of the second half (least squares): the first
fills buffers, caches and pools.
"""

import dataclasses
import pathlib
import statistics
from typing import Any

from bench import machine
from bench.processes import resident_mib
from bench.relay_bench import Scenario, put_load
from bench.relays import Relay, beside_nginx
from bench.report import machine_lines

SECONDS, QUICK_SECONDS, PARTS = 600.0, 2.0, 10
WORKER = "-m baton.worker"
LOAD = Scenario("memory", connections=32, seconds=SECONDS)


def run(seconds: float = SECONDS, rate: float = 0.0) -> dict[str, Any]:
    """The machine and the points; `rate` 0: saturated."""
    facts = machine.facts()
    with beside_nginx() as (folder, relays):
        return {"machine": facts, **measured(relays[-1], seconds, folder, rate)}


def measured(
    relay: Relay, seconds: float, folder: pathlib.Path, rate: float = 0.0
) -> dict[str, Any]:
    """Each worker's memory at every point, in MiB, and its slope at the end in MiB a minute."""
    part = dataclasses.replace(LOAD, seconds=seconds / PARTS, rate=rate)
    points, good, bad, at_s = [resident_mib(relay.session, WORKER)], 0, 0, [0.0]
    for _ in range(PARTS):
        load = put_load(relay, part, folder)
        good, bad = good + load["good"], bad + load["bad"]
        at_s.append(at_s[-1] + load["seconds"])
        points.append(resident_mib(relay.session, WORKER))
    late = PARTS // 2
    return {
        "after_s": [round(one_s, 1) for one_s in at_s],
        "resident_mib": [[round(one, 1) for one in point] for point in points],
        "slope_mib_per_minute": [
            round(slope(at_s[late:], worker) * 60, 2) for worker in zip(*points[late:], strict=True)
        ],
        "rate": rate,
        "answers": good,
        "bad_answers": bad,
    }


def slope(at_s: list[float], values: tuple[float, ...]) -> float:
    """Of the line that fits best, a second."""
    return statistics.linear_regression(at_s, values).slope


def markdown(result: dict[str, Any]) -> str:
    workers = range(len(result["slope_mib_per_minute"]))
    names = [f"worker {worker}" for worker in workers]
    lines = ["## Memory of a worker under load", "", *machine_lines(result["machine"])]
    lines += [f"| after | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for at_s, point in zip(result["after_s"], result["resident_mib"], strict=True):
        lines.append(f"| {at_s:g} s | {' | '.join(f'{one:.1f} MiB' for one in point)} |")
    slopes = ", ".join(f"{one:+.2f}" for one in result["slope_mib_per_minute"])
    rate = f"{result['rate']:g} a second" if result["rate"] else "saturated"
    told = f"{result['answers']:,} answers ({rate}), {result['bad_answers']} not whole."
    ends = f"Over the second half: {slopes} MiB a minute. {told}"
    return "\n".join([*lines, "", ends, ""])
