"""512 streams at once, beside nginx: python -m bench streams-512 [--rounds N]

512 connections with a stream of 100 chunks each, one every 20 ms (25,600 chunks a second are asked
for), the mock, nginx and Baton in turns. nginx has 4,096 connections a worker: with its default of
512 or the usual 1,024 it cannot carry 512 streams, which need two each. Where less than all chunks
a second arrive, the core, or the one of mock and load, is full: `chunks per second` tells.
"""

import dataclasses
import pathlib
import statistics
from collections.abc import Sequence
from typing import Any

from bench import machine
from bench.relay_bench import WARM_UP, Scenario, in_turns, measure, ratio, summary
from bench.relays import CHUNKS, Relay, beside_nginx
from bench.report import machine_lines, spread_words

ROUNDS = 3
LOAD = Scenario("streams-512", connections=512, seconds=4.0, stamps=CHUNKS)


def run(rounds: int = ROUNDS) -> dict[str, Any]:
    """The machine, every run and the summary."""
    facts = machine.facts()
    with beside_nginx() as (folder, relays):
        for relay in relays:
            measure(relay, relays[0], WARM_UP, folder)
        return {"machine": facts, **measured(relays, rounds, folder)}


def measured(
    relays: Sequence[Relay],
    rounds: int,
    folder: pathlib.Path,
    connections: int = LOAD.connections,
    seconds: float = LOAD.seconds,
) -> dict[str, Any]:
    load = dataclasses.replace(LOAD, connections=connections, seconds=seconds)
    runs = in_turns(relays, relays[0], [load], rounds, folder, quick=connections < LOAD.connections)
    return {"runs": runs, "summary": summary(runs)}


def markdown(result: dict[str, Any]) -> str:
    lines = ["## 512 streams", "", *machine_lines(result["machine"])]
    lines += ["| | µs a chunk | chunks per second | lag p50 / p99 µs | MiB |", "|---" * 5 + "|"]
    for name in ("direct", "nginx", "baton"):
        runs = [run for run in result["runs"] if run["relay"] == name]
        rate = statistics.median(run["load"]["chunks"] / run["load"]["seconds"] for run in runs)
        row = result["summary"][LOAD.name][name]
        if "failed" in row:
            lines.append(f"| {name} | does not answer: {row['failed']} | – | – | – |")
            continue
        lag = f"{row['lag_p50_us']:.0f} / {row['lag_p99_us']:.0f}"
        cost, mib = row["cpu_us_each"], row["memory_mib"]
        lines.append(f"| {name} | {cost:.1f} | {rate:,.0f} | {lag} | {mib:.0f} |")
    told = f"Baton ÷ nginx in one round: {spread_words(ratio(result['runs'], 'baton', 'nginx'))}."
    bad = f"Answers that were not whole: {result['summary']['bad_answers']}."
    return "\n".join([*lines, "", told, bad, ""])
