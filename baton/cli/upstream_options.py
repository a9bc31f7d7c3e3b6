"""The options of `baton upstream add` that are more than a word: headers, keys, overrides."""

import json
from collections.abc import Iterable, Mapping

from baton.cli.main import CommandError

VARIABLE = "$"


def headers_of(given: Iterable[str], environment: Mapping[str, str]) -> dict[str, str]:
    """`Name: value` each; `Name: $VARIABLE` takes the value from the environment."""
    found = {}
    for text in given:
        name, colon, value = text.partition(":")
        if not colon:
            raise CommandError(f"--header {name}: write it as 'Name: value'")
        found[name.strip()] = valued(value.strip(), environment)
    return found


def valued(text: str, environment: Mapping[str, str]) -> str:
    """The text, or what the environment has for `$VARIABLE`."""
    if not text.startswith(VARIABLE):
        return text
    variable = text.removeprefix(VARIABLE)
    if variable not in environment:
        raise CommandError(f"{variable}, which holds a header's value, is not set")
    return environment[variable]


def keys_of(variables: Iterable[str], environment: Mapping[str, str]) -> tuple[str, ...]:
    """Further keys, each from a variable, so that none stands on a command line."""
    found = []
    for variable in variables:
        key = environment.get(variable, "").strip()
        if not key:
            raise CommandError(f"{variable}, which holds a key, is not set")
        found.append(key)
    return tuple(found)


def overrides_of(
    force: Iterable[str], default: Iterable[str], remove: Iterable[str], forbid: Iterable[str]
) -> dict[str, object]:
    """`name=JSON` each, and names; what they may be is checked with the rest of the record."""
    names = {"remove": list(remove), "forbid": list(forbid)}
    return {"force": _fields(force), "default": _fields(default), **names}


def _fields(given: Iterable[str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            found[name] = json.loads(value)
        except ValueError:
            raise CommandError(f"{name}: write name=JSON, a text in quotes") from None
    return found
