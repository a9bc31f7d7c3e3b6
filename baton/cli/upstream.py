"""`baton upstream`: the places that answer, and how they are reached."""

import asyncio
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
from baton.cli.output import AsJson, print_fields, print_rows
from baton.cli.upstream_options import (
    Continuation,
    Default,
    Field,
    FimTemplate,
    FirstByte,
    Forbid,
    Force,
    Header,
    Hedge,
    InFlightMax,
    Key,
    LeaveOut,
    MoreKey,
    Priority,
    Probe,
    PublicOnly,
    Stall,
    Total,
    VocabularyFile,
    Weight,
    headers_of,
    keys_of,
    model_names,
    overrides_of,
    pairs_of,
    read_key,
    row,
    times,
)
from baton.cli.upstream_set import set_upstream
from baton.stores.base import UpstreamRecord
from baton.upstreams import endpoint, registry
from baton.upstreams.checking import check, probe, remedy
from baton.upstreams.endpoint import TransportLimits
from baton.upstreams.judging import judge
from baton.upstreams.probing import Finding
from baton.upstreams.proxy import parse_proxy
from baton.web.upstream_live import UpstreamLive

app = typer.Typer()
app.command("set")(set_upstream)

AUTO = "auto"
CHECKED_COLUMNS = {
    "capability": "Capability",
    "declared": "Declared",
    "found": "Found",
    "detail": "What came",
    "remedy": "Remedy",
}
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
    dialect: Annotated[
        str, typer.Option(help="openai, vllm, ollama, …; 'auto' asks the server what it is.")
    ] = "openai",
    key: Key = None,
    priority: Priority = 0,
    weight: Weight = 100,
    in_flight_max: InFlightMax = 1024,
    first_byte: FirstByte = None,
    stall: Stall = None,
    total: Total = None,
    hedge: Hedge = None,
    probe: Probe = None,
    field: Field = None,
    continuation: Continuation = None,
    fim: FimTemplate = None,
    vocabulary: VocabularyFile = None,
    public_only: PublicOnly = False,
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
    secret, headers = read_key(key), headers_of(header or (), os.environ)
    if dialect == AUTO:
        dialect = found_dialect(url, secret, proxy, headers, allow_private=not public_only)
    given = {
        "name": name,
        "url": url,
        "dialect": dialect,
        "models": model_names(model),
        "secret": secret,
        "more_secrets": keys_of(more_key or (), os.environ),
        "headers": headers,
        "proxy": proxy,
        "overrides": overrides_of(force or (), default or (), leave_out or (), forbid or ()),
        "allow_private": not public_only,
        "in_flight_max": in_flight_max,
        **times(first_byte, stall, total, hedge, probe),
        "priority": priority,
        "weight": weight,
        "fields": tuple(field or ()),
        "continuation": pairs_of(continuation or ()),
        "fim": pairs_of(fim or ()),
        "vocabularies": pairs_of(vocabulary or ()),
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


@app.command("test")
def check_upstream(
    name: str,
    model: Annotated[
        str | None, typer.Option(help="Public name of the model to ask; else the first.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask an upstream what it can do, by some twenty tiny calls; they cost what they cost there.

    Exit status 1 where it lacks what its dialect declares."""
    with opened() as store:
        record = store.upstreams.get(name, secrets=True)
    public = model or next(iter(record.models), "")
    if public not in record.models:
        raise CommandError(f"upstream {name} has no model '{public}'")
    rows = asyncio.run(checked_rows(record, record.models[public]))
    print_rows(rows, CHECKED_COLUMNS, as_json)
    if any(each["differs"] and each["declared"] for each in rows):
        raise typer.Exit(1)


async def checked_rows(record: UpstreamRecord, theirs: str) -> list[dict[str, object]]:
    """Each capability: declared, found, and what to do about a difference."""
    try:
        upstream = registry.build(record, TransportLimits())
    except ValueError as error:
        raise CommandError(f"upstream {record.name}: {error}") from None
    try:
        found = await check(upstream, theirs)
    finally:
        await upstream.close()
    return [
        {**msgspec.structs.asdict(each), "differs": each.differs, "remedy": remedy(each)}
        for each in found
    ]


def found_dialect(
    url: str,
    key: str | None,
    proxy: str | None,
    headers: Mapping[str, str],
    *,
    allow_private: bool,
) -> str:
    """What the server says that it is; told to whoever asked."""
    try:
        found = asyncio.run(judged_probe(url, key, proxy, headers, allow_private=allow_private))
    except ValueError as error:
        raise CommandError(f"{url}: {error}") from None
    how = "found" if found.certain else "assumed"
    print(f"Dialect {how}: {found.dialect} ({found.why}).", file=sys.stderr)
    if found.models:
        print(f"Models there: {', '.join(found.models[:20])}.", file=sys.stderr)
    return found.dialect


async def judged_probe(
    url: str,
    key: str | None,
    proxy: str | None,
    headers: Mapping[str, str],
    *,
    allow_private: bool,
) -> Finding:
    """Nothing is asked of a place that must not be called."""
    await judge(endpoint.parse(url, allow_private=allow_private))
    if proxy is not None:
        await judge(parse_proxy(proxy))
    return await probe(url, key, allow_private=allow_private, proxy=proxy, headers=headers)


def live_numbers(settings: config.Settings) -> dict[str, UpstreamLive]:
    """How each upstream fares, told by the Baton that runs here; nothing where none does."""
    key, found = admin_key(settings), {}
    after = ""
    try:
        while key is not None:
            path = f"/admin/v1/upstreams?limit=100{after}"
            response = call(settings.admin_address, path, key, timeout_s=LIVE_TIMEOUT_S)
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
