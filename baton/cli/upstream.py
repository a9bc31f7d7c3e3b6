"""`baton upstream`: the places that answer, and how they are reached."""

import http.client
import os
import sys
import time
import urllib.parse
from collections.abc import Mapping
from typing import Annotated

import msgspec
import typer

from baton import config
from baton.cli.calling import admin_key, call
from baton.cli.checked import check_place, upstream_fields
from baton.cli.main import CommandError
from baton.cli.opened import ACTOR, opened
from baton.cli.output import AsJson, print_fields, print_rows, when
from baton.cli.upstream_options import (
    Continuation,
    Default,
    Field,
    FimTemplate,
    Forbid,
    Force,
    Header,
    LeaveOut,
    MoreKey,
    headers_of,
    keys_of,
    overrides_of,
    pairs_of,
)
from baton.stores.base import UpstreamRecord
from baton.web.upstream_live import UpstreamLive

app = typer.Typer()

KEY_VARIABLE = "BATON_UPSTREAM_KEY"
COLUMNS = {
    "name": "Name",
    "dialect": "Dialect",
    "url": "URL",
    "models": "Models (public=theirs)",
    "priority": "Priority",
    "weight": "Weight",
    "has_key": "Key",
    "state": "State",
    "in_flight": "In flight",
    "first_token_p50_ms": "First token ms",
    "ejections": "Ejections",
    "handoffs": "Hand-offs",
}
LIVE_TIMEOUT_S = 2.0


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Your name for it.")],
    url: Annotated[str, typer.Option(help="Base address, as its own documentation gives it.")],
    model: Annotated[list[str], typer.Option(help="public=theirs, or one name for both. Repeat.")],
    dialect: Annotated[str, typer.Option(help="openai, vllm, sglang, llama-server, …")] = "openai",
    key: Annotated[
        str | None,
        typer.Option(help=f"Its API key; '-' reads standard input; else {KEY_VARIABLE} if set."),
    ] = None,
    priority: Annotated[int, typer.Option(help="Lower is tried first.")] = 0,
    weight: Annotated[int, typer.Option(help="Share among those of one priority.", min=0)] = 100,
    in_flight_max: Annotated[int, typer.Option(help="Calls under way at once.", min=1)] = 1024,
    field: Field = None,
    continuation: Continuation = None,
    fim: FimTemplate = None,
    public_only: Annotated[
        bool, typer.Option(help="Refuse it if its name resolves to a private address.")
    ] = False,
    more_key: MoreKey = None,
    header: Header = None,
    proxy: Annotated[str | None, typer.Option(help="HTTP proxy: http://host:port.")] = None,
    force: Force = None,
    default: Default = None,
    leave_out: LeaveOut = None,
    forbid: Forbid = None,
    as_json: AsJson = False,
) -> None:
    """Add an upstream. The key is encrypted before it is stored, and never shown again."""
    given = {
        "name": name,
        "url": url,
        "dialect": dialect,
        "models": model_names(model),
        "secret": read_key(key),
        "more_secrets": keys_of(more_key or (), os.environ),
        "headers": headers_of(header or (), os.environ),
        "proxy": proxy,
        "overrides": overrides_of(force or (), default or (), leave_out or (), forbid or ()),
        "allow_private": not public_only,
        "in_flight_max": in_flight_max,
        "priority": priority,
        "weight": weight,
        "fields": tuple(field or ()),
        "continuation": pairs_of(continuation or ()),
        "fim": pairs_of(fim or ()),
    }
    record = new_record(upstream_fields(given))
    check_place(record)
    with opened() as store:
        store.upstreams.add(record, ACTOR)
    print_fields(row(record), as_json)


@app.command("list")
def list_upstreams(as_json: AsJson = False) -> None:
    """List the upstreams; with how they fare, while a Baton runs here."""
    with opened() as store:
        records = store.upstreams.all(secrets=True)
    told = live_numbers(config.load())
    rows = [{**row(record), **shortened(told.get(record.name))} for record in records]
    print_rows(rows, COLUMNS, as_json)


@app.command()
def show(name: str, as_json: AsJson = False) -> None:
    """Show one upstream, without its key."""
    with opened() as store:
        record = store.upstreams.get(name, secrets=True)
    print_fields({**row(record), **shortened(live_numbers(config.load()).get(name))}, as_json)


@app.command()
def remove(name: str) -> None:
    """Remove an upstream; within a second no request goes there any more."""
    with opened() as store:
        store.upstreams.remove(name, ACTOR)


def row(record: UpstreamRecord) -> dict[str, object]:
    """An upstream for output: whether it has a key, never the key."""
    fields = msgspec.structs.asdict(record)
    has_key = fields.pop("secret") is not None
    del fields["created_us"]
    fields["more_secrets"] = len(record.more_secrets)
    fields["headers"] = sorted(record.headers)
    fields["overrides"] = msgspec.to_builtins(record.overrides)
    return {**fields, "has_key": has_key, "created": when(record.created_us)}


def live_numbers(settings: config.Settings) -> dict[str, UpstreamLive]:
    """How each upstream fares, told by the Baton that runs here; nothing where none does."""
    key, found = admin_key(settings), {}
    after = ""
    try:
        while key is not None:
            path = f"/admin/v1/upstreams?limit=100{after}"
            response = call(settings.address, path, key, timeout_s=LIVE_TIMEOUT_S)
            page = msgspec.json.decode(response.read(), type=LivePage)
            found.update({each.name: each.live for each in page.data})
            if not page.has_more or not page.data:
                break
            after = f"&after={urllib.parse.quote(page.data[-1].name)}"
    except (OSError, http.client.HTTPException, msgspec.DecodeError):
        return found
    return found


class LiveRow(msgspec.Struct):
    name: str
    live: UpstreamLive


class LivePage(msgspec.Struct):
    """What of the answer is needed here."""

    data: list[LiveRow]
    has_more: bool = False


def shortened(live: UpstreamLive | None) -> dict[str, object]:
    """Live numbers for output; every field is there, empty where nothing runs."""
    if live is None:
        return dict.fromkeys(UpstreamLive.__struct_fields__)
    return msgspec.structs.asdict(live)


def new_record(fields: Mapping[str, object]) -> UpstreamRecord:
    """The record of an upstream that is made now, of fields that were checked."""
    return msgspec.convert({**fields, "created_us": time.time_ns() // 1000}, UpstreamRecord)


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
