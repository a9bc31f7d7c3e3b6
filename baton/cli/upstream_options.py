"""The options of `baton upstream add` and `set`: what they are, how they are read and shown."""

import json
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Annotated

import msgspec
import typer

from baton.cli.main import CommandError
from baton.cli.output import when
from baton.stores.base import UpstreamRecord

VARIABLE = "$"
KEY_VARIABLE = "BATON_UPSTREAM_KEY"

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
VocabularyFile = Annotated[
    Repeated,
    typer.Option(help="GGUF file with the model's vocabulary: theirs=FILE; *= all. Repeat."),
]
PublicOnly = Annotated[
    bool, typer.Option(help="Refuse it if its name resolves to a private address.")
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
Key = Annotated[
    str | None,
    typer.Option(help=f"Its API key; '-' reads standard input; else {KEY_VARIABLE} if set."),
]
PRIORITY = typer.Option(help="Lower is tried first; the embedded model has 0.", min=0, max=1000)
Priority = Annotated[int, PRIORITY]
Weight = Annotated[int, typer.Option(help="Share among those of one priority.", min=0)]
InFlightMax = Annotated[int, typer.Option(help="Calls under way at once.", min=1)]
FirstByte = Annotated[
    float | None,
    typer.Option("--first-byte-s", help="Until an answer's head; 0: Baton's setting.", min=0),
]
Stall = Annotated[
    float | None,
    typer.Option("--stall-s", help="Between two bytes of an answer; 0: Baton's setting.", min=0),
]
Total = Annotated[
    float | None, typer.Option("--total-s", help="One whole answer; 0: Baton's setting.", min=0)
]
Hedge = Annotated[
    float | None,
    typer.Option("--hedge-after-s", help="Then ask another one as well; 0: never.", min=0),
]
Probe = Annotated[
    float | None, typer.Option("--probe-every-s", help="Ask whether it is there; 0: never.", min=0)
]


def times(
    first_byte: float | None,
    stall: float | None,
    total: float | None,
    hedge: float | None,
    probe: float | None,
) -> dict[str, object]:
    """The record's fields of those that are given; 0 leaves the matter to Baton."""
    given = {
        "first_byte_timeout_s": first_byte,
        "stall_timeout_s": stall,
        "total_timeout_s": total,
        "hedge_after_s": hedge,
        "probe_interval_s": probe,
    }
    return {name: seconds or None for name, seconds in given.items() if seconds is not None}


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


def model_names(given: list[str]) -> dict[str, str]:
    """`public=theirs`, or one name for both, as the mapping that the store keeps."""
    names: dict[str, str] = {}
    for text in given:
        public, _, theirs = text.partition("=")
        if not public or public in names:
            raise CommandError(f"--model {text}: write public=theirs, each public name once")
        names[public] = theirs or public
    return names


def read_key(given: str | None) -> str | None:
    """The provider key from the option, standard input or the environment; None for none."""
    text = sys.stdin.readline() if given == "-" else given or os.environ.get(KEY_VARIABLE, "")
    return text.strip() or None


def row(record: UpstreamRecord) -> dict[str, object]:
    """An upstream for output: whether it has a key, never the key."""
    fields = msgspec.structs.asdict(record)
    has_key = fields.pop("secret") is not None
    del fields["created_us"]
    fields["more_secrets"] = len(record.more_secrets)
    fields["headers"] = sorted(record.headers)
    fields["overrides"] = msgspec.to_builtins(record.overrides)
    return {**fields, "has_key": has_key, "created": when(record.created_us)}
