"""Every named check that a case may ask for, and how one is run.

A check is a function of the exchange and the case's arguments; it raises CheckFailed. `["name", 1]`
and `"name:1"` both pass arguments.
"""

from collections.abc import Callable
from typing import Any

from tests.conformance import checks_http, checks_logprobs, checks_stream, checks_whole
from tests.conformance.cases import Exchange
from tests.conformance.expecting import CheckFailed

Check = Callable[..., None]

MODULES = (checks_whole, checks_logprobs, checks_stream, checks_http)
RENAMED = {"object": checks_whole.object_whole}


def registry() -> dict[str, Check]:
    """Every public function of the four files whose first parameter is the exchange, by name."""
    found: dict[str, Check] = dict(RENAMED)
    for module in MODULES:
        for name, value in vars(module).items():
            ours = getattr(value, "__module__", "") == module.__name__ and name[0] != "_"
            if ours and _takes_exchange(value):
                found[name] = value
    return found


def _takes_exchange(function: Any) -> bool:
    annotations = list(getattr(function, "__annotations__", {}).items())
    return bool(annotations) and annotations[0] == ("seen", Exchange)


def run_check(known: dict[str, Check], wanted: str | list[Any], seen: Exchange) -> None:
    """Run one check of a case; CheckFailed where it fails or nobody knows it."""
    name, arguments = _parsed(wanted)
    if name not in known:
        raise CheckFailed(f"unknown check {name}")
    known[name](seen, *arguments)


def _parsed(wanted: str | list[Any]) -> tuple[str, list[Any]]:
    if isinstance(wanted, list):
        return str(wanted[0]), wanted[1:]
    name, *arguments = wanted.split(":")
    return name, list(arguments)
