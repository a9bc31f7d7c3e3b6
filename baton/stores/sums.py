"""Sums over single requests, as the roll-ups have them.

Made twice, so that one can be held against the other. Rows that are folded are summed up here, on
their way (`summed`): once over all that has in common what any roll-up tells apart, and then those
few sums for each roll-up (`add`). What is audited and what is archived is summed up by the database
(`sums`): by day, key, account, scopes, model and upstream. What was archived counts on.
"""

import functools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy
from sqlalchemy import case, func, select, text

from baton.stores.carried import Row, of
from baton.stores.tables import archived, request

MINUTE_US = 60_000_000
DAY_US = 86_400_000_000
DAY_MINUTES = 1_440
GROUPS = ("day", "key_id", "account", "scopes", "model", "upstream")
COUNTS = tuple(column.name for column in archived.columns if column.name not in GROUPS)

_FAILED = (request.c.status >= 400) | (request.c.state == "interrupted")
_TOKENS = func.coalesce(request.c.prompt_tokens, 0) + func.coalesce(request.c.completion_tokens, 0)
_SPECIAL: dict[str, sqlalchemy.ColumnElement[Any]] = {
    "requests": func.count(),
    "streams": func.sum(request.c.stream),
    "failed": func.sum(case((_FAILED, 1), else_=0)),
    "tokens": func.sum(case((request.c.state == "released", 0), else_=_TOKENS)),
    "unreleased": func.sum(case((request.c.state == "released", 0), else_=1)),
}


def day() -> sqlalchemy.ColumnElement[int]:
    """Days since 1970, UTC, of a request."""
    return (request.c.created_us // DAY_US).label("day")


def _total(column: sqlalchemy.ColumnElement[int]) -> sqlalchemy.ColumnElement[int]:
    return func.coalesce(func.sum(column), 0)


def sums(*conditions: sqlalchemy.ColumnElement[bool]) -> sqlalchemy.Select[Any]:
    """The requests that are there, one row a group."""
    groups = [day(), *(request.c[name] for name in GROUPS[1:])]
    counts = [
        (_SPECIAL[name] if name in _SPECIAL else _total(request.c[name])).label(name)
        for name in COUNTS
    ]
    return select(*groups, *counts).where(*conditions).group_by(*groups)


def all_sums() -> sqlalchemy.Select[Any]:
    """With what was archived: the same group may come twice."""
    columns = [archived.c[name] for name in (*GROUPS, *COUNTS)]
    return select(sqlalchemy.union_all(sums(), select(*columns)).subquery())


Sum = dict[str, Any]
"""What some requests have in common, and their counts, by name."""

_COMMON = ("key_id", "account", "scopes", "model", "upstream", "user", "state", "status", "stream")
_ADDED = (
    *("estimated", "handoffs", "prompt_tokens", "cached_tokens", "completion_tokens"),
    *("reasoning_tokens", "charge", "overrun", "cost"),
)
_common, _created_us = of(*_COMMON), of("created_us")
_each_added = {name: of(name) for name in _ADDED}


def summed(rows: Iterable[Row]) -> list[tuple[Sum, list[Row]]]:
    """The rows by what they have in common (that, the minute and the day are in the sum too)."""
    groups: defaultdict[tuple[int, tuple[Any, ...]], list[Row]] = defaultdict(list)
    for row in rows:
        groups[_created_us(row) // MINUTE_US, _common(row)].append(row)
    return [(_sum(*place, some), some) for place, some in groups.items()]


def _sum(minute: int, common: tuple[Any, ...], rows: list[Row]) -> Sum:
    found: Sum = {"minute": minute, "day": minute // DAY_MINUTES}
    found.update(zip(_COMMON, common, strict=True))
    for name, value in _each_added.items():
        found[name] = sum(filter(None, map(value, rows)))
    number, state = len(rows), found["state"]
    found["requests"] = number
    found["streams"] = number if found["stream"] else 0
    found["failed"] = number if found["status"] >= 400 or state == "interrupted" else 0
    found["unreleased"] = 0 if state == "released" else number
    tokens = found["prompt_tokens"] + found["completion_tokens"]
    found["tokens"] = 0 if state == "released" else tokens
    return found


def totals(sums: Iterable[Sum], keys: Sequence[str], counts: Sequence[str]) -> list[Sum]:
    """One for all that have the same keys, in their order."""
    found: dict[tuple[Any, ...], list[int]] = {}
    for each in sums:
        place, numbers = tuple([each[name] for name in keys]), [each[name] for name in counts]
        before = found.get(place)
        found[place] = numbers if before is None else list(map(int.__add__, before, numbers))
    names = (*keys, *counts)
    return [dict(zip(names, (*place, *found[place]), strict=True)) for place in sorted(found)]


def add(connection: sqlalchemy.Connection, table: sqlalchemy.Table, sums: Iterable[Sum]) -> None:
    """Add to those that a roll-up has: in one order, so that no two writers wait for each other."""
    keys = [column.name for column in table.columns if column.primary_key]
    counts = [column.name for column in table.columns if not column.primary_key]
    if rows := totals(sums, keys, counts):
        connection.execute(adding(table), rows)


@functools.cache
def adding(table: sqlalchemy.Table) -> sqlalchemy.TextClause:
    """Add sums to those that the table has for the same primary key."""
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    values = ", ".join(f":{column.name}" for column in table.columns)
    keys = ", ".join(f'"{column.name}"' for column in table.primary_key)
    more = ", ".join(
        f"{column.name} = {table.name}.{column.name} + excluded.{column.name}"
        for column in table.columns
        if not column.primary_key
    )
    return text(
        f"INSERT INTO {table.name}({names}) VALUES({values}) ON CONFLICT({keys})"
        f" DO UPDATE SET {more}"
    )
