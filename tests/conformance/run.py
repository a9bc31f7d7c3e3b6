"""Run the conformance cases against a running server.

python -m tests.conformance.run http://127.0.0.1:8080 --key sk-… [--model NAME] [--repeat 20]
"""

import argparse
import collections
import pathlib
import sys
import time

from tests.asking import Endpoint
from tests.conformance.cases import CAPABILITIES, FILES, Case, load
from tests.conformance.large import large_cases
from tests.conformance.runner import Result, run_all
from tests.running import DEFAULT_MODEL


def main() -> int:
    """Exit status 1 when any case of any round failed or was skipped."""
    options = _options()
    cases = [case for case in _cases(options.cases) if options.only in case.id]
    endpoint = Endpoint(options.base_url.rstrip("/"), options.key, options.model)
    capabilities = frozenset(filter(None, options.caps.split(",")))
    bad = 0
    for number in range(1, options.repeat + 1):
        bad += _round(number, cases, endpoint, capabilities)
    return 1 if bad else 0


def _cases(paths: list[str]) -> list[Case]:
    if paths:
        return [case for path in paths for case in load(pathlib.Path(path))]
    return [*(case for path in FILES for case in load(path)), *large_cases()]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("base_url", help="the address without /v1")
    parser.add_argument("--key", default="sk-x")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--caps", default=",".join(sorted(CAPABILITIES)), help="default: all")
    parser.add_argument("--only", default="", help="cases whose id contains this")
    parser.add_argument("--cases", action="append", default=[], help="another file; repeatable")
    parser.add_argument("--repeat", type=int, default=1, help="rounds in a row")
    return parser.parse_args()


def _round(number: int, cases: list[Case], endpoint: Endpoint, capabilities: frozenset[str]) -> int:
    started = time.monotonic()
    results: list[Result] = []
    for result in run_all(cases, endpoint, capabilities):
        results.append(result)
        if result.outcome != "pass":
            print(result, flush=True)
    counts = collections.Counter(result.outcome for result in results)
    told = ", ".join(f"{counts[outcome]} {outcome}" for outcome in ("pass", "fail", "skip"))
    print(f"round {number}: {told} in {time.monotonic() - started:.1f} s", flush=True)
    return counts["fail"] + counts["skip"]


if __name__ == "__main__":
    sys.exit(main())
