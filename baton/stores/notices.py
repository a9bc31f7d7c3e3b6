"""Notices that a budget is used so far, and their delivery: an outbox in the book.

A notice is made once for each account and threshold; a new window of a budget is a new account, so
it is noticed anew. Of all processes one has the duty to make and deliver them, for as long as it
renews it.
"""

import msgspec
import sqlalchemy
from sqlalchemy import bindparam, func, select

from baton.stores import windows
from baton.stores.allowances import WITHIN
from baton.stores.base import BudgetRecord
from baton.stores.database import Database
from baton.stores.tables import Whole, account, budget, duty, notice

DUTY = "notices"


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One that is to be delivered."""

    id: int
    body: str
    attempts: int
    """How often it was tried."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a notice says."""

    type: str = "budget.threshold"
    id: str
    created_us: int
    account: str
    """A key's own, or a budget's with its window: `team:t/day@2026-11-22`."""
    unit: str
    """nano_usd | tokens"""
    percent: int
    limit: int
    used: int


class Notices:
    """Makes notices and remembers what became of them. Every method raises StoreUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, owner: str, now_us: int, until_us: int) -> bool:
        """Claim or renew the duty; False while another process has it."""
        mine = duty.c.name == DUTY
        try:
            with self._database.writing() as connection:
                holder = connection.execute(select(duty).where(mine)).one_or_none()
                values = {"owner": owner, "until_us": until_us}
                if holder is None:
                    connection.execute(duty.insert().values(name=DUTY, **values))
                    return True
                if holder.owner != owner and holder.until_us > now_us:
                    return False
                connection.execute(duty.update().where(mine).values(**values))
                return True
        except sqlalchemy.exc.IntegrityError:
            return False  # another process was first

    def leave(self, owner: str) -> None:
        """Give the duty up, so that another process need not wait."""
        mine = (duty.c.name == DUTY) & (duty.c.owner == owner)
        with self._database.writing() as connection:
            connection.execute(duty.delete().where(mine))

    def make(self, percents: tuple[int, ...], now_us: int) -> int:
        """Notice every limited account that has reached a threshold; returns how many."""
        with self._database.reading() as connection:
            found = [
                row
                for percent in percents
                for row in connection.execute(_REACHED, {"percent": percent})
            ]
        made = 0
        for row in found:
            made += self._add(row, now_us)
        return made

    def due(self, now_us: int, at_most: int = 100) -> list[Notice]:
        """Those to be tried now, oldest first."""
        query = select(notice.c.id, notice.c.body, notice.c.attempts)
        query = query.where(notice.c.next_us <= now_us).order_by(notice.c.id).limit(at_most)
        with self._database.reading() as connection:
            return [Notice(**row._mapping) for row in connection.execute(query)]

    def delivered(self, notice_id: int, now_us: int) -> None:
        self._change(notice_id, {"next_us": None, "delivered_us": now_us, "failure": None})

    def failed(self, notice_id: int, why: str, next_us: int | None) -> None:
        """To be tried again at `next_us`; None: given up."""
        self._change(notice_id, {"next_us": next_us, "failure": why})

    def _change(self, notice_id: int, values: dict[str, object]) -> None:
        more = {"attempts": notice.c.attempts + 1}
        with self._database.writing() as connection:
            changed = notice.update().where(notice.c.id == notice_id)
            connection.execute(changed.values(**values, **more))

    def _add(self, row: sqlalchemy.Row[tuple[str, int, int, int]], now_us: int) -> int:
        noticed = (notice.c.account == row.id) & (notice.c.percent == row.percent)
        with self._database.writing() as connection:
            if connection.scalar(select(notice.c.id).where(noticed)) is not None:
                return 0  # by a process that took the duty over meanwhile
            number = 1 + int(connection.scalar(select(func.max(notice.c.id))) or 0)
            current = _is_current(connection, row.id, now_us)
            told = Told(
                id=f"notice_{number}",
                created_us=now_us,
                account=row.id,
                unit="tokens" if row.id.startswith(windows.TOKENS) else "nano_usd",
                percent=row.percent,
                limit=row.limit_nano,
                used=row.posted_nano,
            )
            connection.execute(
                notice.insert().values(
                    id=number,
                    account=row.id,
                    percent=row.percent,
                    body=msgspec.json.encode(told).decode(),
                    created_us=now_us,
                    next_us=now_us if current else None,
                )
            )
        return int(current)


def _at_threshold() -> sqlalchemy.Select[tuple[str, int, int, int]]:
    """Accounts at the threshold `percent` that were not noticed. The limit is divided first: times
    a hundred it may leave 64 bits."""
    limit, percent = account.c.limit_nano, bindparam("percent", type_=Whole)
    threshold = limit // 100 * percent + (limit % 100 * percent + 99) // 100
    noticed = (notice.c.account == account.c.id) & (notice.c.percent == percent)
    return (
        select(account.c.id, limit, account.c.posted_nano, percent.label("percent"))
        .join_from(account, notice, noticed, isouter=True)
        .where(account.c.id.not_like(f"%{WITHIN}%"))  # an allowance is no budget
        .where(limit > 0, account.c.posted_nano >= threshold, notice.c.id.is_(None))
    )


_REACHED = _at_threshold()
"""Made once, as it is asked every few seconds (docs/decisions/0044)."""


def _is_current(connection: sqlalchemy.Connection, name: str, now_us: int) -> bool:
    """Whether a budget's window is under way: nobody is told of last month's."""
    held = windows.budget_of(name)
    if held == name:
        return True
    row = connection.execute(select(budget).where(budget.c.id == held)).one_or_none()
    if row is None:
        return False
    record = BudgetRecord(amount=row.amount, unit=row.unit, span=row.span, zone=row.zone)
    return name == windows.account(row.subject, record, now_us)
