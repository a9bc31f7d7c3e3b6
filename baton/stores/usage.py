"""Reports: sums by key, model, upstream and day from the roll-ups; single requests as they stand.

What was settled within the last second or so is not folded yet, and not in here.
"""

import datetime
from collections.abc import Sequence
from typing import Literal

import msgspec
import sqlalchemy
from sqlalchemy import func, select

from baton.stores.base import Missing, RequestRecord, UsageRecord
from baton.stores.database import Database
from baton.stores.tables import request, usage_day

Dimension = Literal["day", "key_id", "model", "upstream"]
REQUESTS_MAX = 1_000
EPOCH = datetime.date(1970, 1, 1)

_SUMMED = {
    "requests": "requests",
    "failed": "failed",
    "prompt_tokens": "prompt_tokens",
    "cached_tokens": "cached_tokens",
    "completion_tokens": "completion_tokens",
    "charge_nano": "charge",
    "cost_nano": "cost",
}


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which requests a report counts. Days are UTC, both inclusive; None takes all."""

    since: datetime.date | None = None
    until: datetime.date | None = None
    key_id: str | None = None
    model: str | None = None
    upstream: str | None = None


class Usage:
    """Reads what was used."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def sums(self, by: Sequence[Dimension] = (), only: Filter | None = None) -> list[UsageRecord]:
        """One row for each combination of `by`, in that order of sorting; one in all without."""
        keys = [usage_day.c[name] for name in by]
        totals = [
            func.coalesce(func.sum(usage_day.c[column]), 0).label(name)
            for name, column in _SUMMED.items()
        ]
        query = select(*keys, *totals).where(*_conditions(only or Filter()))
        query = query.group_by(*keys).order_by(*keys) if keys else query
        with self._database.reading() as connection:
            return [_sum(row) for row in connection.execute(query)]

    def requests(
        self, at_most: int = 100, before_us: int | None = None, key_id: str | None = None
    ) -> list[RequestRecord]:
        """The newest requests first, those created before `before_us`."""
        query = select(request).order_by(request.c.created_us.desc(), request.c.id.desc())
        if before_us is not None:
            query = query.where(request.c.created_us < before_us)
        if key_id is not None:
            query = query.where(request.c.key_id == key_id)
        with self._database.reading() as connection:
            rows = connection.execute(query.limit(min(at_most, REQUESTS_MAX)))
            return [_request(row) for row in rows]

    def request(self, request_id: str) -> RequestRecord:
        """The one with the id that its caller saw. Raises Missing (also while it is not folded)."""
        query = select(request).where(request.c.request_id == request_id).limit(1)
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise Missing(f"there is no request {request_id!r}")
        return _request(row)


def day_number(day: datetime.date) -> int:
    """Days since 1970: how the book numbers them."""
    return (day - EPOCH).days


def _conditions(only: Filter) -> list[sqlalchemy.ColumnElement[bool]]:
    conditions = [
        usage_day.c[name] == value
        for name in ("key_id", "model", "upstream")
        if (value := getattr(only, name)) is not None
    ]
    if only.since is not None:
        conditions.append(usage_day.c.day >= day_number(only.since))
    if only.until is not None:
        conditions.append(usage_day.c.day <= day_number(only.until))
    return conditions


def _sum(row: sqlalchemy.Row[tuple[object, ...]]) -> UsageRecord:
    fields = {name: value for name, value in row._mapping.items() if name != "day"}
    if "day" in row._mapping:
        fields["day"] = str(EPOCH + datetime.timedelta(days=int(row.day)))
    return UsageRecord(**fields)


def _request(row: sqlalchemy.Row[tuple[object, ...]]) -> RequestRecord:
    flags = {"stream": bool(row.stream), "estimated": bool(row.estimated)}
    return RequestRecord(**{**row._mapping, **flags})
