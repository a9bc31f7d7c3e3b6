"""`baton model`: what callers can write in `model`, and where it comes from."""

import typer

from baton import config
from baton.cli.opened import opened
from baton.cli.output import AsJson, print_fields, print_rows
from baton.cli.progress import shown
from baton.engine import models

app = typer.Typer()


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List the models that callers can name, and the upstreams that answer for each."""
    settings = config.load()
    rows: dict[str, dict[str, object]] = {}
    located = models.locate(settings)
    if located is not None:
        state = "embedded" if located.path.exists() else "embedded, not fetched yet"
        rows[located.public_name] = {
            "model": located.public_name,
            "embedded": state,
            "file": str(located.path),
            "upstreams": [],
        }
    with opened(settings) as store:
        for upstream in store.upstreams.all():
            for public, theirs in upstream.models.items():
                row = rows.setdefault(
                    public, {"model": public, "embedded": None, "file": None, "upstreams": []}
                )
                there = row["upstreams"]
                assert isinstance(there, list)
                there.append(f"{upstream.name}:{theirs}")
    columns = {"model": "Model", "embedded": "Embedded", "upstreams": "Upstreams", "file": "File"}
    print_rows(list(rows.values()), columns, as_json)


@app.command()
def fetch(as_json: AsJson = False) -> None:
    """Get the embedded model that BATON_MODEL means, unless it is there already."""
    settings = config.load()
    with shown(f"Fetching the model {settings.model}") as progress:
        found = models.resolve(settings, progress)
    if found is None:
        return print_fields({"model": None}, as_json) if as_json else None
    row = {"model": found.public_name, "file": str(found.path), "sha256": found.sha256}
    print_fields(row, as_json)
