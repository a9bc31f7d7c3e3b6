"""Alembic, driven by our own connection: the only importer of it."""

import pathlib
from collections.abc import Callable

import sqlalchemy
from alembic import command
from alembic.config import Config

from baton.stores.database import Database, DatabaseLimits, Place

MIGRATIONS = pathlib.Path(__file__).parent / "migrations"
PATIENT = DatabaseLimits(answer_timeout_s=3_600.0, connections_max=1)
"""A migration of a large book may take its time, and others wait for it to end."""


def configuration() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def move(
    book: Place, target: str, first: Callable[[sqlalchemy.Connection], None] | None, *, down: bool
) -> None:
    """Run `first` and the migrations up (or down) to `target` in one transaction, alone."""
    database, config = Database(book, limits=PATIENT), configuration()
    try:
        with database.writing() as connection:
            if first is not None:
                first(connection)
            config.attributes["connection"] = connection
            (command.downgrade if down else command.upgrade)(config, target)
    finally:
        database.close()
