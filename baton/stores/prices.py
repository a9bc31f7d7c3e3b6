"""Prices in the book: a row is never changed, a new one takes over from its date on."""

import time

import msgspec
import sqlalchemy
from sqlalchemy import func, select

from baton.stores.base import PriceRecord
from baton.stores.changes import Subject, note
from baton.stores.database import Database
from baton.stores.tables import price


class Prices:
    """Set and list prices. Ledger rows name the version that they were charged by."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def set(self, record: PriceRecord, actor: str) -> PriceRecord:
        """Store a price; its `version` is given here, and `effective_us` 0 means from now on."""
        with self._database.writing() as connection:
            version = 1 + int(connection.scalar(select(func.max(price.c.version))) or 0)
            effective_us = record.effective_us or time.time_ns() // 1000
            stored = msgspec.structs.replace(record, version=version, effective_us=effective_us)
            connection.execute(price.insert().values(**msgspec.structs.asdict(stored)))
            note(connection, Subject("price", str(version), actor), "create", stored)
        return stored

    def all(self) -> list[PriceRecord]:
        """Every price that was ever set, oldest first."""
        with self._database.reading() as connection:
            return self.within(connection)

    def within(self, connection: sqlalchemy.Connection) -> list[PriceRecord]:
        rows = connection.execute(select(price).order_by(price.c.version))
        return [PriceRecord(**row._mapping) for row in rows]
