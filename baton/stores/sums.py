"""Sums over single requests, as the roll-ups have them: for what is audited and what is archived.

One query for all: by day, key, account, scopes, model and upstream. What was archived counts on.
"""

from typing import Any

import sqlalchemy
from sqlalchemy import case, func, select, text

from baton.stores.tables import archived, request

DAY_US = 86_400_000_000
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
