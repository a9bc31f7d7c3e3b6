"""The audit: every charge worked out anew from its tokens and its price, every sum made again.

What a charge must be. `worth` is what prices.charge makes of the row's tokens at the row's price
version; nothing for a row that was released or has no tokens. The charge is the worth, at most the
hold; what the worth exceeds the hold by stands as overrun. An operator's cost has no version on its
row, and is not worked out anew.

The database compares what it can: rows at a price without kinds of tokens, which are nearly all.
Only the others are read row by row.
"""

import contextlib
import pathlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import sqlalchemy
from sqlalchemy import and_, case, func, select

from baton.ledger.prices import AMOUNT_NANO_MAX, FREE, charge
from baton.ledger.slots import orphans
from baton.semantics.events import Usage
from baton.stores import audit
from baton.stores.base import PriceRecord
from baton.stores.book import Store, journal_folder
from baton.stores.tables import account, journal, lease, request
from baton.stores.tables import price as prices

NAMED_MAX = 10
"""So many requests at fault are named of each kind."""
ROWS_AT_ONCE = 10_000
NANO = 1_000
"""pico-USD."""
_TOKENS = [request.c[name] for name in Usage.__struct_fields__]


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """What was looked at, and what is wrong."""

    requests: int
    charge_nano: int
    overrun_nano: int
    cost_nano: int
    interrupted: int
    unfolded: int
    """Ended requests that are in journals only: of living processes within the last second."""
    over_limit: list[str]
    """Accounts that spent, or hold, more than their limit: it was lowered, or there is overrun."""
    faults: list[str]
    seconds: float


def run(store: Store) -> Audit:
    """Look at the whole book, in one snapshot, while others go on. Raises StoreUnavailable."""
    began = time.monotonic()
    unfolded, forgotten = _journals(store)
    with store.database.reading() as connection:
        found = [*audit.wrong(connection), *forgotten]
        found += _mischarged(connection, store.prices.within(connection))
        return Audit(
            **_totals(connection),
            unfolded=unfolded,
            over_limit=_over_limit(connection),
            faults=found,
            seconds=round(time.monotonic() - began, 3),
        )


def _totals(connection: sqlalchemy.Connection) -> dict[str, Any]:
    columns = {
        "charge_nano": func.coalesce(func.sum(request.c.charge), 0),
        "overrun_nano": func.coalesce(func.sum(request.c.overrun), 0),
        "cost_nano": func.coalesce(func.sum(request.c.cost), 0),
        "interrupted": func.coalesce(
            func.sum(case((request.c.state == "interrupted", 1), else_=0)), 0
        ),
    }
    wanted = [column.label(name) for name, column in columns.items()]
    row = connection.execute(select(func.count().label("requests"), *wanted)).one()
    return {name: int(value) for name, value in row._mapping.items()}


def _mischarged(connection: sqlalchemy.Connection, book: Sequence[PriceRecord]) -> Iterator[str]:
    known = {record.version for record in book} | {0}
    detailed = [record.version for record in book if record.details is not None]
    wrong = _plain(connection, detailed) + _others(connection, book, detailed)
    if wrong:
        names = ", ".join(sorted(wrong)[:NAMED_MAX])
        yield f"{len(wrong)} charges are not what tokens and price make: {names}"
    versions = select(request.c.price_version).distinct()
    for version in sorted({row[0] for row in connection.execute(versions)} - known):
        yield f"requests were charged by the price {version}, which is not there"


def _plain(connection: sqlalchemy.Connection, detailed: Sequence[int]) -> list[str]:
    """Requests whose charge or overrun is wrong, at prices without kinds of tokens."""
    prompt = func.coalesce(request.c.prompt_tokens, 0)
    reported = func.coalesce(request.c.cached_tokens, 0)
    cached = case((reported > prompt, prompt), else_=reported)
    into = func.coalesce(prices.c.input_pico, 0)
    cached_pico = func.coalesce(prices.c.cached_input_pico, into)
    pico = (
        (prompt - cached) * into
        + cached * cached_pico
        + func.coalesce(request.c.completion_tokens, 0) * func.coalesce(prices.c.output_pico, 0)
    )
    full = func.coalesce(prices.c.request_nano, 0) + (pico + NANO // 2) // NANO
    worth = case((_without_charge(), 0), else_=full)
    held = case((worth > request.c.hold, request.c.hold), else_=worth)
    fresh = case((request.c.upstream == "", 0), else_=worth - held)  # recovery books no overrun
    query = (
        select(request.c.request_id)
        .join_from(request, prices, request.c.price_version == prices.c.version, isouter=True)
        .where(
            request.c.price_version.not_in(detailed),
            (request.c.charge != held) | (request.c.overrun != fresh),
        )
    )
    return [row[0] for row in connection.execute(query)]


def _without_charge() -> sqlalchemy.ColumnElement[bool]:
    return (request.c.state == "released") | request.c.prompt_tokens.is_(None)


def _others(
    connection: sqlalchemy.Connection, book: Sequence[PriceRecord], detailed: Sequence[int]
) -> list[str]:
    """Likewise at prices with kinds of tokens, row by row."""
    if not detailed:
        return []
    records = {record.version: record for record in book}
    query = select(request).where(request.c.price_version.in_(detailed))
    wrong = []
    for row in connection.execution_options(yield_per=ROWS_AT_ONCE).execute(query):
        worth = worth_of(row, records.get(row.price_version, FREE))
        held = min(worth, row.hold)
        if (row.charge, row.overrun) != (held, worth - held if row.upstream else 0):
            wrong.append(str(row.request_id))
    return wrong


def worth_of(row: Any, record: PriceRecord) -> int:
    """What a row of the ledger is worth at a price."""
    if row.state == "released" or row.prompt_tokens is None:
        return 0
    counts = {column.name: getattr(row, column.name) for column in _TOKENS}
    counts["completion_tokens"] = counts["completion_tokens"] or 0
    return min(charge(Usage(**counts), record), AMOUNT_NANO_MAX)


def _over_limit(connection: sqlalchemy.Connection) -> list[str]:
    leased = func.coalesce(func.sum(lease.c.granted_nano), 0)
    query = (
        select(account.c.id)
        .join_from(account, lease, lease.c.account == account.c.id, isouter=True)
        .group_by(account.c.id, account.c.posted_nano, account.c.limit_nano)
        .having(and_(account.c.limit_nano.is_not(None)))
        .having(account.c.posted_nano + leased > account.c.limit_nano)
        .order_by(account.c.id)
    )
    return [row[0] for row in connection.execute(query)]


def _journals(store: Store) -> tuple[int, list[str]]:
    """How many ended requests of this machine's journals are not in the book; and which journals
    nobody will bring there."""
    folder, unfolded, forgotten = journal_folder(store.home), 0, []
    dead = set()
    for slot in orphans(folder) if folder.exists() else ():
        dead.add(slot.path)
        slot.release()
    for path in sorted(folder.glob("*.db")):
        try:
            waiting = _waiting(store, path)
        except sqlite3.Error as error:
            forgotten.append(f"the journal {path.stem} cannot be read: {error}")
            continue
        unfolded += waiting
        if waiting and path in dead:
            forgotten.append(f"{waiting} requests of the journal {path.stem} are not folded")
    return unfolded, forgotten


def _waiting(store: Store, path: pathlib.Path) -> int:
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as file:
        [identity] = file.execute("SELECT identity FROM about").fetchone()
        known = select(journal.c.folded_seq).where(journal.c.identity == identity)
        with store.database.reading() as connection:
            mark = connection.scalar(known) or 0
        query = "SELECT count(*) FROM settle WHERE seq > ?"
        return int(file.execute(query, (mark,)).fetchone()[0])
