"""Migrations: up from nothing they make what the tables declare, and back they leave nothing."""

import contextlib
import pathlib
import sqlite3

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from baton.stores import migrate
from baton.stores.database import Database
from baton.stores.moves import configuration
from baton.stores.refusals import metadata


def objects(book: pathlib.Path) -> dict[str, str]:
    query = (
        "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name != 'alembic_version'"
    )
    with contextlib.closing(sqlite3.connect(book)) as connection:
        return {name: " ".join(sql.split()) for name, sql in connection.execute(query)}


def test_migrations_make_the_declared_tables(tmp_path: pathlib.Path) -> None:
    """Migrated from empty, the book differs in nothing from the metadata; every table is STRICT."""
    migrated, declared = tmp_path / "migrated.db", tmp_path / "declared.db"
    migrate.bring_up(migrated)
    database = Database(declared)
    with database.writing() as connection:
        metadata.create_all(connection)
    database.close()
    made = objects(migrated)
    views = {name for name, sql in made.items() if sql.startswith("CREATE VIEW")}
    assert {"request_entry"} == views
    assert objects(declared) == {name: sql for name, sql in made.items() if name not in views}
    assert all("STRICT" in sql for name, sql in made.items() if sql.startswith("CREATE TABLE"))
    database = Database(migrated)
    with database.reading() as connection:
        assert [] == compare_metadata(MigrationContext.configure(connection), metadata)
    database.close()


def test_head_is_the_newest_script() -> None:
    """The revision that a start compares with is the last migration."""
    assert [migrate.HEAD] == ScriptDirectory.from_config(configuration()).get_heads()


def test_down_and_up_again(tmp_path: pathlib.Path) -> None:
    """Back to nothing, nothing is left; up again, all is there."""
    book = tmp_path / "baton.db"
    migrate.bring_up(book)
    there = objects(book)
    migrate.move(book, "base")
    assert {} == objects(book)
    migrate.bring_up(book)
    assert there == objects(book)
