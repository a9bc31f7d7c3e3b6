"""The cost of a relayed request and of a relayed chunk, beside nginx and others on the same mock.

Method: the relay alone on one core, mock and load on another; keep-alive; the same body for all.
Saturated requests (32 connections), a fixed rate of 500 a second (latency from the due time), and
64 streams of 100 chunks, one every 20 ms. Cost is processor time of the relay's whole process
tree, until it is quiet again, over answers or chunks that arrived. The relays take turns; a ratio
is taken within one round, and what other processes used meanwhile is recorded.

With peers (`bench/peers.py`) these stand in the same rounds; one that cannot be installed or
started is named in the result with the reason, and so is what was not answered whole. A relay that
cannot do the fixed rate shows the rate that it did; its latency grows from the due times.
"""

import contextlib
import dataclasses
import json
import pathlib
import statistics
import subprocess
import time
from collections.abc import Sequence
from typing import Any

from bench import machine, peers
from bench.processes import children_s, cpu_s, memory_mib, settled_cpu_s, spread
from bench.relays import CHUNKS, LOAD_CORE, PROMPT, Prompt, Relay, beside_nginx

NOISE_CORES_MAX = 0.1
NOT_REACHED: dict[str, Any] = {
    "good": 0, "bad": 1, "chunks": 0, "seconds": 1.0, "per_second": 0.0,
    "latency_us": {"p50": -1, "p99": -1}, "lag_us": {"p50": -1, "p99": -1},
}  # fmt: skip
"""What stands for the load client's word where a relay took no connection."""
RATIOS = {"haproxy": ("baton", "haproxy")}
"""Which way a peer's ratio to Baton is taken, where it is not how much dearer the peer is."""
TRIES = 3


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One load: `stamps` are the chunks that each stream must have."""

    name: str
    connections: int
    seconds: float
    rate: float = 0.0
    stamps: int = 0
    prompt: Prompt = PROMPT

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


def run(rounds: int, *, quick: bool, beside: Sequence[str] = ()) -> dict[str, Any]:
    """All rounds: facts of the machine, every single run, and the summary."""
    facts = machine.facts()
    with contextlib.ExitStack() as stack:
        folder, relays = stack.enter_context(beside_nginx())
        direct = relays[0]
        found, unavailable = peers.start(stack, beside, folder, direct.port)
        relays += found
        facts["peers"] = peers.versions([relay.name for relay in found])
        for relay in relays:
            measure(relay, direct, WARM_UP, folder)
        scenarios = QUICK if quick else SCENARIOS
        runs = in_turns(relays, direct, scenarios, rounds, folder, quick=quick)
    return {
        "machine": facts,
        "unavailable": unavailable,
        "runs": runs,
        "summary": summary(runs),
    }


def in_turns(
    relays: Sequence[Relay],
    upstream: Relay,
    scenarios: Sequence[Scenario],
    rounds: int,
    folder: pathlib.Path,
    *,
    quick: bool,
) -> list[dict[str, Any]]:
    """Every scenario of every relay in each round, in front of one mock."""
    runs: list[dict[str, Any]] = []
    for number in range(rounds):
        for scenario in scenarios:
            for relay in relays:
                result = quietest(relay, upstream, scenario, folder, 1 if quick else TRIES)
                runs.append({"round": number, **result})
                print(json.dumps(runs[-1]), flush=True)
    return runs


def quietest(
    relay: Relay, upstream: Relay, scenario: Scenario, folder: pathlib.Path, tries: int = TRIES
) -> dict[str, Any]:
    """A run without much else on the machine, or the quietest of a few tries."""
    tried: list[dict[str, Any]] = []
    while len(tried) < tries:
        tried.append(measure(relay, upstream, scenario, folder))
        if tried[-1]["other_cores"] <= NOISE_CORES_MAX:
            break
    return min(tried, key=lambda one: float(one["other_cores"]))


def measure(
    relay: Relay, upstream: Relay, scenario: Scenario, folder: pathlib.Path
) -> dict[str, Any]:
    """One run of one scenario."""
    machine_before, relay_before = machine.busy_s(), cpu_s(relay.session)
    mock_before, load_before, started = cpu_s(upstream.session), children_s(), time.monotonic()
    load = put_load(relay, scenario, folder)
    answering_s = cpu_s(relay.session) - relay_before
    relay_cpu_s = settled_cpu_s(relay.session) - relay_before
    ours = relay_cpu_s + children_s() - load_before
    if relay.session != upstream.session:
        ours += cpu_s(upstream.session) - mock_before
    other = machine.busy_s() - machine_before - ours
    answers = load["chunks"] if scenario.stream else load["good"]
    return {
        "relay": relay.name,
        "scenario": scenario.name,
        "rate": scenario.rate,
        "answers": answers,
        "cpu_us_each": round(relay_cpu_s * 1e6 / max(1, answers), 2),
        "cpu_us_each_until_answered": round(answering_s * 1e6 / max(1, answers), 2),
        "other_cores": round(max(0.0, other) / (time.monotonic() - started), 3),
        "memory_mib": round(memory_mib(relay.session), 1),
        "load": load,
    }


def put_load(relay: Relay, scenario: Scenario, folder: pathlib.Path) -> dict[str, Any]:
    """What the load client tells of one load, and of the first answer that was not whole."""
    request = folder / "request"
    request.write_bytes(relay.request(stream=scenario.stream, prompt=scenario.prompt))
    words = [
        "taskset", "-c", LOAD_CORE, folder / "load_client", relay.port, scenario.connections,
        scenario.seconds, scenario.rate, scenario.stamps, request,
    ]  # fmt: skip
    told = subprocess.run([str(word) for word in words], capture_output=True, check=False)
    found = dict(json.loads(told.stdout)) if told.returncode == 0 else dict(NOT_REACHED)
    lines = told.stderr.decode("utf-8", "replace").splitlines()
    return found | ({"first_bad": lines[0].removeprefix("first bad answer: ")} if lines else {})


def summary(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """For each scenario and relay the medians, and ratios of costs within each round.

    A relay that answered nothing has no figures but `failed`: what it said first.
    """
    found: dict[str, Any] = {"bad_answers": sum(run["load"]["bad"] for run in runs)}
    found["bad"] = _bad(runs)
    for scenario in dict.fromkeys(run["scenario"] for run in runs):
        of_scenario = [run for run in runs if run["scenario"] == scenario]
        names = dict.fromkeys(run["relay"] for run in of_scenario)
        found[scenario] = {
            name: _medians([run for run in of_scenario if run["relay"] == name]) for name in names
        }
        found[scenario]["ratio"] = ratio(of_scenario, "baton", "nginx")
        beside = [name for name in names if name in peers.TITLES]
        found[scenario]["ratios"] = {
            name: ratio(of_scenario, *RATIOS.get(name, (name, "baton"))) for name in beside
        }
    return found


def _bad(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """By relay and scenario, how many answers were not whole, of how many, and the first."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for run in runs:
        load, place = run["load"], (run["relay"], run["scenario"])
        if load["bad"]:
            one = found.setdefault(place, {"bad": 0, "all": 0, "first": load.get("first_bad", "")})
            one["bad"] += load["bad"]
            one["all"] += load["bad"] + load["good"]
    return [{"relay": relay, "scenario": name, **one} for (relay, name), one in found.items()]


def _medians(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    answered = [run for run in runs if run["answers"]]
    if not answered:
        return {"failed": runs[0]["load"].get("first_bad", "no answer")}
    read = {
        "cpu_us_each": lambda run: run["cpu_us_each"],
        "per_second": lambda run: run["load"]["per_second"],
        "latency_p50_us": lambda run: run["load"]["latency_us"]["p50"],
        "latency_p99_us": lambda run: run["load"]["latency_us"]["p99"],
        "lag_p50_us": lambda run: run["load"]["lag_us"]["p50"],
        "lag_p99_us": lambda run: run["load"]["lag_us"]["p99"],
        "memory_mib": lambda run: run["memory_mib"],
    }
    medians = {name: statistics.median(map(one, answered)) for name, one in read.items()}
    return medians | {"rate": runs[0]["rate"]}


def ratio(runs: Sequence[dict[str, Any]], over: str, under: str) -> dict[str, float] | None:
    """Of the costs of two relays, with its spread; None where no round has answers of both."""
    cost = {(run["round"], run["relay"]): run["cpu_us_each"] for run in runs if run["answers"]}
    rounds = sorted({number for number, _ in cost})
    ratios = [
        cost[number, over] / cost[number, under]
        for number in rounds
        if (number, over) in cost and (number, under) in cost
    ]
    return spread(ratios) if ratios else None
