"""Posting: how ended requests of a journal come into the book. One transaction a batch.

The mark `journal.folded_seq` moves in the same transaction as everything that it stands for, so a
batch is posted once, whoever tries however often.

Ends of requests that are in the book already are dropped first: the second end of a hold, where one
was written, and those that only the book knew of when a backup was restored whose journal is older
than its book.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence

import sqlalchemy
from sqlalchemy import bindparam, select

from baton.stores import moved, traffic
from baton.stores.accounts import not_below_zero
from baton.stores.carried import ATTEMPT_COLUMNS, Row, Rows, carry, known, of, storable
from baton.stores.database import Database
from baton.stores.journals import Tenure, fence
from baton.stores.sums import ALIKE_BY_USER, Sum, add, summed
from baton.stores.tables import (
    Whole,
    account,
    attempt,
    entry,
    fold,
    journal,
    lease,
    usage_day,
    usage_user,
)
from baton.stores.windows import measure

# Made once: a statement that is made anew for each fold is a cycle of objects, which stays until
# the collector looks (docs/decisions/0044).
_MARK = select(journal.c.folded_seq).where(journal.c.number == bindparam("of"))
_MOVE_MARK = (
    journal.update()
    .where(journal.c.number == bindparam("of"))
    .values(folded_seq=bindparam("last", type_=Whole))
)
_amount = bindparam("amount", type_=Whole)
_CHARGE = (
    account.update()
    .where(account.c.id == bindparam("name"))
    .values(posted_nano=account.c.posted_nano + _amount)
)
_CHARGE_LEASE = (
    lease.update()
    .where((lease.c.account == bindparam("name")) & (lease.c.journal == bindparam("number")))
    .values(granted_nano=not_below_zero(lease.c.granted_nano - _amount))
)
_FOLD, _ENTRY, _ATTEMPT = fold.insert(), entry.insert(), attempt.insert()
_user = of("user")


class Posting:
    """The way from one journal into the book, for one thread."""

    def __init__(self, database: Database, rows: Rows, held: Tenure) -> None:
        """Raises Fenced, from each method, when another process has the journal now."""
        self.number, self._held, self._rows = held.number, held, rows
        self._database = database

    def post(self, at_most: int) -> tuple[int, int]:
        """Post up to so many ended requests; returns how many were looked at, and the mark as it is
        now."""
        mark = self.mark()
        if not self._rows.after(mark, at_most):  # read before the book is locked
            return 0, mark
        with self._database.writing(alone=False) as connection:
            fence(connection, self._held.number, self._held.epoch)
            mark = _mark(connection, self.number)
            rows = self._rows.after(mark, at_most)
            if not rows:
                return 0, mark
            last = int(rows[-1][0])
            connection.execute(_MOVE_MARK, {"of": self.number, "last": last})
            there = known(connection, [row[1] for row in rows])
            new = [row for row in rows if row[1] not in there] if there else rows
            if new:
                self._post(connection, storable(connection, new), mark, last)
            return len(rows), last

    def mark(self) -> int:
        """The seq up to which the journal is in the book."""
        with self._database.reading() as connection:
            return _mark(connection, self.number)

    def close(self) -> None:
        self._rows.close()

    def _post(
        self, connection: sqlalchemy.Connection, rows: Sequence[Row], mark: int, last: int
    ) -> None:
        carry(connection, rows)
        groups = summed(rows)
        sums = [found for found, _ in groups]
        named = [row for row in rows if _user(row) is not None]
        add(connection, usage_user, [found for found, _ in summed(named, ALIKE_BY_USER)])
        self._post_attempts(connection, rows, mark, last)
        traffic.post(connection, groups)
        _post_sums(connection, self.number, last, sums)

    def _post_attempts(
        self, connection: sqlalchemy.Connection, rows: Sequence[Row], mark: int, last: int
    ) -> None:
        """Few requests have several; those of an end that is not in the batch are left out."""
        found = self._rows.attempts(mark, last)
        if not found:
            return
        ended = {row[0] for row in rows}
        names = ("request", "n", *ATTEMPT_COLUMNS)
        spent = [dict(zip(names, row, strict=True)) for seq, *row in found if seq in ended]
        if spent:
            connection.execute(_ATTEMPT, spent)
            moved.post(connection, {row["request"] for row in spent})


def _mark(connection: sqlalchemy.Connection, number: int) -> int:
    return int(connection.scalar(_MARK, {"of": number}) or 0)


def _post_sums(connection: sqlalchemy.Connection, number: int, last: int, sums: list[Sum]) -> None:
    add(connection, usage_day, sums)
    _post_balances(connection, number, sums)
    batch = {
        "journal": number,
        "last_seq": last,
        "requests": sum(row["requests"] for row in sums),
        "at_us": time.time_ns() // 1000,
    }
    fold_id = connection.execute(_FOLD, batch).inserted_primary_key
    assert fold_id is not None
    amounts = entries(sums)
    if amounts:
        rows = [{"fold": fold_id[0], "account": a, "amount_nano": n} for a, n in amounts.items()]
        connection.execute(_ENTRY, rows)


def entries(sums: Iterable[Sum]) -> dict[str, int]:
    """The double entry of a batch, by account; the amounts sum to zero."""
    amounts: defaultdict[str, int] = defaultdict(int)
    for row in sums:
        amounts[row["account"]] -= row["charge"]
        amounts["operator:overrun"] -= row["overrun"]
        amounts["revenue"] += row["charge"] + row["overrun"]
        amounts["upstream_payable"] -= row["cost"]
        amounts["cogs"] += row["cost"]
    assert sum(amounts.values()) == 0
    return {name: amount for name, amount in sorted(amounts.items()) if amount}


def _post_balances(connection: sqlalchemy.Connection, number: int, sums: list[Sum]) -> None:
    """Charges move from the lease to the balance, for the payer and every further scope; tokens, or
    requests, where an account counts those."""
    charges: defaultdict[str, int] = defaultdict(int)
    for row in sums:
        further = row["scopes"].split(",") if row["scopes"] else []
        for name in {row["account"], *further}:
            charges[name] += row[measure(name)]
    rows = [{"name": n, "amount": c, "number": number} for n, c in sorted(charges.items()) if c]
    if not rows:
        return
    connection.execute(_CHARGE, rows)
    connection.execute(_CHARGE_LEASE, rows)
