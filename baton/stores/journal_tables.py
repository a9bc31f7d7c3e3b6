"""Tables about journals: who may write each, and the journals that stand in the book itself.

A journal's tenure is the right of one process to write it, lend for it and post from it. Each
process that takes a journal over gets the next epoch; whoever comes with an older one is refused.
`shared_*` are the journals of processes that have no disk (BATON_JOURNAL=shared): the rows of
ledger/entries.py as they are, by journal.
"""

from sqlalchemy import Column, LargeBinary, Table, UniqueConstraint

from baton.stores.tables import Whole
from baton.stores.tables import metadata as metadata


def _whole(name: str, default: int | None = None) -> Column[int]:
    text = None if default is None else str(default)
    return Column(name, Whole, nullable=False, server_default=text)


def _key(name: str) -> Column[int]:
    return Column(name, Whole, primary_key=True, autoincrement=False)


tenure = Table(
    "tenure",
    metadata,
    _key("journal"),
    _whole("epoch"),
    Column("expires_us", Whole),  # by the clock of the book's server; NULL: never, or ended
    _whole("shared", 0),
    sqlite_strict=True,
)

shared_row = Table(
    "shared_row",
    metadata,
    _key("journal"),
    _key("seq"),
    _whole("hold_seq"),  # of the hold that it ends; of a hold: its own
    _whole("ends"),  # 1: a SettleRow, 0: a HoldRow
    Column("row", LargeBinary, nullable=False),  # msgpack
    UniqueConstraint("journal", "ends", "hold_seq", name="shared_row_once"),
    sqlite_strict=True,
)

shared_checkpoint = Table(
    "shared_checkpoint",
    metadata,
    _key("journal"),
    _key("hold_seq"),
    _whole("prompt_tokens"),
    _whole("completion_tokens"),
    _whole("charge"),
    sqlite_strict=True,
)
