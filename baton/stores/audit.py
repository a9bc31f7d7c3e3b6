"""Whether a book is right: what must hold of any book, whatever its prices say.

Sums are made by the database, one pass over the requests; what they must equal is small. Used by
`baton audit` (ledger/audit.py adds what prices say), the check of a backup, and tests after every
crash.
"""

import contextlib
import pathlib
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy
from sqlalchemy import func, select

from baton.stores import moved
from baton.stores.database import Database, Place
from baton.stores.sums import COUNTS, all_sums, wrong_by_user
from baton.stores.tables import account, entry, fold, request, usage_day

MEASURES = {"tokens": "tokens", "requests": "unreleased"}
"""What accounts count whose names begin so (stores/windows.py); all others count charges."""
DAY_KEYS = ("day", "key_id", "model", "upstream")
DAY_COUNTS = tuple(name for name in COUNTS if name not in MEASURES.values())

Row = Mapping[str, Any]


def faults(book: Place) -> list[str]:
    """One sentence for each thing that does not hold; empty for a right book."""
    if isinstance(book, pathlib.Path) and damaged(book):
        return ["the file is damaged"]
    with contextlib.closing(Database(book)) as database, database.reading() as connection:
        return list(wrong(connection))


def wrong(connection: sqlalchemy.Connection) -> Iterator[str]:
    """One sentence for each thing that does not hold."""
    rows = [dict(row._mapping) for row in connection.execute(all_sums())]
    yield from _holds(connection)
    yield from _folds(connection, rows)
    balances, charged = _balances(connection), charges(rows)
    due = {name: charged.get(name, 0) for name in balances}
    yield from _differing("the balance of", due, balances)
    yield from _differing("the entries of", entries(rows), _entries(connection))
    yield from _differing("the day", days(rows), _days(connection))
    yield from _users(connection)
    yield from moved.faults(connection)


def _holds(connection: sqlalchemy.Connection) -> Iterator[str]:
    beyond = (request.c.charge > request.c.hold) | (request.c.charge < 0)
    hidden = (request.c.overrun > 0) & (request.c.charge < request.c.hold)
    free = (request.c.state == "released") & (request.c.charge + request.c.overrun > 0)
    for condition, sentence in (
        (beyond, "charge exceeds its hold"),
        (hidden, "overrun is charged before its hold is used up"),
        (free, "charge was made although it was released"),
    ):
        count = connection.scalar(select(func.count()).select_from(request).where(condition))
        if count:
            example = connection.scalar(select(request.c.request_id).where(condition).limit(1))
            yield f"of {count} requests the {sentence}, {example} is one"


def _folds(connection: sqlalchemy.Connection, rows: Sequence[Row]) -> Iterator[str]:
    folded = connection.scalar(select(func.coalesce(func.sum(fold.c.requests), 0)))
    there = sum(row["requests"] for row in rows)
    if folded != there:
        yield f"{folded} requests were folded, {there} are there"
    total = func.sum(entry.c.amount_nano)
    uneven = select(entry.c.fold).group_by(entry.c.fold).having(total != 0).limit(1)
    if (number := connection.scalar(uneven)) is not None:
        yield f"the entries of fold {number} do not sum to zero"


def charges(rows: Sequence[Row]) -> dict[str, int]:
    """What each account was charged, in its own unit."""
    found: defaultdict[str, int] = defaultdict(int)
    for row in rows:
        further = row["scopes"].split(",") if row["scopes"] else []
        for name in {row["account"], *further}:
            found[name] += row[MEASURES.get(name.partition(":")[0], "charge")]
    return found


def entries(rows: Sequence[Row]) -> dict[str, int]:
    """The double entry that the requests make, by account; the amounts sum to zero."""
    found: defaultdict[str, int] = defaultdict(int)
    for row in rows:
        found[row["account"]] -= row["charge"]
        found["operator:overrun"] -= row["overrun"]
        found["revenue"] += row["charge"] + row["overrun"]
        found["upstream_payable"] -= row["cost"]
        found["cogs"] += row["cost"]
    return found


def days(rows: Sequence[Row]) -> dict[tuple[object, ...], tuple[int, ...]]:
    """The sums of each day, key, model and upstream."""
    found: dict[tuple[object, ...], tuple[int, ...]] = {}
    for row in rows:
        key = tuple(row[name] for name in DAY_KEYS)
        counts = tuple(row[name] for name in DAY_COUNTS)
        before = found.get(key, (0,) * len(counts))
        found[key] = tuple(map(sum, zip(before, counts, strict=True)))
    return found


def _balances(connection: sqlalchemy.Connection) -> dict[str, int]:
    """Of accounts that have one: a window that was never limited has none."""
    return {row.id: row.posted_nano for row in connection.execute(select(account))}


def _entries(connection: sqlalchemy.Connection) -> dict[str, int]:
    query = select(entry.c.account, func.sum(entry.c.amount_nano)).group_by(entry.c.account)
    return {name: int(amount) for name, amount in connection.execute(query)}


def _days(connection: sqlalchemy.Connection) -> dict[tuple[object, ...], tuple[int, ...]]:
    columns = [usage_day.c[name] for name in (*DAY_KEYS, *DAY_COUNTS)]
    split = len(DAY_KEYS)
    return {tuple(r[:split]): tuple(r[split:]) for r in connection.execute(select(*columns))}


def _users(connection: sqlalchemy.Connection) -> Iterator[str]:
    """Sums by user: the database compares them, as there may be as many as requests."""
    wrong = wrong_by_user().subquery()
    count = connection.scalar(select(func.count()).select_from(wrong))
    if count:
        row = connection.execute(select(wrong.c.key_id, wrong.c.day).limit(1)).one()
        place = f"{row.key_id} on day {row.day}"
        yield f"the sums of {count} users and days are not what their requests say: {place}"


def _differing(what: str, right: Mapping[Any, Any], found: Mapping[Any, Any]) -> Iterator[str]:
    """One sentence for the first of those that differ; what is nothing need not be there."""
    names = [name for name in {*right, *found} if _unlike(right.get(name), found.get(name))]
    if names:
        name = min(names, key=str)
        others = f" (and {len(names) - 1} more)" if names[1:] else ""
        told, due = found.get(name, 0), right.get(name, 0)
        yield f"{what} {name} is {told}, its requests say {due}{others}"


def _unlike(one: object, other: object) -> bool:
    return one != other and not (_nothing(one) and _nothing(other))


def _nothing(amount: object) -> bool:
    return not amount or (isinstance(amount, tuple) and not any(amount))


def damaged(path: pathlib.Path) -> bool:
    """Whether the file is no sound SQLite database."""
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=10.0)) as connection:
            return bool(connection.execute("PRAGMA integrity_check").fetchone() != ("ok",))
    except sqlite3.DatabaseError:
        return True
