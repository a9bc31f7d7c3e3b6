"""The options of `baton upstream add` that are more than a word: what they are, and how read."""

import json
from collections.abc import Iterable, Mapping
from typing import Annotated

import typer

from baton.cli.main import CommandError

VARIABLE = "$"

Repeated = list[str] | None
Field = Annotated[
    Repeated, typer.Option(help="A further request field that it takes (top_k). Repeat.")
]
Continuation = Annotated[
    Repeated, typer.Option(help="Of a chat: theirs=instruct, theirs=prefill, …; *= all. Repeat.")
]
FimTemplate = Annotated[
    Repeated,
    typer.Option(help="Fill-in-the-middle template: theirs=qwen; *= all. Repeat."),
]
MoreKey = Annotated[
    Repeated, typer.Option(help="Variable that holds a further key; requests take turns. Repeat.")
]
Header = Annotated[
    Repeated, typer.Option(help="'Name: value' for every request; '$NAME' is a variable. Repeat.")
]
Force = Annotated[Repeated, typer.Option(help="Set a field of every request: name=JSON. Repeat.")]
Default = Annotated[Repeated, typer.Option(help="Set a field that is left out: name=JSON. Repeat.")]
LeaveOut = Annotated[Repeated, typer.Option(help="Never send this field. Repeat.")]
Forbid = Annotated[
    Repeated, typer.Option(help="A field that it lacks, whatever its dialect. Repeat.")
]


def headers_of(given: Iterable[str], environment: Mapping[str, str]) -> dict[str, str]:
    """`Name: value` each; `Name: $VARIABLE` takes the value from the environment."""
    found = {}
    for text in given:
        name, colon, value = text.partition(":")
        if not colon:
            raise CommandError(f"--header {name}: write it as 'Name: value'")
        found[name.strip()] = valued(value.strip(), environment)
    return found


def pairs_of(given: Iterable[str]) -> dict[str, str]:
    """`theirs=word` each; a model's name may hold "=" itself."""
    return dict(pair.rpartition("=")[::2] for pair in given)


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
