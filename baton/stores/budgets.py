"""Budgets in the book: what may be used of one unit in each window, by key or party.

A budget's balance in a window is an account (windows.py names it). The account is opened when its
first lease is asked for; while it is open its limit follows the budget.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import sqlalchemy
from sqlalchemy import bindparam, select, text

from baton.stores import windows
from baton.stores.base import BudgetRecord, Unfit
from baton.stores.tables import account, budget

BUDGETS_MAX = 8
"""Two units by four spans."""
AHEAD = 2
"""So many windows after the one under way may have been opened already, while the budget had a zone
further east: dates differ by two at most."""
LATE_US = 5_000_000
"""Whoever has read a budget names it for so long at most: a second, and what clocks differ by."""

_OPEN = text(
    "INSERT INTO account(id, limit_nano, posted_nano)"
    " SELECT :account, amount, 0 FROM budget WHERE id = :budget ON CONFLICT(id) DO NOTHING"
).bindparams(bindparam("account"), bindparam("budget"))
_LIFT = text(
    "INSERT INTO account(id, limit_nano, posted_nano) VALUES (:account, NULL, 0)"
    " ON CONFLICT(id) DO UPDATE SET limit_nano = NULL"
)


def check(budgets: Iterable[BudgetRecord]) -> None:
    """Unfit for a time zone that does not exist, or two budgets of one unit and span."""
    seen = set()
    for each in budgets:
        try:
            windows.zone(each.zone)
        except ValueError as error:
            raise Unfit(f"a budget's time zone: {error}") from None
        if (each.unit, each.span) in seen:
            raise Unfit(f"two budgets of {each.unit} for one {each.span}")
        seen.add((each.unit, each.span))


def put(connection: sqlalchemy.Connection, subject: str, budgets: Sequence[BudgetRecord]) -> None:
    """Make these the subject's budgets; windows that are open and not over get the new limits, in
    the order of their names: leases are granted and charges posted in that order, too, and where
    two wait for each other a server ends one of them. The window of a budget that goes is opened,
    without a limit, for those who have read it before and do not know yet, and so is one that is
    about to begin."""
    check(budgets)
    now_us, limits = time.time_ns() // 1000, dict[str, int | None]()
    named = set()
    for gone in within(connection, [subject])[subject]:
        connection.execute(budget.delete().where(budget.c.id == windows.budget_id(subject, gone)))
        limits |= dict.fromkeys(_accounts(subject, gone, now_us))
        named |= {windows.account(subject, gone, now_us + us) for us in (0, LATE_US)}
    for each in budgets:
        fields = {"id": windows.budget_id(subject, each), "subject": subject, "unit": each.unit}
        fields |= {"span": each.span, "zone": each.zone}
        connection.execute(budget.insert().values(**fields, amount=each.amount))
        limits |= dict.fromkeys(_accounts(subject, each, now_us), each.amount)
    for name, amount in sorted(limits.items()):
        if amount is None and name in named:
            connection.execute(_LIFT, {"account": name})
            continue
        connection.execute(account.update().where(account.c.id == name).values(limit_nano=amount))


def within(
    connection: sqlalchemy.Connection, subjects: Sequence[str] | None = None
) -> dict[str, tuple[BudgetRecord, ...]]:
    """Budgets by subject, by unit and span; of all subjects without any given."""
    query = select(budget).order_by(budget.c.id)
    if subjects is not None:
        query = query.where(budget.c.subject.in_(subjects))
    found: defaultdict[str, tuple[BudgetRecord, ...]] = defaultdict(tuple)
    for row in connection.execute(query):
        fields = {name: row._mapping[name] for name in BudgetRecord.__struct_fields__}
        found[row.subject] += (BudgetRecord(**fields),)
    for subject, records in found.items():
        found[subject] = tuple(sorted(records, key=lambda each: (each.unit, each.span)))
    return found


def open_account(connection: sqlalchemy.Connection, account_id: str) -> None:
    """Begin the balance of a budget's window, if there is such a budget."""
    given = {"account": account_id, "budget": windows.budget_of(account_id)}
    connection.execute(_OPEN, given)


def _accounts(subject: str, of: BudgetRecord, at_us: int) -> Iterator[str]:
    """Those of its accounts that may be open, from the window under way on."""
    for _ in range(1 + AHEAD):
        yield windows.account(subject, of, at_us)
        end_us = windows.of(of, at_us).end_us
        if end_us is None:
            return
        at_us = end_us
