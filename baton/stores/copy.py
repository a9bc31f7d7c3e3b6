"""Copying a book from one database to another: SQLite to PostgreSQL or back, to move or back up.

Every table is copied from one snapshot into an empty, migrated book, in one transaction; counts,
and the sums of every column that counts something, are compared before it is committed. Journals
on disk stay where they are: what they had posted is known by their number, which comes along.
"""

from collections.abc import Iterator

import sqlalchemy
from sqlalchemy import Integer, Table, func, select, text

from baton.stores import migrate
from baton.stores.base import StoreError
from baton.stores.carried import NUL, REPLACEMENT
from baton.stores.database import Database, DatabaseLimits, Place, name
from baton.stores.refusals import metadata

ROWS_PER_STEP = 2_000
PATIENT = DatabaseLimits(answer_timeout_s=600.0)
PART = 2**31

Row = dict[str, object]


def copy_book(source: Place, target: Place) -> dict[str, int]:
    """Copy the whole book; returns how many rows each table has. Nobody may write to either.

    Raises StoreError when the source is of another schema, the target is not empty, or what arrived
    is not what left; the target is then as it was."""
    if migrate.revision(source) != migrate.HEAD:
        raise StoreError(f"{name(source)} is no book of this Baton's schema {migrate.HEAD}")
    migrate.bring_up(target)
    origin, place = Database(source, limits=PATIENT), Database(target, limits=PATIENT)
    try:
        with origin.reading() as reading, place.writing() as writing:
            for table in metadata.sorted_tables:
                if writing.scalar(select(func.count()).select_from(table)):
                    raise StoreError(f"{name(target)} is not empty: it has rows in {table.name}")
                _copy(reading, writing, table)
            _advance_sequences(writing)
            return {table.name: _same(reading, writing, table) for table in metadata.sorted_tables}
    finally:
        origin.close()
        place.close()


def _copy(reading: sqlalchemy.Connection, writing: sqlalchemy.Connection, table: Table) -> None:
    for rows in _steps(reading, table):
        if writing.dialect.name != "sqlite":
            rows = [{key: _storable(value) for key, value in row.items()} for row in rows]
        writing.execute(table.insert(), rows)


def _steps(reading: sqlalchemy.Connection, table: Table) -> Iterator[list[Row]]:
    query = select(table).order_by(*table.primary_key.columns)
    result = reading.execution_options(yield_per=ROWS_PER_STEP).execute(query)
    for step in result.mappings().partitions():
        yield [dict(row) for row in step]


def _storable(value: object) -> object:
    """PostgreSQL stores no NUL in texts."""
    return value.replace(NUL, REPLACEMENT) if isinstance(value, str) else value


def _advance_sequences(writing: sqlalchemy.Connection) -> None:
    """New rows are numbered after those that were copied."""
    if writing.dialect.name == "sqlite":
        return
    for table in metadata.sorted_tables:
        column = table.autoincrement_column
        if column is not None and writing.scalar(select(func.max(column))):
            sequence = f"pg_get_serial_sequence('{table.name}', '{column.name}')"
            writing.execute(
                text(f"SELECT setval({sequence}, (SELECT max({column.name}) FROM {table.name}))")
            )


def _same(reading: sqlalchemy.Connection, writing: sqlalchemy.Connection, table: Table) -> int:
    """The number of rows, once both sides agree on it and on every sum."""
    whole = [c for c in table.columns if isinstance(c.type, Integer)]
    query = select(func.count(), *(part for each in whole for part in _sums(each)))
    query = query.select_from(table)
    before, after = tuple(reading.execute(query).one()), tuple(writing.execute(query).one())
    if before != after:
        raise StoreError(f"{table.name} did not arrive whole: {before} left, {after} came")
    return int(before[0])


def _sums(column: sqlalchemy.Column[int]) -> tuple[sqlalchemy.ColumnElement[int], ...]:
    """Of the upper and of the lower part of each number: SQLite sums up within 64 bits, and five
    thousand times of day in microseconds are beyond those."""
    return func.sum(column // PART), func.sum(column % PART)
