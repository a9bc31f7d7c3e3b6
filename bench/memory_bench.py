"""What a worker's memory does under load: python -m bench memory [--seconds N]

Baton with everything on, 32 saturated connections for N seconds (40). Resident memory of each
worker (VmRSS, what the kernel holds for it) before the load, after half of it and at its end. The
slope is taken between the last two points: the first half fills buffers, caches and pools.
"""

import dataclasses
import pathlib
from typing import Any

from bench import machine
from bench.processes import resident_mib
from bench.relay_bench import Scenario, put_load
from bench.relays import Relay, beside_nginx
from bench.report import machine_lines

SECONDS, QUICK_SECONDS = 40.0, 2.0
WORKER = "-m baton.worker"
LOAD = Scenario("memory", connections=32, seconds=SECONDS)


def run(seconds: float = SECONDS) -> dict[str, Any]:
    """The machine and the points."""
    facts = machine.facts()
    with beside_nginx() as (folder, relays):
        return {"machine": facts, **measured(relays[-1], seconds, folder)}


def measured(relay: Relay, seconds: float, folder: pathlib.Path) -> dict[str, Any]:
    """Each worker's memory at three points, in MiB, and the slope of each in MiB a minute."""
    half = dataclasses.replace(LOAD, seconds=seconds / 2)
    points, good, bad, took_s = [resident_mib(relay.session, WORKER)], 0, 0, [0.0]
    for _ in range(2):
        load = put_load(relay, half, folder)
        good, bad = good + load["good"], bad + load["bad"]
        took_s.append(load["seconds"])
        points.append(resident_mib(relay.session, WORKER))
    slopes = [
        round((late - early) / took_s[2] * 60, 2)
        for early, late in zip(points[1], points[2], strict=True)
    ]
    return {
        "after_s": [round(sum(took_s[: count + 1]), 1) for count in range(3)],
        "resident_mib": [[round(one, 1) for one in point] for point in points],
        "slope_mib_per_minute": slopes,
        "answers": good,
        "bad_answers": bad,
    }


def markdown(result: dict[str, Any]) -> str:
    lines = ["## Memory of a worker under load", "", *machine_lines(result["machine"])]
    heads = [f"after {at_s:g} s" for at_s in result["after_s"]]
    lines += [f"| worker | {' | '.join(heads)} | MiB a minute |", "|---" * 5 + "|"]
    for worker, slope in enumerate(result["slope_mib_per_minute"]):
        cells = [f"{point[worker]:.1f} MiB" for point in result["resident_mib"]]
        lines.append(f"| {worker} | {' | '.join(cells)} | {slope:+.2f} |")
    told = f"{result['answers']:,} answers, {result['bad_answers']} not whole."
    return "\n".join([*lines, "", told, ""])
