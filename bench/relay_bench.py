"""The cost of a relayed request and of a relayed chunk, beside nginx on the same mock.

Method: the relay alone on one core, mock and load on another; keep-alive; the same body for all.
Saturated requests (32 connections), a fixed rate of 500 a second (latency from the due time), and
64 streams of 100 chunks, one every 20 ms. Cost is processor time of the relay's whole process
tree, until it is quiet again, over answers or chunks that arrived. The relays take turns; a ratio
is taken within one round, and what other processes used meanwhile is recorded.
"""

import contextlib
import dataclasses
import json
import pathlib
import resource
import statistics
import subprocess
import tempfile
import time
from typing import Any

from bench import machine
from bench.processes import cpu_s, memory_mib, settled_cpu_s
from bench.relays import CHUNKS, LOAD_CORE, Relay, baton, build, check_tools, mock, nginx

NOISE_CORES_MAX = 0.1
TRIES = 3


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One load: `stamps` are the chunks that each stream must have."""

    name: str
    connections: int
    seconds: float
    rate: float = 0.0
    stamps: int = 0

    @property
    def stream(self) -> bool:
        return self.stamps > 0


SCENARIOS = (
    Scenario("closed", connections=32, seconds=3.0),
    Scenario("fixed", connections=16, seconds=3.0, rate=500.0),
    Scenario("stream", connections=64, seconds=4.0, stamps=CHUNKS),
)
QUICK = tuple(dataclasses.replace(scenario, seconds=0.5) for scenario in SCENARIOS)
WARM_UP = Scenario("warm-up", connections=32, seconds=1.0)


def run(rounds: int, *, quick: bool) -> dict[str, Any]:
    """All rounds: facts of the machine, every single run, and the summary."""
    check_tools()
    facts = machine.facts()
    runs: list[dict[str, Any]] = []
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        build(folder)
        direct = stack.enter_context(mock(folder))
        relays = [
            direct,
            stack.enter_context(nginx(folder, direct.port)),
            stack.enter_context(baton(folder, direct.port)),
        ]
        for relay in relays:
            measure(relay, direct, WARM_UP, folder)
        for number in range(rounds):
            for scenario in QUICK if quick else SCENARIOS:
                for relay in relays:
                    result = quietest(relay, direct, scenario, folder)
                    runs.append({"round": number, **result})
                    print(json.dumps(runs[-1]), flush=True)
    return {"machine": facts, "runs": runs, "summary": summary(runs)}


def quietest(
    relay: Relay, upstream: Relay, scenario: Scenario, folder: pathlib.Path
) -> dict[str, Any]:
    """A run without much else on the machine, or the quietest of a few tries."""
    tried: list[dict[str, Any]] = []
    while len(tried) < TRIES:
        tried.append(measure(relay, upstream, scenario, folder))
        if tried[-1]["other_cores"] <= NOISE_CORES_MAX:
            break
    return min(tried, key=lambda one: float(one["other_cores"]))


def measure(
    relay: Relay, upstream: Relay, scenario: Scenario, folder: pathlib.Path
) -> dict[str, Any]:
    """One run of one scenario."""
    machine_before, relay_before = machine.busy_s(), cpu_s(relay.session)
    mock_before, load_before, started = cpu_s(upstream.session), _children_s(), time.monotonic()
    load = _load(relay, scenario, folder)
    answering_s = cpu_s(relay.session) - relay_before
    relay_cpu_s = settled_cpu_s(relay.session) - relay_before
    ours = relay_cpu_s + _children_s() - load_before
    if relay.session != upstream.session:
        ours += cpu_s(upstream.session) - mock_before
    other = machine.busy_s() - machine_before - ours
    answers = load["chunks"] if scenario.stream else load["good"]
    return {
        "relay": relay.name,
        "scenario": scenario.name,
        "cpu_us_each": round(relay_cpu_s * 1e6 / max(1, answers), 2),
        "cpu_us_each_until_answered": round(answering_s * 1e6 / max(1, answers), 2),
        "other_cores": round(max(0.0, other) / (time.monotonic() - started), 3),
        "memory_mib": round(memory_mib(relay.session), 1),
        "load": load,
    }


def _load(relay: Relay, scenario: Scenario, folder: pathlib.Path) -> dict[str, Any]:
    request = folder / "request"
    request.write_bytes(relay.request(stream=scenario.stream))
    words = [
        "taskset", "-c", LOAD_CORE, folder / "load_client", relay.port, scenario.connections,
        scenario.seconds, scenario.rate, scenario.stamps, request,
    ]  # fmt: skip
    told = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, check=True)
    return dict(json.loads(told.stdout))


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """For each scenario and relay the medians, and Baton's ratio to nginx within each round."""
    found: dict[str, Any] = {"bad_answers": sum(run["load"]["bad"] for run in runs)}
    for scenario in dict.fromkeys(run["scenario"] for run in runs):
        of_scenario = [run for run in runs if run["scenario"] == scenario]
        found[scenario] = {
            name: _medians([run for run in of_scenario if run["relay"] == name])
            for name in dict.fromkeys(run["relay"] for run in of_scenario)
        }
        found[scenario]["ratio"] = _ratio(of_scenario)
    return found


def _medians(runs: list[dict[str, Any]]) -> dict[str, float]:
    return {
        "cpu_us_each": statistics.median(run["cpu_us_each"] for run in runs),
        "per_second": statistics.median(run["load"]["per_second"] for run in runs),
        "latency_p50_us": statistics.median(run["load"]["latency_us"]["p50"] for run in runs),
        "latency_p99_us": statistics.median(run["load"]["latency_us"]["p99"] for run in runs),
        "lag_p50_us": statistics.median(run["load"]["lag_us"]["p50"] for run in runs),
        "lag_p99_us": statistics.median(run["load"]["lag_us"]["p99"] for run in runs),
        "memory_mib": statistics.median(run["memory_mib"] for run in runs),
    }


def _ratio(runs: list[dict[str, Any]]) -> dict[str, float]:
    cost = {(run["round"], run["relay"]): run["cpu_us_each"] for run in runs}
    rounds = sorted({number for number, _ in cost})
    ratios = [cost[number, "baton"] / cost[number, "nginx"] for number in rounds]
    return {
        "median": round(statistics.median(ratios), 3),
        "least": round(min(ratios), 3),
        "most": round(max(ratios), 3),
    }
