"""The benchmarks: `make bench`, or python -m bench [relay] [engine] [--rounds N] [--quick].

`python -m bench opcodes` counts the bytecodes of a request instead, `python -m bench affinity`
simulates replicas' caches: whatever the machine does.

Results go to build/bench: one JSON file with every single run, one Markdown page, one chart each.
With --publish they go to docs/benchmarks. The machine should do nothing else meanwhile.
"""

import argparse
import json
import pathlib
import sys
from collections.abc import Callable
from typing import Any

from bench import affinity_bench, engine_bench, opcodes, relay_bench, report
from bench.relays import BenchFailed

ROOT = pathlib.Path(__file__).parent.parent


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
        if "relay" in options.parts:
            result = relay_bench.run(options.rounds, quick=options.quick)
            _write(folder, "relay", result, report.relay_markdown, report.relay_chart)
        if "engine" in options.parts:
            levels = (1, 2) if options.quick else tuple(options.levels)
            result = engine_bench.run(options.rounds, options.threads, levels)
            result["promises"] = engine_bench.promises(options.rounds, options.threads)
            _write(folder, "engine", result, report.engine_markdown, report.engine_chart)
    except BenchFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", default=["relay", "engine"], help="default: both")
    parser.add_argument("--rounds", type=int, default=5, help="turns of everything (5)")
    parser.add_argument("--threads", type=int, default=1, help="of both engines (1)")
    parser.add_argument(
        "--levels", type=int, nargs="+", default=engine_bench.LEVELS, help="engine: streams at once"
    )
    parser.add_argument("--quick", action="store_true", help="does it run? No figures to quote")
    parser.add_argument("--stream", action="store_true", help="opcodes: of a stream of 100 chunks")
    parser.add_argument("--publish", action="store_true", help="write into docs/benchmarks")
    return parser.parse_args()


def _write(
    folder: pathlib.Path,
    name: str,
    result: dict[str, Any],
    page: Callable[[dict[str, Any]], str],
    chart: Callable[[dict[str, Any]], str],
) -> None:
    text = page(result)
    raw = json.dumps(result, indent=1, ensure_ascii=False)
    (folder / f"{name}.json").write_text(raw + "\n", encoding="utf-8")
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    (folder / f"{name}.svg").write_text(chart(result), encoding="utf-8")
    print(text)


if __name__ == "__main__":
    sys.exit(main())
