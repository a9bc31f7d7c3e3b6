"""What rows of the ledger are worth at a price, worked out anew: in SQL, or row by row.

For tables with a column for each count of tokens: `request` and `attempt`. The database does the
rows at usual prices without kinds of tokens, which are nearly all.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy
from sqlalchemy import Table, case, func

from baton.ledger.prices import AMOUNT_NANO_MAX, HOLD_NANO_MAX, charge
from baton.semantics.events import Usage
from baton.stores.base import PriceRecord
from baton.stores.tables import price

NANO = 1_000
"""pico-USD."""
COUNTS = Usage.__struct_fields__
PICO_IN_SQL_MAX = 10**9
"""1,000 USD for a million tokens: 64 bits take some four thousand million tokens of it."""


def one_by_one(book: Sequence[PriceRecord]) -> list[int]:
    """The versions of prices whose rows are not for SQL: those with kinds of tokens, those of which
    a large count would be beyond 64 bits, and those with a fee that no request may cost."""
    return [record.version for record in book if record.details is not None or _is_huge(record)]


def at_price(
    query: sqlalchemy.Select[Any], version: sqlalchemy.ColumnElement[Any]
) -> sqlalchemy.Select[Any]:
    """The query, each row beside the price that `version` names: `worth_sql` needs it there."""
    return query.outerjoin(price, price.c.version == version)


def worth_sql(table: Table) -> sqlalchemy.ColumnElement[int]:
    """nano-USD that the tokens of a row are worth at the price beside it."""
    prompt = func.coalesce(table.c.prompt_tokens, 0)
    reported = func.coalesce(table.c.cached_tokens, 0)
    cached = case((reported > prompt, prompt), else_=reported)
    into = func.coalesce(price.c.input_pico, 0)
    pico = (
        (prompt - cached) * into
        + cached * func.coalesce(price.c.cached_input_pico, into)
        + func.coalesce(table.c.completion_tokens, 0) * func.coalesce(price.c.output_pico, 0)
    )
    worth: sqlalchemy.ColumnElement[int] = (
        func.coalesce(price.c.request_nano, 0) + (pico + NANO // 2) // NANO
    )
    return worth


def worth_of(row: Any, record: PriceRecord) -> int:
    """nano-USD that the tokens of a row are worth at a price; nothing where nobody told them."""
    if row.prompt_tokens is None:
        return 0
    counts = {name: getattr(row, name) for name in COUNTS}
    counts["completion_tokens"] = counts["completion_tokens"] or 0
    return min(charge(Usage(**counts), record), AMOUNT_NANO_MAX)


def _is_huge(record: PriceRecord) -> bool:
    picos = (record.input_pico, record.cached_input_pico or 0, record.output_pico)
    return max(picos) > PICO_IN_SQL_MAX or record.request_nano > HOLD_NANO_MAX
