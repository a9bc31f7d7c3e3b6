"""`baton restore FOLDER`: a new home from a backup."""

import pathlib
from typing import Annotated

import typer

from baton import config
from baton.cli.output import AsJson, print_fields
from baton.stores import backup, master


def run(
    folder: Annotated[pathlib.Path, typer.Argument(help="What `baton backup` made.")],
    as_json: AsJson = False,
) -> None:
    """Check a backup and put it into BATON_HOME, which must not have a book yet.

    Stop Baton first. Requests that ran during the backup are interrupted at the next start, and
    charged up to their last checkpoint.
    """
    settings = config.load()
    home = settings.home_path
    files = backup.restore(folder, home)
    has_key = bool(settings.master_key) or (home / master.FILE_NAME).exists()
    note = (
        ""
        if has_key
        else "without master.key: set BATON_MASTER_KEY, or remove upstreams with keys, and add them"
    )
    fields = {"home": str(home), "state": "restored", "files": files, "note": note}
    print_fields({name: value for name, value in fields.items() if value}, as_json)
