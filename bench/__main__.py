"""The benchmarks: `make bench`, or python -m bench [PART …] [--rounds N] [--quick].

Parts: relay and engine (both where none is named); cold-start, prompt-lengths, workers and
streams-512 tell more of the relay, each in about a minute, memory in ten; profiles where its time
goes (needs perf). `--peers haproxy litellm portkey` after `relay` measures these in the same
rounds; LiteLLM and Portkey are installed apart where they are not yet (bench/peers_setup.py: needs
the registries, takes minutes). A peer that cannot be had or started is named on the page with the
reason.

`python -m bench opcodes` counts the bytecodes of a request instead, `python -m bench affinity`
simulates replicas' caches: whatever the machine does.

Results go to build/bench: one JSON file with every single run, one Markdown page, one chart each.
With --publish they go to docs/benchmarks. The machine should do nothing else meanwhile.
"""

import argparse
import json
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

from bench import (
    affinity_bench,
    engine_bench,
    length_bench,
    memory_bench,
    opcodes,
    peers,
    profile_bench,
    relay_bench,
    report,
    start_bench,
    streams_bench,
    workers_bench,
)
from bench.relays import BenchFailed

ROOT = pathlib.Path(__file__).parent.parent
ROUNDS = 5
MORE = {
    "cold-start": start_bench,
    "prompt-lengths": length_bench,
    "workers": workers_bench,
    "streams-512": streams_bench,
    "profiles": profile_bench,
}
"""Parts with a table of their own and nothing to choose but the rounds."""
PARTS = ("relay", "engine", "memory", *MORE, "opcodes", "affinity")


def main() -> int:
    options = _options()
    if options.parts == ["opcodes"]:
        print(opcodes.run(stream=options.stream))
        return 0
    if options.parts == ["affinity"]:
        print(affinity_bench.run())
        return 0
    folder = ROOT / ("docs/benchmarks" if options.publish else "build/bench")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _measure(options, folder)
    except BenchFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


def _measure(options: argparse.Namespace, folder: pathlib.Path) -> None:
    rounds = options.rounds or (1 if options.quick else ROUNDS)
    if "relay" in options.parts:
        result = relay_bench.run(rounds, quick=options.quick, beside=options.peers)
        _write(folder, "relay", result, report.relay_markdown, report.relay_chart)
    if "engine" in options.parts:
        levels = (1, 2) if options.quick else tuple(options.levels)
        result = engine_bench.run(rounds, options.threads, levels)
        result["promises"] = engine_bench.promises(rounds, options.threads)
        _write(folder, "engine", result, report.engine_markdown, report.engine_chart)
    if "memory" in options.parts:
        seconds = memory_bench.QUICK_SECONDS if options.quick else options.seconds
        _write(folder, "memory", memory_bench.run(seconds, options.rate), memory_bench.markdown)
    for name in [part for part in options.parts if part in MORE]:
        rounds = options.rounds or (1 if options.quick else MORE[name].ROUNDS)
        _write(folder, name, MORE[name].run(rounds), MORE[name].markdown)


def _options(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument(
        "--peers", nargs="+", choices=list(peers.PEERS), default=[], help="relay: beside these too"
    )
    parser.add_argument("--rounds", type=int, help="turns of everything (5; some parts 3)")
    parser.add_argument(
        "--seconds", type=float, default=memory_bench.SECONDS, help="memory: of load (600)"
    )
    parser.add_argument(
        "--rate", type=float, default=0.0, help="memory: requests a second (0: saturated)"
    )
    parser.add_argument("--threads", type=int, default=1, help="of both engines (1)")
    parser.add_argument(
        "--levels", type=int, nargs="+", default=engine_bench.LEVELS, help="engine: streams at once"
    )
    parser.add_argument("--quick", action="store_true", help="does it run? No figures to quote")
    parser.add_argument("--stream", action="store_true", help="opcodes: of a stream of 100 chunks")
    parser.add_argument("--publish", action="store_true", help="write into docs/benchmarks")
    options = parser.parse_args(words)
    if unknown := [part for part in options.parts if part not in PARTS]:
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    options.parts = options.parts or ["relay", "engine"]
    return options


def _write(
    folder: pathlib.Path,
    name: str,
    result: dict[str, Any],
    page: Callable[[dict[str, Any]], str],
    chart: Callable[[dict[str, Any]], str] | None = None,
) -> None:
    text = page(result)
    raw = json.dumps(result, indent=1, ensure_ascii=False)
    (folder / f"{name}.json").write_text(raw + "\n", encoding="utf-8")
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    if chart is not None:
        (folder / f"{name}.svg").write_text(chart(result), encoding="utf-8")
    print(text)


if __name__ == "__main__":
    sys.exit(main())
