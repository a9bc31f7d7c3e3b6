"""What a request cost the operator: each attempt at the price of its upstream. Pure.

A caller pays for the logical request once; every attempt at it is the operator's to pay.
"""

from collections.abc import Iterable

import msgspec

from baton.ledger import prices
from baton.ledger.entries import AttemptRow
from baton.ledger.prices import PriceBook
from baton.semantics.events import Usage
from baton.semantics.usage import clamp
from baton.stores.base import PriceRecord


class Cost(msgspec.Struct, frozen=True):
    """nano-USD, and how they came about."""

    amount: int
    version: int | None
    """The price; 0: none was set; None: `spent` names theirs."""
    spent: tuple[AttemptRow, ...] = ()


NO_COST = Cost(0, 0)


def amount(usage: Usage, price: PriceRecord) -> int:
    """nano-USD that a (clamped) usage costs at a price; nothing where none was set. At most what a
    request may cost its caller: of more, sums would be beyond what the book can hold."""
    return min(prices.charge(usage, price), prices.HOLD_NANO_MAX) if price.version else 0


def of_attempts(
    book: PriceBook, model: str, at_us: int, spent: Iterable[tuple[str, Usage]]
) -> Cost:
    """What attempts at a request of that moment cost, by upstream and usage."""
    rows = []
    for upstream, used in spent:
        usage, price = clamp(used), book.cost(model, upstream, at_us)
        counts = msgspec.structs.asdict(usage)
        rows.append(
            AttemptRow(
                upstream=upstream, cost=amount(usage, price), price_version=price.version, **counts
            )
        )
    return Cost(min(sum(row.cost for row in rows), prices.AMOUNT_NANO_MAX), None, tuple(rows))
