"""What keys may use of a model without a charge: an account for each key, model and window.

The account's name is among the scopes of each request that was free, and says so for good: such a
request is charged nothing, whatever its price says. Its limit is the allowance of the price that
holds when something of it is lent; it counts tokens or requests, as its name begins.
"""

import time
import urllib.parse

import sqlalchemy
from sqlalchemy import text

from baton.stores import prices, windows
from baton.stores.base import Allowance, BudgetRecord

WITHIN = "s:free/"
"""In the name of every such account, and in no other's."""

_FOLLOW = text(
    "INSERT INTO account(id, limit_nano, posted_nano) VALUES (:account, :amount, 0)"
    " ON CONFLICT(id) DO UPDATE SET limit_nano = excluded.limit_nano"
)
"""One statement: when a window begins several nodes open its account in the same moment."""


def name(payer: str, model: str, allowance: Allowance, at_us: int) -> str:
    """`tokens:free/key:k/the%2Fmodel/day@2026-11-22`: neither comma nor @ of a model is left."""
    window = windows.of(BudgetRecord(amount=0, span=allowance.span), at_us).label
    where = f"{allowance.unit}:free/{payer}/{urllib.parse.quote(model, safe='')}/{allowance.span}"
    return f"{where}@{window}" if window else where


def is_free(scopes: str) -> bool:
    """Whether a request with these scopes, or an account of that name, is of an allowance."""
    return WITHIN in scopes


def follow(connection: sqlalchemy.Connection, account_id: str) -> None:
    """Open the account, or bring its limit to what the price in force allows; 0 where it allows
    nothing of the kind any more."""
    given = {"account": account_id, "amount": _allowed(connection, account_id)}
    connection.execute(_FOLLOW, given)


def _allowed(connection: sqlalchemy.Connection, account_id: str) -> int:
    place = windows.budget_of(account_id)
    unit, _, rest = place.partition(":free/")
    _, model, span = rest.rsplit("/", 2)
    now_us = time.time_ns() // 1000
    price = prices.effective(connection, urllib.parse.unquote(model), None, now_us)
    if price is None or price.free is None or (price.free.unit, price.free.span) != (unit, span):
        return 0
    return price.free.amount
