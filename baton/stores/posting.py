"""Posting: how ended requests of a journal come into the book. One transaction a batch.

The mark `journal.folded_seq` moves in the same transaction as everything that it stands for, so a
batch is posted once, whoever tries however often. The rows of a batch are in a table: on SQLite the
journal's own, whose file is attached; on a server a temporary one, into which they are copied
(stores/carried.py). The same statements then take them from there.
"""

import time
from collections import defaultdict
from collections.abc import Iterable

import sqlalchemy
from sqlalchemy import bindparam, select, text

from baton.stores import moved, traffic
from baton.stores.accounts import not_below_zero
from baton.stores.carried import ATTEMPT_COLUMNS, POSTED, Rows, carry, prepare, storable
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
    request,
    usage_day,
    usage_user,
)
from baton.stores.windows import measure

SEQ_BITS = 40
"""A request's id is its journal's number above, and its hold's seq below this many bits."""
SLOT = "slot.settle"

_COPIED = [column.name for column in request.columns if column.name != "id"]
_NAMES = ", ".join(f'"{name}"' for name in _COPIED)
_ID = f"((CAST(:number AS BIGINT) << {SEQ_BITS}) | hold_seq)"


class Statements:
    """What is done with the rows of a batch, which are in `table` (`seq`, `hold_seq`, a request's
    columns)."""

    def __init__(self, table: str) -> None:
        span = f"FROM {table} WHERE seq > :mark AND seq <= :last"
        self.last_seq = text(
            f"SELECT max(seq) FROM (SELECT seq FROM {table} WHERE seq > :mark"
            " ORDER BY seq LIMIT :at_most) AS batch"
        )
        self.seqs = text(f"SELECT seq {span}")
        self.drop_posted = text(
            f"DELETE FROM {table} WHERE seq > :mark AND EXISTS (SELECT 1 FROM request"
            f" WHERE request.id = {_ID})"
        )
        self.copy = text(f"INSERT INTO request(id, {_NAMES}) SELECT {_ID}, {_NAMES} {span}")
        self.sums = text(
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
            f" sum(charge) AS charge, sum(overrun) AS overrun, sum(cost) AS cost {span}"
            " GROUP BY 1, key_id, account, scopes, model, upstream"
            " ORDER BY 1, key_id, model, upstream"
        )
        self.traffic = traffic.sums(span.removeprefix("FROM "))
        self.user_sums = text(
            f'SELECT created_us / {DAY_US} AS day, key_id, "user", count(*) AS requests,'
            " sum(CASE WHEN status >= 400 OR state = 'interrupted' THEN 1 ELSE 0 END) AS failed,"
            " sum(estimated) AS estimated,"
            " coalesce(sum(prompt_tokens), 0) AS prompt_tokens,"
            " coalesce(sum(cached_tokens), 0) AS cached_tokens,"
            " coalesce(sum(completion_tokens), 0) AS completion_tokens,"
            f' sum(charge) AS charge, sum(cost) AS cost {span} AND "user" IS NOT NULL'
            ' GROUP BY 1, key_id, "user" ORDER BY 1, key_id, "user"'
        )


_ATTACHED, _CARRIED = Statements(SLOT), Statements(POSTED)

DAY_COLUMNS = [column.name for column in usage_day.columns]
ADD_TO_DAY, ADD_TO_USER = adding(usage_day), adding(usage_user)

Sum = sqlalchemy.RowMapping


class Posting:
    """The way from one journal into the book, for one thread."""

    def __init__(self, database: Database, rows: Rows, held: Tenure) -> None:
        """Raises Fenced, from each method, when another process has the journal now."""
        self.number, self._held, self._rows = held.number, held, rows
        self._carried = database.on_server
        self._statements = _CARRIED if self._carried else _ATTACHED
        self._own = None if self._carried else Database(database.place, slot=rows.path)
        self._database = self._own or database

    def post(self, at_most: int) -> tuple[int, int]:
        """Post up to so many ended requests; returns how many, and the mark as it is now."""
        with self._database.reading() as connection:
            mark = _mark(connection, self.number)
            if not self._has_more(connection, mark):
                return 0, mark
        with self._database.writing(alone=False) as connection:
            fence(connection, self._held.number, self._held.epoch)
            mark = _mark(connection, self.number)
            if self._carried:
                prepare(connection)
                carry(connection, self._rows.after(mark, at_most))
                self._drop_posted(connection, mark)
            last = self._last(connection, mark, at_most)
            if last is None:
                return 0, mark
            span = {"number": self.number, "mark": mark, "last": last}
            copied = connection.execute(self._statements.copy, span).rowcount
            sums = list(connection.execute(self._statements.sums, span).mappings())
            users = list(connection.execute(self._statements.user_sums, span).mappings())
            if users:
                connection.execute(ADD_TO_USER, [dict(row) for row in users])
            self._post_attempts(connection, mark, last)
            over_time = connection.execute(self._statements.traffic, span).mappings().all()
            traffic.post(connection, over_time)
            _post_sums(connection, self.number, last, sums)
            return copied, last

    def mark(self) -> int:
        """The seq up to which the journal is in the book."""
        with self._database.reading() as connection:
            return _mark(connection, self.number)

    def drop_posted(self) -> None:
        """Forget ends, not folded yet, of requests that are in the book already.

        There are some only where a journal's copy is older than the book's (a restored backup): the
        request ended in between, and recovery has interrupted it once more."""
        if self._carried:
            return  # done with each batch
        with self._database.writing(alone=False) as connection:
            self._drop_posted(connection, _mark(connection, self.number))

    def checkpoint(self) -> None:
        """Move the journal's log into its file, as far as no reader needs it: not in a commit."""
        self._rows.checkpoint()

    def close(self) -> None:
        self._rows.close()
        if self._own is not None:
            self._own.close()

    def _has_more(self, connection: sqlalchemy.Connection, mark: int) -> bool:
        if self._carried:
            return bool(self._rows.after(mark, 1))
        return self._last(connection, mark, 1) is not None

    def _last(self, connection: sqlalchemy.Connection, mark: int, at_most: int) -> int | None:
        last = connection.scalar(self._statements.last_seq, {"mark": mark, "at_most": at_most})
        return None if last is None else int(last)

    def _post_attempts(self, connection: sqlalchemy.Connection, mark: int, last: int) -> None:
        """Few requests have several; those of an end that is not in the batch are left out."""
        found = self._rows.attempts(mark, last)
        if not found:
            return
        ended = set(connection.scalars(self._statements.seqs, {"mark": mark, "last": last}))
        rows = [
            {"request": self.number << SEQ_BITS | hold_seq, "n": n}
            | {c: storable(each) for c, each in zip(ATTEMPT_COLUMNS, values, strict=True)}
            for seq, n, hold_seq, *values in found
            if seq in ended
        ]
        if rows:
            connection.execute(attempt.insert(), rows)
            moved.post(connection, {row["request"] for row in rows})

    def _drop_posted(self, connection: sqlalchemy.Connection, mark: int) -> None:
        span = {"number": self.number, "mark": mark}
        connection.execute(self._statements.drop_posted, span)


def _mark(connection: sqlalchemy.Connection, number: int) -> int:
    return int(
        connection.scalar(select(journal.c.folded_seq).where(journal.c.number == number)) or 0
    )


def _post_sums(connection: sqlalchemy.Connection, number: int, last: int, sums: list[Sum]) -> None:
    mine = journal.c.number == number
    connection.execute(journal.update().where(mine).values(folded_seq=last))
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
