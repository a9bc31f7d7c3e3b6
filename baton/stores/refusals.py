"""The request log: refused requests, which are on no ledger. It is lossy, and pruned.

What comes here was chosen before (telemetry/refused.py). Rows stay for as many days as the settings
say, and the newest so many of them: whoever writes removes the others now and then.
"""

from collections.abc import Sequence

import msgspec
import sqlalchemy
from sqlalchemy import Column, Index, Table, Text, delete, func, select, text

from baton.stores.base import Missing
from baton.stores.database import Database
from baton.stores.moved import metadata as metadata
from baton.stores.tables import Whole, whole, words
from baton.telemetry.refused import Refusal

REMOVED_ROWS_MAX = 2_000
"""That one transaction removes: others wait for it, in a file."""

refusal = Table(
    "refusal",
    metadata,
    Column("id", Whole, primary_key=True),  # in the order of writing
    Column("request_id", Text, nullable=False, unique=True),
    whole("at_us"),
    words("key_id"),  # "" where no key was shown that is known
    words("route"),
    words("model"),
    whole("status"),
    Column("code", Text),
    Column("param", Text),
    words("message"),
    whole("times"),  # of the row and those that it stands for
    Index("refusal_at", "at_us"),
    sqlite_strict=True,
)

_NAMES = Refusal.__struct_fields__
_ADD = text(
    f"INSERT INTO refusal({', '.join(_NAMES)}) VALUES({', '.join(f':{n}' for n in _NAMES)})"
    " ON CONFLICT(request_id) DO NOTHING"
)


class RefusalRecord(Refusal, kw_only=True):
    """A row as it stands in the book."""

    id: int


class RefusalFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which refused requests are shown; None takes all."""

    key_ids: tuple[str, ...] | None = None
    """"" is whoever showed no key that is known."""
    status: int | None = None
    code: str | None = None


class RefusalLog:
    """Refused requests of all processes. Every method raises StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, rows: Sequence[Refusal]) -> None:
        """Add these. Doing it twice is as once."""
        with self._database.writing(alone=False) as connection:
            connection.execute(_ADD, [msgspec.structs.asdict(each) for each in rows])

    def page(
        self, only: RefusalFilter, at_most: int = 50, before: int | None = None
    ) -> list[RefusalRecord]:
        """The newest first that fit, of those before the one of that number; none where that is
        gone."""
        query = select(refusal).where(*_fitting(only))
        with self._database.reading() as connection:
            if before is not None:
                edge = select(refusal.c.at_us).where(refusal.c.id == before)
                at_us = connection.scalar(edge)
                if at_us is None:
                    return []
                place = sqlalchemy.tuple_(refusal.c.at_us, refusal.c.id)
                last = sqlalchemy.tuple_(sqlalchemy.literal(at_us), sqlalchemy.literal(before))
                query = query.where(place < last)
            query = query.order_by(refusal.c.at_us.desc(), refusal.c.id.desc()).limit(at_most)
            return [RefusalRecord(**row) for row in connection.execute(query).mappings()]

    def get(self, request_id: str) -> RefusalRecord:
        """The one with the id that its caller saw. Raises Missing, also where it has no row."""
        query = select(refusal).where(refusal.c.request_id == request_id)
        with self._database.reading() as connection:
            row = connection.execute(query).mappings().one_or_none()
        if row is None:
            raise Missing(f"there is no refused request {request_id!r}")
        return RefusalRecord(**row)

    def prune(self, before_us: int, rows_max: int) -> int:
        """Remove those from before a time, and the oldest beyond a number; returns how many."""
        last = select(refusal.c.id).order_by(refusal.c.id.desc()).offset(rows_max).limit(1)
        with self._database.reading() as connection:
            edge = connection.scalar(last)
        removed = self._remove(refusal.c.at_us < before_us)
        return removed if edge is None else removed + self._remove(refusal.c.id <= edge)

    def _remove(self, those: sqlalchemy.ColumnElement[bool]) -> int:
        """Some at a time, so that nobody else is kept waiting."""
        some = select(refusal.c.id).where(those).order_by(refusal.c.id).limit(REMOVED_ROWS_MAX)
        removed = 0
        while True:
            with self._database.reading() as connection:
                ids = select(func.count()).select_from(some.subquery())
                if not connection.scalar(ids):
                    return removed
            with self._database.writing(alone=False) as connection:
                gone = delete(refusal).where(refusal.c.id.in_(some))
                removed += connection.execute(gone).rowcount


def _fitting(only: RefusalFilter) -> list[sqlalchemy.ColumnElement[bool]]:
    conditions = [
        refusal.c[name] == value
        for name in ("status", "code")
        if (value := getattr(only, name)) is not None
    ]
    if only.key_ids is not None:
        conditions.append(refusal.c.key_id.in_(only.key_ids))
    return conditions
