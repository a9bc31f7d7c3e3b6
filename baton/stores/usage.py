"""Reports: sums by day, key, model, upstream and party, or by the `user` that callers write, from
the roll-ups; single requests as they stand.

What was settled within the last second or so is not folded yet, and not in here. Sums by user have
a roll-up of their own, which knows days and keys alone: there may be as many users as requests.
"""

import datetime
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import sqlalchemy
from sqlalchemy import func, select

from baton.stores.base import AttemptRecord, Missing, RequestRecord, StoreError, UsageRecord
from baton.stores.database import Database
from baton.stores.moved import moved_cost
from baton.stores.tables import attempt, key, party, request, usage_day, usage_user

Dimension = Literal[
    "day", "key_id", "model", "upstream", "organisation", "team", "user", "end_user"
]
PARTIES = ("organisation", "team", "user")
REQUESTS_MAX = 1_001
"""A page of the admin API, and one more to know whether there are others."""
LOG_SCANNED_MAX = 20_000
EPOCH = datetime.date(1970, 1, 1)

_SUMMED = {
    "requests": "requests",
    "failed": "failed",
    "prompt_tokens": "prompt_tokens",
    "cached_tokens": "cached_tokens",
    "completion_tokens": "completion_tokens",
    "charge_nano": "charge",
    "cost_nano": "cost",
    "estimated": "estimated",
}
Owners = Mapping[str, Mapping[str, str]]
"""Of each key's id, the id of its party of each kind."""


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which requests a report counts. Days are UTC, both inclusive; None takes all."""

    since: datetime.date | None = None
    until: datetime.date | None = None
    key_id: str | None = None
    model: str | None = None
    upstream: str | None = None
    party: str | None = None
    """The id of an organisation, team or user: the keys of it and of all under it."""
    end_user: str | None = None


class LogFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which requests a log shows; None takes all."""

    key_ids: tuple[str, ...] | None = None
    model: str | None = None
    upstream: str | None = None
    failed: bool | None = None
    request_id: str | None = None


class LogPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some requests, newest first."""

    rows: list[RequestRecord]
    next: int | None
    """Give it as `before` for those that may follow; None: there are none."""


class Usage:
    """Reads what was used."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def sums(self, by: Sequence[Dimension] = (), only: Filter | None = None) -> list[UsageRecord]:
        """One row for each combination of `by`, in that order of sorting; one in all without.

        Raises StoreError for what no roll-up knows: a model or upstream by end user."""
        only = only or Filter()
        by_user = "end_user" in by or only.end_user is not None
        table = usage_user if by_user else usage_day
        if by_user and ({"model", "upstream"} & set(by) or only.model or only.upstream):
            raise StoreError("sums by the request's user are kept by day and key alone")
        with self._database.reading() as connection:
            owners: Owners = {}
            if only.party is not None or set(PARTIES) & set(by):
                owners = _owners(connection)
            rows = _spent_elsewhere(connection, by, only, owners)
            columns = _columns(table, by)
            totals = [
                func.coalesce(func.sum(table.c[column]), 0).label(name)
                for name, column in _SUMMED.items()
            ]
            query = select(*columns, *totals).where(*_conditions(table, only, owners))
            query = query.group_by(*columns) if columns else query
            rows = [dict(row._mapping) for row in connection.execute(query)] + rows
        return [_sum(row) for row in _grouped(rows, by, owners)]

    def requests(
        self,
        at_most: int = 100,
        before_us: int | None = None,
        key_id: str | None = None,
        after: str | None = None,
    ) -> list[RequestRecord]:
        """The newest requests first: those created before `before_us`, those that come after the
        request with the id `after` (Missing where there is none)."""
        query = select(request).order_by(request.c.created_us.desc(), request.c.id.desc())
        if before_us is not None:
            query = query.where(request.c.created_us < before_us)
        if key_id is not None:
            query = query.where(request.c.key_id == key_id)
        with self._database.reading() as connection:
            if after is not None:
                last = _named(connection, after)
                place = sqlalchemy.tuple_(request.c.created_us, request.c.id)
                query = query.where(place < sqlalchemy.tuple_(last.created_us, last.id))
            rows = connection.execute(query.limit(min(at_most, REQUESTS_MAX)))
            return [_request(row) for row in rows]

    def log(self, only: LogFilter, at_most: int = 50, before: int | None = None) -> LogPage:
        """The newest requests first that fit, of those before the one of that number.

        One look goes through `LOG_SCANNED_MAX` requests at most, whatever fits, so that it is as
        fast in a book of millions; the page says where the next look goes on."""
        scanned = select(request).order_by(request.c.created_us.desc(), request.c.id.desc())
        with self._database.reading() as connection:
            if before is not None:
                edge = select(request.c.created_us).where(request.c.id == before)
                at_us = connection.scalar(edge)
                if at_us is None:
                    return LogPage(rows=[], next=None)
                scanned = scanned.where(
                    sqlalchemy.tuple_(request.c.created_us, request.c.id)
                    < sqlalchemy.tuple_(sqlalchemy.literal(at_us), sqlalchemy.literal(before))
                )
            window = scanned.limit(LOG_SCANNED_MAX).subquery()
            fitting = select(window).where(*_fitting(window, only))
            order = (window.c.created_us.desc(), window.c.id.desc())
            found = connection.execute(fitting.order_by(*order).limit(at_most + 1)).all()
            rows = [_request(row) for row in found[:at_most]]
            if len(found) > at_most:
                return LogPage(rows=rows, next=rows[-1].id)
            last = connection.scalar(
                scanned.with_only_columns(request.c.id).offset(LOG_SCANNED_MAX - 1).limit(1)
            )
            return LogPage(rows=rows, next=last)

    def request(self, request_id: str) -> RequestRecord:
        """The one with the id that its caller saw. Raises Missing (also while it is not folded)."""
        with self._database.reading() as connection:
            return _request(_named(connection, request_id))

    def attempts(self, row_id: int) -> list[AttemptRecord]:
        """Those of a request (its `id`) that had several, in order; of any other none."""
        query = select(attempt).where(attempt.c.request == row_id).order_by(attempt.c.n)
        with self._database.reading() as connection:
            return [
                AttemptRecord(**{**row._mapping, "estimated": bool(row.estimated)})
                for row in connection.execute(query)
            ]


def _spent_elsewhere(
    connection: sqlalchemy.Connection, by: Sequence[Dimension], only: Filter, owners: Owners
) -> list[dict[str, Any]]:
    """What lost attempts cost at their upstreams, and less where their requests ended; over all
    upstreams it is nothing."""
    if "upstream" not in by and only.upstream is None:
        return []
    columns = _columns(moved_cost, by)
    cost = func.coalesce(func.sum(moved_cost.c.cost), 0).label("cost_nano")
    query = select(*columns, cost).where(*_conditions(moved_cost, only, owners))
    rows = connection.execute(query.group_by(*columns) if columns else query)
    return [{**dict.fromkeys(_SUMMED, 0), **row._mapping} for row in rows]


def _named(connection: sqlalchemy.Connection, request_id: str) -> sqlalchemy.Row[tuple[Any, ...]]:
    query = select(request).where(request.c.request_id == request_id).limit(1)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise Missing(f"there is no request {request_id!r}")
    return row


def day_number(day: datetime.date) -> int:
    """Days since 1970: how the book numbers them."""
    return (day - EPOCH).days


def _columns(
    table: sqlalchemy.Table, by: Sequence[Dimension]
) -> list[sqlalchemy.ColumnElement[Any]]:
    """What the database groups by: a party's sums are made of its keys'."""
    names = ["key_id" if name in PARTIES else name for name in by]
    return [
        table.c["user"].label("end_user") if name == "end_user" else table.c[name]
        for name in dict.fromkeys(names)
    ]


def _conditions(
    table: sqlalchemy.Table, only: Filter, owners: Owners
) -> list[sqlalchemy.ColumnElement[bool]]:
    conditions = [
        table.c[name] == value
        for name in ("key_id", "model", "upstream")
        if (value := getattr(only, name)) is not None
    ]
    if only.end_user is not None:
        conditions.append(table.c["user"] == only.end_user)
    if only.since is not None:
        conditions.append(table.c.day >= day_number(only.since))
    if only.until is not None:
        conditions.append(table.c.day <= day_number(only.until))
    if only.party is not None:
        theirs = [key_id for key_id, above in owners.items() if only.party in above.values()]
        conditions.append(table.c.key_id.in_(theirs))
    return conditions


def _fitting(rows: sqlalchemy.Subquery, only: LogFilter) -> list[sqlalchemy.ColumnElement[bool]]:
    conditions = [
        rows.c[name] == value
        for name in ("model", "upstream", "request_id")
        if (value := getattr(only, name)) is not None
    ]
    if only.key_ids is not None:
        conditions.append(rows.c.key_id.in_(only.key_ids))
    if only.failed is not None:
        failed = (rows.c.status >= 400) | (rows.c.state == "interrupted")
        conditions.append(failed if only.failed else ~failed)
    return conditions


def _owners(connection: sqlalchemy.Connection) -> Owners:
    parties = {row.id: row for row in connection.execute(select(party))}

    def above(party_id: str | None) -> dict[str, str]:
        found = {}
        while (row := parties.get(party_id or "")) is not None:
            found[row.kind] = row.id
            party_id = row.parent
        return found

    return {row.id: above(row.owner) for row in connection.execute(select(key.c.id, key.c.owner))}


def _grouped(
    rows: Sequence[dict[str, Any]], by: Sequence[Dimension], owners: Owners
) -> list[dict[str, Any]]:
    """Rows of one combination of `by` added up, in order."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        theirs = owners.get(row.get("key_id", ""), {})
        parts: dict[str, Any] = {n: theirs.get(n, "") if n in PARTIES else row[n] for n in by}
        place = tuple(parts.values())
        before = found.get(place)
        if before is None:
            found[place] = {**parts, **{name: int(row[name]) for name in _SUMMED}}
        else:
            for name in _SUMMED:
                before[name] += int(row[name])
    return [found[place] for place in sorted(found)]


def _sum(fields: dict[str, Any]) -> UsageRecord:
    if "day" in fields:
        fields["day"] = str(EPOCH + datetime.timedelta(days=int(fields["day"])))
    return UsageRecord(**fields)


def _request(row: sqlalchemy.Row[tuple[object, ...]]) -> RequestRecord:
    flags = {"stream": bool(row.stream), "estimated": bool(row.estimated)}
    return RequestRecord(**{**row._mapping, **flags})
