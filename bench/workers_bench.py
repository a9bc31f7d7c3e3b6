"""What a request costs with two workers, beside one: python -m bench workers [--rounds N]

Two Batons on one core, one with BATON_WORKERS=1 and one with 2, take turns with 32 and with 64
saturated connections. Cost is processor time of the whole process tree; the rate on one core is
shown, and says nothing of what two workers do on two cores, which this machine's load client needs
itself.

Two ratios: for the same load, of which each of two workers has half, and for workers that are
equally busy (32 connections each). What a worker does once for all that came meanwhile (a turn of
its loop, a commit of its journal) is shared by fewer requests in the first.
"""

import contextlib
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from bench import machine
from bench.relay_bench import WARM_UP, Scenario, in_turns, measure, ratio, summary
from bench.relays import Relay, baton, beside_nginx
from bench.report import machine_lines, spread_words

ROUNDS = 3
ONE, TWO = "baton", "baton, 2 workers"
LOAD = Scenario("32 connections", connections=32, seconds=2.0)
TWICE = Scenario("64 connections", connections=64, seconds=2.0)


def run(rounds: int = ROUNDS) -> dict[str, Any]:
    """The machine, every run, the summary and the ratio of two workers to one."""
    facts = machine.facts()
    with contextlib.ExitStack() as stack:
        folder, (direct, _, one) = stack.enter_context(beside_nginx())
        two = stack.enter_context(baton(folder / "two", direct.port, TWO, {"BATON_WORKERS": "2"}))
        for relay in (one, two):
            measure(relay, direct, WARM_UP, folder)
        return {"machine": facts, **measured([one, two], direct, rounds, folder)}


def measured(
    relays: Sequence[Relay],
    upstream: Relay,
    rounds: int,
    folder: pathlib.Path,
    seconds: float = LOAD.seconds,
) -> dict[str, Any]:
    loads = [dataclasses.replace(load, seconds=seconds) for load in (LOAD, TWICE)]
    runs = in_turns(relays, upstream, loads, rounds, folder, quick=seconds < LOAD.seconds)
    busy = {ONE: LOAD.name, TWO: TWICE.name}
    return {
        "runs": runs,
        "summary": summary(runs),
        "ratio": ratio([run for run in runs if run["scenario"] == LOAD.name], TWO, ONE),
        "as_busy": ratio([run for run in runs if run["scenario"] == busy[run["relay"]]], TWO, ONE),
    }


def markdown(result: dict[str, Any]) -> str:
    lines = ["## Two workers beside one", "", *machine_lines(result["machine"])]
    lines += ["| | connections | µs each | per second on one core |", "|---" * 4 + "|"]
    for load in (LOAD, TWICE):
        for name, title in ((ONE, "one worker"), (TWO, "two workers")):
            row = result["summary"][load.name][name]
            cost, rate = row["cpu_us_each"], row["per_second"]
            lines.append(f"| {title} | {load.connections} | {cost:.1f} | {rate:,.0f} |")
    told = f"Two ÷ one in one round: {spread_words(result['ratio'])}."
    busy = f"Two ÷ one, each worker as busy: {spread_words(result['as_busy'])}."
    bad = f"Answers that were not whole: {result['summary']['bad_answers']}."
    return "\n".join([*lines, "", told, busy, bad, ""])
