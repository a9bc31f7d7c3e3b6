"""Posting: how ended requests of a journal come into the book. One transaction a batch.

The mark `journal.folded_seq` moves in the same transaction as everything that it stands for, so a
batch is posted once, whoever tries however often. The rows of a batch are copied into a temporary
table (stores/carried.py), from which all statements take them.

Ends of requests that are in the book already are dropped first: the second end of a hold, where one
was written, and those that only the book knew of when a backup was restored whose journal is older
than its book.
"""

import time
from collections import defaultdict
from collections.abc import Iterable

import sqlalchemy
from sqlalchemy import bindparam, select, text

from baton.stores import moved, traffic
from baton.stores.accounts import not_below_zero
from baton.stores.carried import (
    ATTEMPT_COLUMNS,
    NAMES,
    POSTED,
    Rows,
    carry,
    clear,
    prepare,
    storable,
)
from baton.stores.database import Database
from baton.stores.journals import Tenure, fence
from baton.stores.sums import DAY_US, adding
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

SEQ_BITS = 40
"""A request's id is its journal's number above, and its hold's seq below this many bits."""

_ID = f"((CAST(:number AS BIGINT) << {SEQ_BITS}) | hold_seq)"
_SEQS = text(f"SELECT seq FROM {POSTED}")
_DROP_POSTED = text(
    f"DELETE FROM {POSTED} WHERE EXISTS (SELECT 1 FROM request WHERE request.id = {_ID})"
)
_COPY = text(f"INSERT INTO request(id, {NAMES}) SELECT {_ID}, {NAMES} FROM {POSTED}")
_SUMS = text(
    f"SELECT created_us / {DAY_US} AS day, key_id, account, scopes, model, upstream,"
    " count(*) AS requests,"
    " sum(CASE WHEN status >= 400 OR state = 'interrupted' THEN 1 ELSE 0 END) AS failed,"
    " sum(stream) AS streams, sum(estimated) AS estimated, sum(handoffs) AS handoffs,"
    " coalesce(sum(prompt_tokens), 0) AS prompt_tokens,"
    " coalesce(sum(cached_tokens), 0) AS cached_tokens,"
    " coalesce(sum(completion_tokens), 0) AS completion_tokens,"
    " coalesce(sum(reasoning_tokens), 0) AS reasoning_tokens,"
    " sum(CASE WHEN state = 'released' THEN 0 ELSE coalesce(prompt_tokens, 0)"
    " + coalesce(completion_tokens, 0) END) AS tokens,"
    " sum(CASE WHEN state = 'released' THEN 0 ELSE 1 END) AS unreleased,"
    f" sum(charge) AS charge, sum(overrun) AS overrun, sum(cost) AS cost FROM {POSTED}"
    " GROUP BY 1, key_id, account, scopes, model, upstream"
    " ORDER BY 1, key_id, model, upstream"
)
_TRAFFIC = traffic.sums(POSTED)
_USER_SUMS = text(
    f'SELECT created_us / {DAY_US} AS day, key_id, "user", count(*) AS requests,'
    " sum(CASE WHEN status >= 400 OR state = 'interrupted' THEN 1 ELSE 0 END) AS failed,"
    " sum(estimated) AS estimated,"
    " coalesce(sum(prompt_tokens), 0) AS prompt_tokens,"
    " coalesce(sum(cached_tokens), 0) AS cached_tokens,"
    " coalesce(sum(completion_tokens), 0) AS completion_tokens,"
    f' sum(charge) AS charge, sum(cost) AS cost FROM {POSTED} WHERE "user" IS NOT NULL'
    ' GROUP BY 1, key_id, "user" ORDER BY 1, key_id, "user"'
)

_MOVE_MARK = (
    journal.update()
    .where(journal.c.number == bindparam("of"))
    .values(folded_seq=bindparam("last", type_=Whole))
)
DAY_COLUMNS = [column.name for column in usage_day.columns]
ADD_TO_DAY, ADD_TO_USER = adding(usage_day), adding(usage_user)

Sum = sqlalchemy.RowMapping


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
            prepare(connection)
            carry(connection, rows)
            last = int(rows[-1][0])
            connection.execute(_MOVE_MARK, {"of": self.number, "last": last})
            self._post(connection, mark, last)
            clear(connection)
            return len(rows), last

    def mark(self) -> int:
        """The seq up to which the journal is in the book."""
        with self._database.reading() as connection:
            return _mark(connection, self.number)

    def close(self) -> None:
        self._rows.close()

    def _post(self, connection: sqlalchemy.Connection, mark: int, last: int) -> None:
        number = {"number": self.number}
        connection.execute(_DROP_POSTED, number)
        connection.execute(_COPY, number)
        sums = list(connection.execute(_SUMS).mappings())
        if not sums:
            return
        users = list(connection.execute(_USER_SUMS).mappings())
        if users:
            connection.execute(ADD_TO_USER, [dict(row) for row in users])
        self._post_attempts(connection, mark, last)
        traffic.post(connection, connection.execute(_TRAFFIC).mappings().all())
        _post_sums(connection, self.number, last, sums)

    def _post_attempts(self, connection: sqlalchemy.Connection, mark: int, last: int) -> None:
        """Few requests have several; those of an end that is not in the batch are left out."""
        found = self._rows.attempts(mark, last)
        if not found:
            return
        ended = set(connection.scalars(_SEQS))
        rows = [
            {"request": self.number << SEQ_BITS | hold_seq, "n": n}
            | {c: storable(each) for c, each in zip(ATTEMPT_COLUMNS, values, strict=True)}
            for seq, n, hold_seq, *values in found
            if seq in ended
        ]
        if rows:
            connection.execute(attempt.insert(), rows)
            moved.post(connection, {row["request"] for row in rows})


def _mark(connection: sqlalchemy.Connection, number: int) -> int:
    return int(
        connection.scalar(select(journal.c.folded_seq).where(journal.c.number == number)) or 0
    )


def _post_sums(connection: sqlalchemy.Connection, number: int, last: int, sums: list[Sum]) -> None:
    _post_days(connection, sums)
    _post_balances(connection, number, sums)
    batch = fold.insert().values(
        journal=number,
        last_seq=last,
        requests=sum(row["requests"] for row in sums),
        at_us=time.time_ns() // 1000,
    )
    fold_id = connection.execute(batch).inserted_primary_key
    assert fold_id is not None
    amounts = entries(sums)
    if amounts:
        rows = [{"fold": fold_id[0], "account": a, "amount_nano": n} for a, n in amounts.items()]
        connection.execute(entry.insert(), rows)


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
    amount = bindparam("amount", type_=Whole)
    connection.execute(
        account.update()
        .where(account.c.id == bindparam("name"))
        .values(posted_nano=account.c.posted_nano + amount),
        rows,
    )
    connection.execute(
        lease.update()
        .where((lease.c.account == bindparam("name")) & (lease.c.journal == bindparam("number")))
        .values(granted_nano=not_below_zero(lease.c.granted_nano - amount)),
        rows,
    )


def _post_days(connection: sqlalchemy.Connection, sums: list[Sum]) -> None:
    connection.execute(ADD_TO_DAY, [{name: row[name] for name in DAY_COLUMNS} for row in sums])
