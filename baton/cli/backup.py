"""`baton backup TARGET`: a copy of the store, made while Baton runs."""

import pathlib
from typing import Annotated

import typer

from baton import config
from baton.cli.main import CommandError
from baton.cli.output import AsJson, print_fields
from baton.stores import backup
from baton.stores.book import book_place


def run(
    target: Annotated[pathlib.Path, typer.Argument(help="A new or empty folder.")],
    check: Annotated[
        bool, typer.Option("--check", help="Only check a backup that was made before.")
    ] = False,
    without_master_key: Annotated[
        bool,
        typer.Option("--without-master-key", help="Leave out what opens the provider keys in it."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Copy the store and its journals, whole and consistent, and check the copy.

    It contains master.key, which opens the provider keys in it, unless that is left out: keep it as
    safe as the keys themselves. To restore: `baton restore FOLDER`.
    """
    if not check:
        settings = config.load()
        backup.backup(
            settings.home_path,
            target,
            master_key=not without_master_key,
            book=book_place(settings),
        )
    if faults := backup.check(target):
        raise CommandError(f"{target} cannot be restored: {'; '.join(faults)}")
    files = sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file())
    print_fields({"backup": str(target.absolute()), "state": "whole", "files": files}, as_json)
