"""`baton price`: what a model costs, from when on."""

import pathlib
import sys
import time
from typing import Annotated

import msgspec
import typer

from baton.cli.export import in_force
from baton.cli.main import CommandError
from baton.cli.money import usd, usd_per_million
from baton.cli.opened import ACTOR, opened
from baton.cli.output import AsJson, moment_us, print_fields, print_json, print_rows, when
from baton.cli.price_entries import (
    KINDS,
    PriceEntry,
    as_csv,
    entry,
    free_text,
    markup_text,
    new_prices,
    parse,
    record,
)
from baton.stores.base import PriceDetails, PriceRecord

app = typer.Typer()

COLUMNS = {
    "model": "Model",
    "upstream": "Cost at",
    "input": "Input $/M",
    "cached_input": "Cached $/M",
    "output": "Output $/M",
    "request": "$/request",
    "others": "Others $/M",
    "markup": "Markup",
    "free": "Free",
    "effective": "From",
    "version": "Version",
}


@app.command("set")
def set_price(
    model: Annotated[str, typer.Argument(help="Public name of the model.")],
    input_: Annotated[str, typer.Option("--input", help="USD per million prompt tokens.")] = "0",
    output: Annotated[str, typer.Option(help="USD per million generated tokens.")] = "0",
    cached_input: Annotated[
        str | None, typer.Option(help="USD per million cached prompt tokens; default: as --input.")
    ] = None,
    request: Annotated[str, typer.Option(help="USD per request.")] = "0",
    more: Annotated[
        list[str] | None,
        typer.Option("--kind", help=f"KIND=USD per million; {', '.join(KINDS)}. Repeat."),
    ] = None,
    upstream: Annotated[
        str | None, typer.Option(help="Set what this upstream costs you, not what callers pay.")
    ] = None,
    markup: Annotated[
        str | None,
        typer.Option(
            help="20%@UPSTREAM: callers pay its cost and 20 % more, also when it changes."
        ),
    ] = None,
    free: Annotated[
        str | None,
        typer.Option(help="What each key may use free: '100000 tokens/month', '50 requests/day'."),
    ] = None,
    effective: Annotated[
        str | None, typer.Option("--from", help="Date, ISO time or span (30d); default: now.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Set a whole price: what is not given is 0. Earlier ones stay, to work charges out anew."""
    now_us = time.time_ns() // 1000
    percent, _, followed = (markup or "").partition("@")
    given = PriceEntry(
        model=model,
        upstream=upstream,
        input=input_,
        cached_input=cached_input,
        output=output,
        request=request,
        markup=percent or None,
        markup_of=followed or None,
        free=free,
        **_kinds(more or []),
    )
    made = record(given, 0 if effective is None else moment_us(effective, now_us))
    with opened() as store:
        print_fields(row(store.prices.set(made, ACTOR)), as_json)


@app.command("list")
def list_prices(as_json: AsJson = False) -> None:
    """Every price that was ever set, oldest first."""
    with opened() as store:
        print_rows([row(record) for record in store.prices.all()], COLUMNS, as_json)


@app.command("import")
def import_prices(
    file: Annotated[str, typer.Argument(help="JSON or CSV as `export` writes it; - for stdin.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be set.")] = False,
    as_json: AsJson = False,
) -> None:
    """Set the prices of a file, all or none; those that hold already are left out."""
    with opened() as store:
        present, now_us = store.prices.all(), time.time_ns() // 1000
        made = list(new_prices(parse(_read(file)), present, now_us))
        if not dry_run:
            made = store.prices.set_all(made, ACTOR)
    print_rows([row(record) for record in made], COLUMNS, as_json)
    if not as_json:
        print("Nothing was changed: a dry run." if dry_run else f"{len(made)} prices set.")


@app.command("export")
def export_prices(
    csv: Annotated[bool, typer.Option("--csv", help="CSV instead of JSON.")] = False,
) -> None:
    """The prices of now and those to come, as `import` takes them."""
    with opened() as store:
        found = in_force(store.prices.all(), time.time_ns() // 1000)
    entries = [entry(record) for record in found]
    if csv:
        return print(as_csv(entries), end="")
    fields = [msgspec.structs.asdict(each) for each in entries]
    return print_json([{k: v for k, v in each.items() if v is not None} for each in fields])


def row(record: PriceRecord) -> dict[str, object]:
    """A price as people read it; amounts are decimal strings of US dollars."""
    cached, points = record.cached_input_pico, record.markup_bp
    return {
        "version": record.version,
        "model": record.model,
        "upstream": record.upstream,
        "effective": when(record.effective_us),
        "input": usd_per_million(record.input_pico),
        "cached_input": usd_per_million(record.input_pico if cached is None else cached),
        "output": usd_per_million(record.output_pico),
        "request": usd(record.request_nano),
        "others": _others(record.details or PriceDetails()),
        "markup": None if points is None else f"{markup_text(points)} of {record.markup_of}",
        "free": free_text(record.free),
    }


def _others(details: PriceDetails) -> dict[str, str]:
    picos = {name: getattr(details, field) for name, field in KINDS.items()}
    return {name: usd_per_million(pico) for name, pico in picos.items() if pico is not None}


def _kinds(words: list[str]) -> dict[str, str]:
    given = dict(word.partition("=")[::2] for word in words)
    if wrong := given.keys() - KINDS.keys():
        raise CommandError(f"'{min(wrong)}' is no kind of tokens: {', '.join(KINDS)}")
    return given


def _read(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else pathlib.Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} cannot be read: {error}") from None
