"""`baton upstream set`: change what was added. What is not named stays as it is."""

from typing import Annotated

import msgspec
import typer

from baton.cli.checked import check_place, upstream_fields
from baton.cli.main import CommandError
from baton.cli.opened import ACTOR, opened
from baton.cli.output import AsJson, print_fields
from baton.cli.upstream_options import (
    PRIORITY,
    FirstByte,
    Hedge,
    Probe,
    Stall,
    Total,
    VocabularyFile,
    model_names,
    pairs_of,
    read_key,
    row,
    times,
)
from baton.stores.base import UpstreamRecord


def set_upstream(
    name: str,
    url: Annotated[str | None, typer.Option(help="Another address of it.")] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="public=theirs: in place of all models. Repeat.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="Another API key; '-': standard input.")] = None,
    priority: Annotated[int | None, PRIORITY] = None,
    weight: Annotated[int | None, typer.Option(help="Share among equals.", min=0)] = None,
    in_flight_max: Annotated[int | None, typer.Option(help="Calls at once.", min=1)] = None,
    first_byte: FirstByte = None,
    stall: Stall = None,
    total: Total = None,
    hedge: Hedge = None,
    probe: Probe = None,
    vocabulary: VocabularyFile = None,
    as_json: AsJson = False,
) -> None:
    """Change an upstream; workers have it within a second, what runs there goes on."""
    given = {
        "url": url,
        "models": model_names(model) if model else None,
        "secret": None if key is None else read_key(key),
        "priority": priority,
        "weight": weight,
        "in_flight_max": in_flight_max,
        "vocabularies": pairs_of(vocabulary) if vocabulary else None,
    }
    changes: dict[str, object] = {n: v for n, v in given.items() if v is not None}
    changes |= times(first_byte, stall, total, hedge, probe)
    print_fields(row(changed(name, changes)), as_json)


def changed(name: str, changes: dict[str, object]) -> UpstreamRecord:
    """Checked as a whole, as what is added is, and stored."""
    if not changes:
        raise CommandError("nothing to change: name an option")
    with opened() as store:
        present = store.upstreams.get(name, secrets=True)
        fields = msgspec.structs.asdict(msgspec.structs.replace(present, **changes))
        del fields["created_us"]
        checked = upstream_fields(fields)
        future = msgspec.convert({**checked, "created_us": present.created_us}, UpstreamRecord)
        if "url" in changes:
            check_place(future)
        named = {field: checked[field] for field in changes}
        return store.upstreams.update(name, ACTOR, **named)
