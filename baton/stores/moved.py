"""Costs that arose elsewhere than where their request ended.

A roll-up by day has each request, with all that it cost, at the upstream where it ended. Where an
attempt before was lost, a part of that cost is owed to another upstream. The rows here move it:
what was spent at an upstream on requests that ended elsewhere, less what others spent on those that
ended there. Over all upstreams the rows of a day, key and model sum to zero, so only reports by
upstream need them. Requests that are archived leave theirs behind, as they do their sums.
"""

from collections import defaultdict
from collections.abc import Collection
from typing import Any

import sqlalchemy
from sqlalchemy import Column, Table, Text, func, select

from baton.stores.history_tables import metadata as metadata
from baton.stores.sums import adding, day
from baton.stores.tables import archived, attempt, request, whole, whole_key

moved_cost = Table(
    "moved_cost",
    metadata,
    whole_key("day"),  # days since 1970, UTC
    Column("key_id", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("upstream", Text, primary_key=True),
    whole("cost"),
    sqlite_strict=True,
)

_ADD = adding(moved_cost)
Place = tuple[int, str, str, str]
"""Day, key, model and upstream."""


def post(connection: sqlalchemy.Connection, requests: Collection[int]) -> None:
    """Add what the attempts of these requests, which are in the book by now, move."""
    found = _moved(connection, request.c.id.in_(requests))
    names = [column.name for column in moved_cost.columns]
    if found:
        rows = [dict(zip(names, [*place, found[place]], strict=True)) for place in sorted(found)]
        connection.execute(_ADD, rows)


def faults(connection: sqlalchemy.Connection) -> list[str]:
    """One sentence where what was moved is not what attempts say; days of which requests were
    archived are only held to sum to zero."""
    total = func.sum(moved_cost.c.cost)
    groups = (moved_cost.c.day, moved_cost.c.key_id, moved_cost.c.model)
    uneven = select(moved_cost.c.day).group_by(*groups).having(total != 0).limit(1)
    if (number := connection.scalar(uneven)) is not None:
        return [f"the costs that were moved on day {number} do not sum to zero"]
    gone = set(connection.scalars(select(archived.c.day).distinct()))
    due = {p: c for p, c in _moved(connection, sqlalchemy.true()).items() if p[0] not in gone}
    there = {
        (row.day, row.key_id, row.model, row.upstream): row.cost
        for row in connection.execute(select(moved_cost).where(moved_cost.c.cost != 0))
        if row.day not in gone
    }
    if due != there:
        place = min(p for p in {*due, *there} if due.get(p) != there.get(p))
        told, right = there.get(place, 0), due.get(place, 0)
        return [f"the cost moved to {place} is {told}, its attempts say {right}"]
    return []


def _moved(
    connection: sqlalchemy.Connection, which: sqlalchemy.ColumnElement[bool]
) -> dict[Place, int]:
    columns: list[Any] = [day(), request.c.key_id, request.c.model, request.c.upstream]
    spent = func.sum(attempt.c.cost).label("spent")
    groups = [*columns, attempt.c.upstream.label("elsewhere")]
    query = (
        select(*groups, spent)
        .join_from(attempt, request, request.c.id == attempt.c.request)
        .where(which, attempt.c.upstream != request.c.upstream)
        .group_by(*groups)
    )
    found: defaultdict[Place, int] = defaultdict(int)
    for row in connection.execute(query):
        found[row.day, row.key_id, row.model, row.elsewhere] += int(row.spent)
        found[row.day, row.key_id, row.model, row.upstream] -= int(row.spent)
    return {place: cost for place, cost in found.items() if cost}
