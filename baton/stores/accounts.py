"""Balances in the book, and the leases that let processes spend from them without asking.

What a process may spend on an account was granted to its journal before: the book counts it as
spent until it comes back as folded charges or is returned. So Σ leases + posted ≤ limit at every
grant, for living and dead processes alike, and no request needs the book while its lease suffices.
Amounts are in the account's own unit: nano-USD, tokens, or requests.
"""

from collections.abc import Mapping, Sequence

import sqlalchemy
from sqlalchemy import bindparam, func, select

from baton.stores import allowances, budgets
from baton.stores.base import AccountRecord, Missing
from baton.stores.database import Database
from baton.stores.journals import fence
from baton.stores.tables import Whole, account, lease

CHUNK_SHARE = 8
"""A grant beyond what is needed is at most 1/8 of what remains, so that others find some too."""


class Accounts:
    """Grants and takes back leases; tells balances."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, account_id: str) -> AccountRecord:
        """Raises Missing."""
        with self._database.reading() as connection:
            row = connection.execute(
                select(account).where(account.c.id == account_id)
            ).one_or_none()
            if row is None:
                raise Missing(f"there is no account {account_id!r}")
            return AccountRecord(**row._mapping, leased_nano=_leased(connection, account_id))

    def some(self, account_ids: Sequence[str]) -> dict[str, AccountRecord]:
        """Those of them that are open: a window's account is not before its first request."""
        if not account_ids:
            return {}
        with self._database.reading() as connection:
            rows = connection.execute(select(account).where(account.c.id.in_(account_ids)))
            return {
                row.id: AccountRecord(**row._mapping, leased_nano=_leased(connection, row.id))
                for row in rows.all()
            }

    def lend(
        self, journal: int, wants: Mapping[str, int], epoch: int | None = None
    ) -> dict[str, int]:
        """Grant each account's want, more where much remains, less where less remains.

        One transaction; accounts in one order, so that no two processes wait for each other.
        Raises Fenced when `epoch` is given and is not the journal's any more."""
        try:
            return self._lend(journal, wants, epoch)
        except _Unopened:
            return self._lend(journal, wants, epoch, opening=True)

    def _lend(
        self, journal: int, wants: Mapping[str, int], epoch: int | None, *, opening: bool = False
    ) -> dict[str, int]:
        """`opening` begins balances, alone: a budget that is changed in that moment is not followed
        by what is not there yet."""
        with self._database.writing(alone=opening) as connection:
            _fence(connection, journal, epoch)
            if opening:
                for name in wants:
                    budgets.open_account(connection, name)
            return {
                name: _lend(connection, journal, name, wants[name], opened=opening)
                for name in sorted(wants)
            }

    def elsewhere(self, journal: int, name: str) -> int:
        """How much of a limited account other journals hold: it may come back."""
        with self._database.reading() as connection:
            row = connection.execute(
                select(account.c.limit_nano, account.c.posted_nano).where(account.c.id == name)
            ).one_or_none()
            if row is None or row.limit_nano is None:
                return 0
            leased = _leased(connection, name)
            own = int(connection.scalar(_OWN, {"number": journal, "name": name}) or 0)
            # Of a limit that was lowered since, not all of it.
            left = int(row.limit_nano - row.posted_nano)
            return max(0, min(leased, left) - own)

    def give_back(self, journal: int, amounts: Mapping[str, int], epoch: int | None = None) -> None:
        """Return what was granted and not spent. The caller must have stopped counting on it.
        Raises Fenced, as `lend`."""
        with self._database.writing(alone=False) as connection:
            _fence(connection, journal, epoch)
            for name in sorted(amounts):
                _add(connection, journal, name, -amounts[name])


def _fence(connection: sqlalchemy.Connection, journal: int, epoch: int | None) -> None:
    if epoch is not None:
        fence(connection, journal, epoch)


class _Unopened(Exception):
    """A balance was not begun yet."""


def _lend(
    connection: sqlalchemy.Connection, journal: int, name: str, want: int, *, opened: bool
) -> int:
    """`opened`: what is not there is of no budget. Raises _Unopened."""
    if allowances.is_free(name):
        allowances.follow(connection, name)
    row = connection.execute(_BALANCE, {"name": name}).one_or_none()
    if row is None and not opened:
        raise _Unopened
    if row is None:
        return 0
    if row.limit_nano is None:
        granted = want
    else:
        remaining = max(0, row.limit_nano - row.posted_nano - _leased(connection, name))
        granted = grant(remaining, want)
    if granted:
        _add(connection, journal, name, granted)
    return granted


def grant(remaining: int, want: int) -> int:
    """How much of what remains to hand out: whole multiples of the want, at least it, if there."""
    if want <= 0:
        return 0
    return max(remaining // CHUNK_SHARE // want * want, min(want, remaining))


def _leased(connection: sqlalchemy.Connection, name: str) -> int:
    return int(connection.scalar(_LEASED, {"name": name}) or 0)


def _add(connection: sqlalchemy.Connection, journal: int, name: str, amount: int) -> None:
    given = {"number": journal, "name": name, "amount": amount}
    if connection.execute(_ADD, given).rowcount == 0 and amount > 0:
        new = {"journal": journal, "account": name, "granted_nano": amount}
        connection.execute(_LEASE, new)


def not_below_zero(amount: sqlalchemy.ColumnElement[int]) -> sqlalchemy.ColumnElement[int]:
    """A key that got its limit while requests ran has charges that no lease covers: they are taken
    from the lease all the same, and what is returned later may be more than is left of it."""
    return sqlalchemy.case((amount < 0, 0), else_=amount)


# Made once, as those of a fold (stores/posting.py): workers lend and give back every few seconds.
_BALANCE = (
    select(account.c.limit_nano, account.c.posted_nano)
    .where(account.c.id == bindparam("name"))
    .with_for_update()
)
_LEASED = select(func.coalesce(func.sum(lease.c.granted_nano), 0)).where(
    lease.c.account == bindparam("name")
)
_OWN = select(lease.c.granted_nano).where(
    (lease.c.journal == bindparam("number")) & (lease.c.account == bindparam("name"))
)
_ADD = (
    lease.update()
    .where((lease.c.journal == bindparam("number")) & (lease.c.account == bindparam("name")))
    .values(granted_nano=not_below_zero(lease.c.granted_nano + bindparam("amount", type_=Whole)))
)
_LEASE = lease.insert()
