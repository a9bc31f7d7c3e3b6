"""Sums over single requests, as the roll-ups have them.

Made twice, so that one can be held against the other. Rows that are folded are summed up here, on
their way (`summed`): once over all that has in common what roll-ups tell apart, and then those few
sums for each roll-up (`add`); only users are summed up apart, where requests name them. What is
audited and what is archived is summed up by the database (`sums`): by day, key, account, scopes,
model and upstream. What was archived counts on.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy
from sqlalchemy import case, func, select, text

from baton.stores.carried import Row, of, pieces
from baton.stores.tables import archived, request, usage_user

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
    return _sums(GROUPS, COUNTS).where(*conditions)


def _sums(groups: Sequence[str], counts: Sequence[str]) -> sqlalchemy.Select[Any]:
    common = [day() if name == "day" else request.c[name] for name in groups]
    totals = [
        (_SPECIAL[name] if name in _SPECIAL else _total(request.c[name])).label(name)
        for name in counts
    ]
    return select(*common, *totals).group_by(*common)


def all_sums() -> sqlalchemy.Select[Any]:
    """With what was archived: the same group may come twice."""
    columns = [archived.c[name] for name in (*GROUPS, *COUNTS)]
    return select(sqlalchemy.union_all(sums(), select(*columns)).subquery())


def wrong_by_user() -> sqlalchemy.Select[Any]:
    """Keys, days and users of which the roll-up has not what the requests say. Where some of a day
    were archived, it must have as much as those that are left, at least."""
    keys, counts = _keys(usage_user), _counts(usage_user)
    there = _sums(keys, counts).where(request.c.user.is_not(None))
    told = select(*(usage_user.c[n] for n in keys), *((-usage_user.c[n]).label(n) for n in counts))
    both = sqlalchemy.union_all(there, told).subquery()
    totals = [func.sum(both.c[name]) for name in counts]
    archived_day = both.c.day.in_(select(archived.c.day))
    less = sqlalchemy.or_(*(total > 0 for total in totals))
    more = sqlalchemy.or_(*(total < 0 for total in totals))
    groups = [both.c[name] for name in keys]
    return select(*groups).group_by(*groups).having(less | (more & ~archived_day))


Sum = dict[str, Any]
"""What some requests have in common, and their counts, by name."""

_ENDS = ("state", "status", "stream")
ALIKE = (*GROUPS[1:], *_ENDS)
"""What requests of a minute have in common that count together."""
ALIKE_BY_USER = ("key_id", "user", *_ENDS)
_ADDED = (
    *("estimated", "handoffs", "prompt_tokens", "cached_tokens", "completion_tokens"),
    *("reasoning_tokens", "charge", "overrun", "cost"),
)
_created_us = of("created_us")
_each_added = {name: of(name) for name in _ADDED}


def summed(rows: Sequence[Row], alike: Sequence[str] = ALIKE) -> list[tuple[Sum, list[Row]]]:
    """The rows by minute and what they have in common, each group with its sum."""
    groups: defaultdict[tuple[int, tuple[Any, ...]], list[Row]] = defaultdict(list)
    common = of(*alike)
    for piece in pieces(rows):
        for row in piece:
            groups[_created_us(row) // MINUTE_US, common(row)].append(row)
    return [
        (_sum(dict(zip(alike, values, strict=True)), minute, some), some)
        for (minute, values), some in groups.items()
    ]


def _sum(found: Sum, minute: int, rows: list[Row]) -> Sum:
    found["minute"], found["day"] = minute, minute // DAY_MINUTES
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


def totals(
    sums: Iterable[Sum], keys: Sequence[str], counts: Sequence[str]
) -> list[tuple[Any, ...]]:
    """One for all that have the same keys, in their order: the keys, then the counts."""
    found: dict[tuple[Any, ...], list[int]] = {}
    for each in sums:
        place, numbers = tuple([each[name] for name in keys]), [each[name] for name in counts]
        before = found.get(place)
        found[place] = numbers if before is None else list(map(int.__add__, before, numbers))
    return [(*place, *found[place]) for place in sorted(found)]


def add(connection: sqlalchemy.Connection, table: sqlalchemy.Table, sums: Iterable[Sum]) -> None:
    """Add to those that a roll-up has: in one order, so that no two writers wait for each other."""
    keys, counts = _keys(table), _counts(table)
    if rows := totals(sums, keys, counts):
        # There may be as many as requests, so the driver gets them as they are.
        place = "?" if connection.dialect.name == "sqlite" else "%s"
        connection.exec_driver_sql(_adding(table, dict.fromkeys((*keys, *counts), place)), rows)


def adding(table: sqlalchemy.Table) -> sqlalchemy.TextClause:
    """Add sums to those that the table has for the same primary key."""
    return text(_adding(table, {name: f":{name}" for name in (*_keys(table), *_counts(table))}))


def _adding(table: sqlalchemy.Table, values: Mapping[str, str]) -> str:
    names = ", ".join(f'"{name}"' for name in values)
    keys = ", ".join(f'"{name}"' for name in _keys(table))
    more = ", ".join(f"{n} = {table.name}.{n} + excluded.{n}" for n in _counts(table))
    return (
        f"INSERT INTO {table.name}({names}) VALUES({', '.join(values.values())})"
        f" ON CONFLICT({keys}) DO UPDATE SET {more}"
    )


def _keys(table: sqlalchemy.Table) -> list[str]:
    return [column.name for column in table.columns if column.primary_key]


def _counts(table: sqlalchemy.Table) -> list[str]:
    return [column.name for column in table.columns if not column.primary_key]
