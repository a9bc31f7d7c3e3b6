"""Alembic, driven by our own connection: the only importer of it."""

import pathlib

from alembic import command
from alembic.config import Config

from baton.stores.database import Database

MIGRATIONS = pathlib.Path(__file__).parent / "migrations"


def configuration() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def move(book: pathlib.Path, target: str, *, down: bool) -> None:
    """Run the migrations up (or down) to `target` in one transaction."""
    database, config = Database(book), configuration()
    try:
        with database.writing() as connection:
            config.attributes["connection"] = connection
            (command.downgrade if down else command.upgrade)(config, target)
    finally:
        database.close()
