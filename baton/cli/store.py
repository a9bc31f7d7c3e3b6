"""`baton store`: what is done with the store as a whole."""

import datetime
import pathlib
from typing import Annotated

import typer

from baton.cli.main import CommandError
from baton.cli.money import usd
from baton.cli.opened import opened
from baton.cli.output import AsJson, print_fields
from baton.stores.archive import archive

app = typer.Typer()


@app.callback()
def about() -> None:
    """What is done with the store as a whole."""


@app.command("prune")
def prune(
    before: Annotated[
        str, typer.Option(help="Requests of days before this one, YYYY-MM-DD (UTC).")
    ],
    file: Annotated[
        pathlib.Path, typer.Option("--archive", help="A new file: gzip, a JSON object a line.")
    ],
    as_json: AsJson = False,
) -> None:
    """Move old requests out of the store into a file, while Baton runs.

    Balances, entries and all sums stay as they are; only the single requests are gone.
    """
    try:
        day = datetime.date.fromisoformat(before)
    except ValueError:
        raise CommandError(f"'{before}' is no day: write YYYY-MM-DD") from None
    with opened() as store:
        done = archive(store.database, day, datetime.datetime.now(datetime.UTC).date(), file)
    told = {"requests": done.requests, "charge": usd(done.charge_nano), "archive": done.file}
    print_fields(told, as_json)
