"""How the cost grows with the prompt, beside nginx: python -m bench prompt-lengths [--rounds N]

Requests with prompts of 1 kB, 10 kB, 100 kB and 1 MB of text, of 1 MB with line ends and quotes
(which JSON writes with escapes) and of an array of 2,000 token ids, 8 saturated connections, nginx
and Baton in turns. nginx keeps the bodies in memory (by default it writes those over 16 kB to a
file, which is dearer). The slope is what each further kB costs between the shortest and the longest
text; its ratio is taken within one round.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from bench import machine
from bench.processes import spread
from bench.relay_bench import Scenario, in_turns, ratio, summary
from bench.relays import Prompt, Relay, beside_nginx
from bench.report import machine_lines, spread_words

ROUNDS = 3
WORD = "lorem ipsum dolor sit amet, "
LINE = '    print("lorem ipsum", dolor)\n'
TEXT_KB = (1, 10, 100, 1000)
TOKENS = 2_000
LOAD = Scenario("length", connections=8, seconds=1.0)


def prompts() -> dict[str, Prompt]:
    """By name, the prompts that are asked."""
    texts: dict[str, Prompt] = {f"{kb} kB": (WORD * kb * 40)[: kb * 1000] for kb in TEXT_KB}
    escaped = {"1000 kB of lines": (LINE * 40_000)[:1_000_000]}
    return texts | escaped | {f"{TOKENS:,} token ids": tuple(range(1000, 1000 + TOKENS))}


def run(rounds: int = ROUNDS) -> dict[str, Any]:
    """The machine, every run and the summary."""
    facts = machine.facts()
    with beside_nginx() as (folder, relays):
        return {"machine": facts, **measured(relays[1:], relays[0], rounds, folder)}


def measured(
    relays: Sequence[Relay],
    upstream: Relay,
    rounds: int,
    folder: pathlib.Path,
    seconds: float = LOAD.seconds,
) -> dict[str, Any]:
    scenarios = [
        dataclasses.replace(LOAD, name=name, prompt=prompt, seconds=seconds)
        for name, prompt in prompts().items()
    ]
    runs = in_turns(relays, upstream, scenarios, rounds, folder, quick=seconds < LOAD.seconds)
    slopes = [
        {name: _slope(runs, number, name) for name in ("nginx", "baton")}
        for number in range(rounds)
    ]
    return {
        "runs": runs,
        "summary": summary(runs),
        "slope_us_per_kb": slopes,
        "slope_ratio": spread([one["baton"] / one["nginx"] for one in slopes]),
    }


def _slope(runs: Sequence[dict[str, Any]], number: int, relay: str) -> float:
    """µs of processor time for each further kB of text, in one round."""
    cost = {
        run["scenario"]: run["cpu_us_each"]
        for run in runs
        if (run["round"], run["relay"]) == (number, relay)
    }
    least, most = TEXT_KB[0], TEXT_KB[-1]
    return float(cost[f"{most} kB"] - cost[f"{least} kB"]) / (most - least)


def markdown(result: dict[str, Any]) -> str:
    lines = ["## Cost by length of the prompt", "", *machine_lines(result["machine"])]
    lines += ["| prompt | nginx, µs each | Baton, µs each | Baton ÷ nginx |", "|---" * 4 + "|"]
    for name in prompts():
        of_length = [run for run in result["runs"] if run["scenario"] == name]
        cells = [_cost(result["summary"][name][relay]) for relay in ("nginx", "baton")]
        found = spread_words(ratio(of_length, "baton", "nginx"))
        lines.append(f"| {name} | {' | '.join(cells)} | {found} |")
    slopes = [sorted(one[name] for one in result["slope_us_per_kb"]) for name in ("nginx", "baton")]
    told = [f"{one[len(one) // 2]:.2f}" for one in slopes]
    ratio_told = spread_words(result["slope_ratio"])
    lines.append(f"| each further kB | {' | '.join(told)} | {ratio_told} |")
    bad = result["summary"]["bad_answers"]
    return "\n".join([*lines, "", f"Answers that were not whole: {bad}.", ""])


def _cost(row: dict[str, Any]) -> str:
    return row["failed"] if "failed" in row else f"{row['cpu_us_each']:.1f}"
