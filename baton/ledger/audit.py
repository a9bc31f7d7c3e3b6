"""The audit: every charge worked out anew from its tokens and its price, every sum made again.

What a charge must be. `worth` is what prices.charge makes of the row's tokens at the row's price
version; nothing for a row that was released or has no tokens. The charge is the worth, at most the
hold; what the worth exceeds the hold by stands as overrun. What was free by an allowance is charged
nothing; that no allowance was exceeded, the balances say. A cost is the worth of what was used at
the price of its upstream: of the one attempt, or of each attempt (table `attempt`), added up.

The database compares what it can: rows at usual prices without kinds of tokens, nearly all.
Only the others are read row by row.
"""

import pathlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import sqlalchemy
from sqlalchemy import and_, case, func, select

from baton.ledger.journal_log import ends_after
from baton.ledger.prices import FREE, HOLD_NANO_MAX
from baton.ledger.shared_journal import SharedRows, waiting
from baton.ledger.slots import orphans
from baton.ledger.worth import at_price, one_by_one, worth_of, worth_sql
from baton.stores import audit, segments
from baton.stores.allowances import WITHIN, is_free
from baton.stores.base import PriceRecord, StoreError
from baton.stores.book import Store, journal_folder
from baton.stores.database import Database
from baton.stores.journals import folded_seq
from baton.stores.segments import Damaged
from baton.stores.tables import account, attempt, lease, request

NAMED_MAX = 10
"""So many requests at fault are named of each kind."""
ROWS_AT_ONCE = 10_000
READINGS_MAX = 3


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
    unfolded, forgotten = journals(store.database, store.home)
    with store.database.reading() as connection:
        found = [*audit.wrong(connection), *forgotten]
        book = store.prices.within(connection)
        found += [*_mischarged(connection, book), *_miscosted(connection, book)]
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
    wrong = [row.request_id for row in _unequal(connection, book)]
    if wrong:
        names = ", ".join(sorted(wrong)[:NAMED_MAX])
        yield f"{len(wrong)} charges are not what tokens and price make: {names}"
    yield from _unpriced(connection, book, request.c.price_version, "charged")
    allowing = [record.version for record in book if record.free is not None]
    freed = request.c.scopes.like(f"%{WITHIN}%") & request.c.price_version.not_in(allowing)
    if count := connection.scalar(select(func.count()).select_from(request).where(freed)):
        yield f"{count} requests were free at a price without an allowance"


def _unequal(
    connection: sqlalchemy.Connection, book: Sequence[PriceRecord]
) -> Iterator[sqlalchemy.Row[Any]]:
    """Requests whose charge or overrun is wrong."""
    worth = case((_without_charge(), 0), else_=worth_sql(request))
    held = case((worth > request.c.hold, request.c.hold), else_=worth)
    fresh = case((request.c.upstream == "", 0), else_=worth - held)  # recovery books no overrun
    detailed = one_by_one(book)
    query = at_price(select(request), request.c.price_version).where(
        request.c.price_version.not_in(detailed),
        (request.c.charge != held) | (request.c.overrun != fresh),
    )
    yield from connection.execute(query)
    records = {record.version: record for record in book}
    for row in _others(connection, request, request.c.price_version, detailed):
        worth_nano = 0
        if row.state != "released" and not is_free(row.scopes):
            worth_nano = worth_of(row, records.get(row.price_version, FREE))
        held_nano = min(worth_nano, row.hold)
        if (row.charge, row.overrun) != (held_nano, worth_nano - held_nano if row.upstream else 0):
            yield row


def _without_charge() -> sqlalchemy.ColumnElement[bool]:
    free = request.c.scopes.like(f"%{WITHIN}%")
    return (request.c.state == "released") | request.c.prompt_tokens.is_(None) | free


def _miscosted(connection: sqlalchemy.Connection, book: Sequence[PriceRecord]) -> Iterator[str]:
    """Costs that are not what tokens and price make: of requests with one attempt, of each attempt
    of the others; and sums of attempts. Where an earlier Baton did not write the price, nothing is
    known."""
    wrong = {str(row.request_id) for row in _uncostly(connection, book, request, "cost_version")}
    lost = {row.request for row in _uncostly(connection, book, attempt, "price_version")}
    lost |= set(connection.scalars(_SUMMED_WRONG))
    names = select(request.c.request_id).where(request.c.id.in_(list(lost)[:NAMED_MAX]))
    if wrong or lost:
        found = ", ".join(sorted({*wrong, *connection.scalars(names)})[:NAMED_MAX])
        yield f"{len(wrong) + len(lost)} costs are not what tokens and price make: {found}"
    yield from _unpriced(connection, book, request.c.cost_version, "costed")
    yield from _unpriced(connection, book, attempt.c.price_version, "costed")


_SUMMED_WRONG = (
    select(attempt.c.request)
    .join_from(attempt, request, request.c.id == attempt.c.request, isouter=True)
    .group_by(attempt.c.request, request.c.cost)
    .having(func.coalesce(request.c.cost, -1) != func.sum(attempt.c.cost))
)


def _uncostly(
    connection: sqlalchemy.Connection, book: Sequence[PriceRecord], table: sqlalchemy.Table, by: str
) -> Iterator[sqlalchemy.Row[Any]]:
    """Rows of a table whose cost is wrong by the price that its column `by` names."""
    version, detailed = table.c[by], one_by_one(book)
    worth = case((table.c.prompt_tokens.is_(None), 0), else_=worth_sql(table))
    query = at_price(select(table), version).where(
        version.is_not(None), version.not_in(detailed), table.c.cost != worth
    )
    yield from connection.execute(query)
    records = {record.version: record for record in book}
    for row in _others(connection, table, version, detailed):
        worth_nano = worth_of(row, records.get(row._mapping[by], FREE))
        # Earlier Batons noted all of it.
        if row.cost not in (worth_nano, min(worth_nano, HOLD_NANO_MAX)):
            yield row


def _others(
    connection: sqlalchemy.Connection,
    table: sqlalchemy.Table,
    version: sqlalchemy.ColumnElement[Any],
    detailed: Sequence[int],
) -> Iterator[sqlalchemy.Row[Any]]:
    """The rows at prices that are not for SQL."""
    if detailed:
        query = select(table).where(version.in_(detailed))
        yield from connection.execution_options(yield_per=ROWS_AT_ONCE).execute(query)


def _unpriced(
    connection: sqlalchemy.Connection,
    book: Sequence[PriceRecord],
    version: sqlalchemy.ColumnElement[Any],
    done: str,
) -> Iterator[str]:
    named = set(connection.scalars(select(version).where(version.is_not(None)).distinct()))
    for missing in sorted(named - {record.version for record in book} - {0}):
        yield f"requests were {done} by the price {missing}, which is not there"


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


def journals(database: Database, home: pathlib.Path) -> tuple[int, list[str]]:
    """How many ended requests of this machine's journals, and of those within the book, are not
    folded; and which journals nobody will fold."""
    folder, (unfolded, forgotten) = journal_folder(home), _shared(database)
    dead = set()
    for slot in orphans(folder):
        dead.add(slot.path)
        slot.release()
    for path in segments.logs(folder):
        try:
            waiting = _waiting(database, path)
        except StoreError as error:
            forgotten.append(f"the journal {path.name} cannot be read: {error}")
            continue
        unfolded += waiting
        if waiting and path in dead:
            forgotten.append(f"{waiting} requests of the journal {path.name} are not folded")
    return unfolded, forgotten


def _shared(database: Database) -> tuple[int, list[str]]:
    """The same of the journals within the book."""
    unfolded, forgotten = 0, []
    for number, mark in waiting(database):
        rows = SharedRows(database, number)
        try:
            while found := rows.after(mark, ROWS_AT_ONCE):
                unfolded, mark = unfolded + len(found), found[-1][0]
        except Damaged as error:
            forgotten.append(f"the journal {number} cannot be read: {error}")
    return unfolded, forgotten


def _waiting(database: Database, path: pathlib.Path) -> int:
    """Raises StoreError when that cannot be told however often it is tried: of a living journal a
    segment may go while it is read."""
    for left in range(READINGS_MAX, 0, -1):
        try:
            begun = segments.begun(path)
            mark = folded_seq(database, begun[-1].head.identity) if begun else 0
            return sum(1 for _ in ends_after(path, mark))
        except StoreError:
            if left == 1:
                raise
    raise AssertionError("the last one returns or raises")
