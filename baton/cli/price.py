"""`baton price`: what a model costs, from when on."""

import time
from typing import Annotated

import typer

from baton.cli.money import nano, pico_per_token, usd, usd_per_million
from baton.cli.opened import ACTOR, opened
from baton.cli.output import AsJson, moment_us, print_fields, print_rows, when
from baton.stores.base import PriceRecord

app = typer.Typer()

COLUMNS = {
    "model": "Model",
    "upstream": "Cost at",
    "input": "Input $/M",
    "cached_input": "Cached $/M",
    "output": "Output $/M",
    "request": "$/request",
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
    upstream: Annotated[
        str | None, typer.Option(help="Set what this upstream costs you, not what callers pay.")
    ] = None,
    effective: Annotated[
        str | None, typer.Option("--from", help="Date, ISO time or span (30d); default: now.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Set a price. Earlier ones stay: what was charged by them can always be recomputed."""
    now_us = time.time_ns() // 1000
    record = PriceRecord(
        version=0,
        model=model,
        upstream=upstream,
        effective_us=0 if effective is None else moment_us(effective, now_us),
        input_pico=pico_per_token(input_),
        cached_input_pico=None if cached_input is None else pico_per_token(cached_input),
        output_pico=pico_per_token(output),
        request_nano=nano(request),
    )
    with opened() as store:
        print_fields(row(store.prices.set(record, ACTOR)), as_json)


@app.command("list")
def list_prices(as_json: AsJson = False) -> None:
    """Every price that was ever set, oldest first."""
    with opened() as store:
        print_rows([row(record) for record in store.prices.all()], COLUMNS, as_json)


def row(record: PriceRecord) -> dict[str, object]:
    """A price as people read it; amounts are decimal strings of US dollars."""
    cached = record.cached_input_pico
    return {
        "version": record.version,
        "model": record.model,
        "upstream": record.upstream,
        "effective": when(record.effective_us),
        "input": usd_per_million(record.input_pico),
        "cached_input": usd_per_million(record.input_pico if cached is None else cached),
        "output": usd_per_million(record.output_pico),
        "request": usd(record.request_nano),
    }
