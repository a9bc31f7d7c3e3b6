"""Tables about journals: who may write each, and the journals that stand in the book itself.

A journal's tenure is the right of one process to write it, lend for it and post from it. Each
process that takes a journal over gets the next epoch; whoever comes with an older one is refused.
`shared_*` are the journals of processes that have no disk (BATON_JOURNAL=shared): the rows of
ledger/entries.py as they are, by journal.
"""

from sqlalchemy import Column, LargeBinary, Table, Text, UniqueConstraint

from baton.stores.tables import Whole, whole, whole_key
from baton.stores.tables import metadata as metadata

tenure = Table(
    "tenure",
    metadata,
    whole_key("journal"),
    whole("epoch"),
    Column("expires_us", Whole),  # by the clock of the book's server; NULL: never, or ended
    whole("shared", 0),
    Column("seal", Text),  # names its process's master key (journals.enter); NULL: not known
    sqlite_strict=True,
)

shared_row = Table(
    "shared_row",
    metadata,
    whole_key("journal"),
    whole_key("seq"),
    whole("hold_seq"),  # of the hold that it ends; of a hold: its own
    whole("ends"),  # 1: a SettleRow, 0: a HoldRow
    Column("row", LargeBinary, nullable=False),  # msgpack
    UniqueConstraint("journal", "ends", "hold_seq", name="shared_row_once"),
    sqlite_strict=True,
)

shared_checkpoint = Table(
    "shared_checkpoint",
    metadata,
    whole_key("journal"),
    whole_key("hold_seq"),
    whole("prompt_tokens"),
    whole("completion_tokens"),
    whole("charge"),
    sqlite_strict=True,
)
