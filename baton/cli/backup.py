"""`baton backup TARGET`: a copy of the store, made while Baton runs."""

import pathlib
from typing import Annotated

import typer

from baton import config
from baton.cli.output import AsJson, print_fields
from baton.stores import backup


def run(
    target: Annotated[pathlib.Path, typer.Argument(help="A folder that does not exist yet.")],
    check: Annotated[
        bool, typer.Option("--check", help="Only check a backup that was made before.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Copy the store and its journals, whole and consistent, and check the copy."""
    if not check:
        backup.backup(config.load().home_path, target)
    backup.check(target)
    print_fields({"backup": str(target.absolute()), "state": "whole"}, as_json)
