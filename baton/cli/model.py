"""`baton model`: what callers can write in `model`, and where it comes from."""

from typing import Annotated

import typer

from baton import config
from baton.cli.opened import opened
from baton.cli.output import AsJson, print_fields, print_rows
from baton.cli.progress import shown
from baton.engine import models

app = typer.Typer()
Newest = Annotated[
    bool,
    typer.Option(
        "--newest", help="Ask the hub what the name means now, and take that from now on."
    ),
]


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List the models that callers can name, and the upstreams that answer for each."""
    settings = config.load()
    rows: dict[str, dict[str, object]] = {}
    located = models.locate(settings)
    if located is not None:
        state = "embedded" if located.fetched else "embedded, not fetched yet"
        rows[located.public_name] = {
            "model": located.public_name,
            "embedded": state,
            "file": None if located.path is None else str(located.path),
            "source": located.source or None,
            "upstreams": [],
        }
    with opened(settings) as store:
        for upstream in store.upstreams.all():
            for public, theirs in upstream.models.items():
                unknown = dict.fromkeys(("embedded", "file", "source"))
                row = rows.setdefault(public, {"model": public, **unknown, "upstreams": []})
                there = row["upstreams"]
                assert isinstance(there, list)
                there.append(f"{upstream.name}:{theirs}")
    columns = {"model": "Model", "embedded": "Embedded", "upstreams": "Upstreams", "file": "File"}
    print_rows(list(rows.values()), columns, as_json)


@app.command()
def fetch(newest: Newest = False, as_json: AsJson = False) -> None:
    """Get the embedded model that BATON_MODEL means, unless it is there already."""
    settings = config.load()
    with shown(f"Fetching the model {settings.model}") as progress:
        found = models.resolve(settings, progress, newest=newest)
    if found is None:
        return print_fields({"model": None}, as_json) if as_json else None
    place = models.locate(settings)
    row = {
        "model": found.public_name,
        "source": place.source if place else None,
        "file": str(found.path),
        "sha256": found.sha256,
    }
    print_fields(row, as_json)
