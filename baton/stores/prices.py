"""Prices in the book: a row is never changed, a new one takes over from its date on."""

import datetime
import time
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy
from sqlalchemy import Text, cast, func, select

from baton.stores.base import Allowance, Missing, PriceDetails, PriceRecord, Unfit
from baton.stores.changes import Subject, note
from baton.stores.database import Database
from baton.stores.tables import change, price

BASIS_POINTS = 10_000
"""In one: a markup of 12,000 is the cost and a fifth more."""
DETAILS = PriceDetails.__struct_fields__
FREE = {f"free_{name}": name for name in Allowance.__struct_fields__}
"""Columns of an allowance."""


class Prices:
    """Set and list prices. Ledger rows name the version that they were charged by."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def set(self, record: PriceRecord, actor: str) -> PriceRecord:
        """Store a price; its `version` is given here, and `effective_us` 0 means from now on."""
        return self.set_all([record], actor)[0]

    def set_all(self, records: Sequence[PriceRecord], actor: str) -> list[PriceRecord]:
        """Store prices in one transaction, in this order: all or none.

        A record with a markup gets its amounts from the cost that it follows (Missing where there
        is none); after a new cost the prices that follow it are set anew, too."""
        with self._database.writing() as connection:
            return [_set(connection, record, actor) for record in records]

    def all(self) -> list[PriceRecord]:
        """Every price that was ever set, oldest first."""
        with self._database.reading() as connection:
            return self.within(connection)

    def within(self, connection: sqlalchemy.Connection) -> list[PriceRecord]:
        return [_record(row) for row in connection.execute(select(price).order_by(price.c.version))]


def marked_up(cost: PriceRecord, markup_bp: int) -> PriceRecord:
    """The customer's price that follows this cost; each amount rounded half up.

    It holds from when the cost holds; its version is still to be given."""

    def scaled(amount: int) -> int:
        return (amount * markup_bp + BASIS_POINTS // 2) // BASIS_POINTS

    def scaled_or_none(amount: int | None) -> int | None:
        return None if amount is None else scaled(amount)

    details = cost.details and PriceDetails(
        **{
            name: scaled_or_none(each)
            for name, each in msgspec.structs.asdict(cost.details).items()
        }
    )
    return PriceRecord(
        version=0,
        model=cost.model,
        effective_us=cost.effective_us,
        input_pico=scaled(cost.input_pico),
        cached_input_pico=scaled_or_none(cost.cached_input_pico),
        output_pico=scaled(cost.output_pico),
        request_nano=scaled(cost.request_nano),
        details=details,
        markup_bp=markup_bp,
        markup_of=cost.upstream,
    )


def _set(connection: sqlalchemy.Connection, record: PriceRecord, actor: str) -> PriceRecord:
    now_us = time.time_ns() // 1000
    ahead_us = None if record.effective_us else _set_ahead(connection, record, now_us)
    if ahead_us is not None:
        raise Unfit(
            f"the last price of {record.model!r} was set from {_moment(ahead_us)} on, which is yet"
            " to come: was the clock set back? It would take over again then. Set it right, or"
            " give the new price a date behind that"
        )
    effective_us = record.effective_us or now_us
    record = msgspec.structs.replace(record, effective_us=effective_us)
    if record.upstream is not None and record.free is not None:
        raise Unfit("an allowance belongs to what callers pay, not to a cost")
    replaced = None
    if record.upstream is None:
        replaced = effective(connection, record.model, None, effective_us)
    stored = _insert(connection, _following(connection, record), actor)
    _bring_on(connection, stored, replaced, actor)
    return stored


def _set_ahead(connection: sqlalchemy.Connection, record: PriceRecord, now_us: int) -> int | None:
    """From when a price of the same holds that is yet to come, though it was not planned: the clock
    had passed that moment when it was set."""
    upstream = price.c.upstream
    mine = upstream.is_(None) if record.upstream is None else upstream == record.upstream
    of_price = (change.c.kind == "price") & (change.c.object_id == cast(price.c.version, Text))
    query = (
        select(func.max(price.c.effective_us))
        .join(change, of_price)
        .where(price.c.model == record.model, mine, price.c.effective_us > now_us)
        .where(change.c.at_us >= price.c.effective_us)
    )
    found = connection.scalar(query)
    return None if found is None else int(found)


def _moment(at_us: int) -> str:
    at = datetime.datetime.fromtimestamp(at_us // 1_000_000, datetime.UTC)
    return at.isoformat().replace("+00:00", "Z")


def _bring_on(
    connection: sqlalchemy.Connection,
    stored: PriceRecord,
    replaced: PriceRecord | None,
    actor: str,
) -> None:
    """Set anew what callers pay where it follows a cost that is new, or another one from a later
    date on. What followed by the markup that `stored` `replaced` gives way to it, until something
    else was planned."""
    for at_us in _dates(connection, stored):
        paid = effective(connection, stored.model, None, at_us)
        if paid is None:
            continue
        meant = paid
        if replaced is not None and paid.version < stored.version:
            if _same_markup(paid, replaced):
                meant = stored
            else:
                replaced = None
        right = _following(connection, msgspec.structs.replace(meant, effective_us=at_us))
        new = at_us == stored.effective_us and paid.markup_of == stored.upstream is not None
        if new or _amounts(paid) != _amounts(right):
            _insert(connection, right, actor)


def _dates(connection: sqlalchemy.Connection, stored: PriceRecord) -> list[int]:
    later = price.c.effective_us >= stored.effective_us
    query = select(price.c.effective_us).where(price.c.model == stored.model, later).distinct()
    return list(connection.scalars(query.order_by(price.c.effective_us)))


def _same_markup(one: PriceRecord, other: PriceRecord) -> bool:
    mine, theirs = (one.markup_bp, one.markup_of), (other.markup_bp, other.markup_of)
    return mine == theirs and one.markup_bp is not None


def _amounts(record: PriceRecord) -> PriceRecord:
    """The price, whenever it holds."""
    return msgspec.structs.replace(record, version=0, effective_us=0)


def _following(connection: sqlalchemy.Connection, record: PriceRecord) -> PriceRecord:
    """The record, with the amounts of its date where it has a markup."""
    if record.markup_bp is None:
        return record
    cost = effective(connection, record.model, record.markup_of, record.effective_us)
    if record.upstream is not None or record.markup_of is None or cost is None:
        where = f"{record.model!r} at {record.markup_of!r}"
        raise Missing(f"a markup needs the cost that it follows: none is set for {where}")
    marked = marked_up(cost, record.markup_bp)
    return msgspec.structs.replace(marked, effective_us=record.effective_us, free=record.free)


def _insert(connection: sqlalchemy.Connection, record: PriceRecord, actor: str) -> PriceRecord:
    version = 1 + int(connection.scalar(select(func.max(price.c.version))) or 0)
    stored = msgspec.structs.replace(record, version=version)
    values = msgspec.structs.asdict(stored)
    details, free = values.pop("details") or PriceDetails(), values.pop("free")
    allowed = {column: getattr(free, name, None) for column, name in FREE.items()}
    connection.execute(
        price.insert().values(**values, **msgspec.structs.asdict(details), **allowed)
    )
    note(connection, Subject("price", str(version), actor), "create", stored)
    return stored


def effective(
    connection: sqlalchemy.Connection, model: str, upstream: str | None, at_us: int
) -> PriceRecord | None:
    """The price that holds at that moment, if there is one."""
    found = price.c.upstream.is_(None) if upstream is None else price.c.upstream == upstream
    query = select(price).where(price.c.model == model, found, price.c.effective_us <= at_us)
    newest = query.order_by(price.c.effective_us.desc(), price.c.version.desc()).limit(1)
    row = connection.execute(newest).one_or_none()
    return None if row is None else _record(row)


def _record(row: sqlalchemy.Row[Any]) -> PriceRecord:
    values = dict(row._mapping)
    details = PriceDetails(**{name: values.pop(name) for name in DETAILS})
    given = {name: values.pop(column) for column, name in FREE.items()}
    return PriceRecord(
        **values,
        details=None if details == PriceDetails() else details,
        free=None if given["amount"] is None else Allowance(**given),
    )
