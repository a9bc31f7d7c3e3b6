"""A journal within the book (BATON_JOURNAL=shared), for processes whose disk does not outlive them.

The same interface as a journal on disk (ledger/journal_log.py): a row that `append` took is durable
when it returns, since the server has committed it. Each transaction first locks the journal's
tenure and checks its epoch. So a process that was believed dead acknowledges nothing more once
somebody closed its journal; and a commit that timed out here, but goes through there, is over
before the next one begins: rows become visible in the order of their seq, and the fold's mark never
passes one that is still to come.

Nobody can lock these journals like a file: a process is gone when its tenure has expired. Whoever
notices first closes the journal (ledger/fold.py). A process always begins a new one. Nodes of
different versions meet here: a row that this one cannot read makes its journal Damaged, no more.
"""

import importlib
import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import msgspec
import sqlalchemy
from sqlalchemy import func, select

from baton.ledger.batch import QueuedEnd, QueuedHold
from baton.ledger.entries import AttemptRow, CheckpointRow, EndRow, HoldRow, SettleRow
from baton.ledger.journal_log import interrupted
from baton.ledger.log_rows import attempts, posted
from baton.stores.carried import SEQ_BITS, Row
from baton.stores.database import Database
from baton.stores.journal_tables import shared_checkpoint, shared_row
from baton.stores.journals import Tenure, fence
from baton.stores.segments import Damaged
from baton.stores.tables import journal

if TYPE_CHECKING:
    from sqlalchemy.dialects.postgresql import Insert

RowT = TypeVar("RowT")
PRUNED_ROWS_MAX = 2_000

_packed = msgspec.msgpack.Encoder().encode
_hold = msgspec.msgpack.Decoder(HoldRow).decode


class Stored(msgspec.Struct, frozen=True, array_like=True):
    """A SettleRow as it is stored, without what only its process needs."""

    hold: HoldRow
    end: EndRow
    spent: tuple[AttemptRow, ...] = ()


_stored = msgspec.msgpack.Decoder(Stored).decode


def _read(decode: Callable[[bytes], RowT], row: bytes, seq: int) -> RowT:
    try:
        return decode(row)
    except msgspec.DecodeError as error:
        raise Damaged(f"its row {seq} in the book is none of this Baton's: {error}") from None


def new_identity() -> str:
    """Of a journal that nobody had before."""
    return secrets.token_hex(8)


class SharedJournal:
    """An open journal. Every method raises StoreUnavailable when it cannot be written, and Fenced
    when it is not this process's any more."""

    def __init__(self, database: Database, held: Tenure) -> None:
        self._database, self._held = database, held

    def open_epoch(self, now_us: int, folded_seq: int = 0) -> tuple[int, int]:
        """Close what the last owner left open, at its checkpoints.

        Returns the first free seq and how many holds were interrupted."""
        with self._database.writing(alone=False) as connection:
            self._fence(connection)
            last = max(self._last_seq(connection), folded_seq)
            left = self._interrupted(connection)
            self._insert(connection, last + 1, left)
            mine = shared_row.c.journal == self._held.number
            connection.execute(shared_row.delete().where(mine, shared_row.c.ends == 0))
            mine = shared_checkpoint.c.journal == self._held.number
            connection.execute(shared_checkpoint.delete().where(mine))
        return last + len(left) + 1, len(left)

    def append(
        self,
        holds: Sequence[tuple[int, QueuedHold]],
        checkpoints: Sequence[CheckpointRow],
        settles: Sequence[tuple[int, QueuedEnd]],
    ) -> None:
        """All rows or none. A second end of the same hold is ignored."""
        number = self._held.number
        rows = [
            {"journal": number, "seq": seq, "hold_seq": seq, "ends": 0, "row": _packed(queued.row)}
            for seq, queued in holds
        ]
        rows += [self._end(seq, queued.row) for seq, queued in settles]
        latest = {row.hold_seq: msgspec.structs.asdict(row) for row in checkpoints}
        with self._database.writing(alone=False) as connection:
            self._fence(connection)
            if rows:
                connection.execute(_into(shared_row).on_conflict_do_nothing(), rows)
            if latest:
                given = _into(shared_checkpoint)
                names = ("prompt_tokens", "completion_tokens", "charge")
                connection.execute(
                    given.on_conflict_do_update(
                        index_elements=["journal", "hold_seq"],
                        set_={name: given.excluded[name] for name in names},
                    ),
                    [{"journal": number, **each} for each in latest.values()],
                )

    def prune(self, folded_seq: int) -> bool:
        """Remove rows whose end is folded; the book's mark remembers how far the numbers went.

        Returns whether there was as much as one step removes, so that more may be left."""
        mine = shared_row.c.journal == self._held.number
        ended = select(shared_row.c.hold_seq).where(
            mine, shared_row.c.ends == 1, shared_row.c.seq <= folded_seq
        )
        with self._database.writing(alone=False) as connection:
            self._fence(connection)
            holds = list(
                connection.scalars(ended.order_by(shared_row.c.seq).limit(PRUNED_ROWS_MAX))
            )
            if holds:
                connection.execute(
                    shared_row.delete().where(mine, shared_row.c.hold_seq.in_(holds))
                )
                points = shared_checkpoint.c
                connection.execute(
                    shared_checkpoint.delete().where(
                        points.journal == self._held.number, points.hold_seq.in_(holds)
                    )
                )
        return len(holds) == PRUNED_ROWS_MAX

    def close(self) -> None:
        """Nothing: connections are the book's."""

    def _fence(self, connection: sqlalchemy.Connection) -> None:
        fence(connection, self._held.number, self._held.epoch)

    def _last_seq(self, connection: sqlalchemy.Connection) -> int:
        last = select(func.max(shared_row.c.seq)).where(shared_row.c.journal == self._held.number)
        return int(connection.scalar(last) or 0)

    def _interrupted(self, connection: sqlalchemy.Connection) -> list[SettleRow]:
        """Ends for the holds that have none, in order."""
        ends, points = shared_row.alias(), shared_checkpoint
        mine = shared_row.c.journal == self._held.number
        ended = select(ends.c.seq).where(
            ends.c.journal == shared_row.c.journal,
            ends.c.ends == 1,
            ends.c.hold_seq == shared_row.c.seq,
        )
        told = (points.c.journal == shared_row.c.journal) & (points.c.hold_seq == shared_row.c.seq)
        query = (
            select(
                shared_row.c.seq,
                shared_row.c.row,
                points.c.prompt_tokens,
                points.c.completion_tokens,
                points.c.charge,
            )
            .select_from(shared_row.outerjoin(points, told))
            .where(mine, shared_row.c.ends == 0, ~ended.exists())
            .order_by(shared_row.c.seq)
        )
        return [_interruption(*row) for row in connection.execute(query)]

    def _insert(
        self, connection: sqlalchemy.Connection, first_seq: int, rows: Sequence[SettleRow]
    ) -> None:
        if rows:
            values = [self._end(seq, row) for seq, row in enumerate(rows, first_seq)]
            connection.execute(_into(shared_row).on_conflict_do_nothing(), values)

    def _end(self, seq: int, row: SettleRow) -> dict[str, object]:
        return {
            "journal": self._held.number,
            "seq": seq,
            "hold_seq": row.hold_seq,
            "ends": 1,
            "row": _packed(Stored(row.hold, row.end, row.spent)),
        }


class SharedRows:
    """The ended requests of a journal within the book (stores/carried.py: Rows)."""

    def __init__(self, database: Database, number: int) -> None:
        self._database, self._number = database, number
        self._spent: list[Row] = []

    def after(self, mark: int, at_most: int) -> list[Row]:
        query = (
            select(shared_row.c.seq, shared_row.c.hold_seq, shared_row.c.row)
            .where(shared_row.c.journal == self._number, shared_row.c.ends == 1)
            .where(shared_row.c.seq > mark)
            .order_by(shared_row.c.seq)
            .limit(at_most)
        )
        with self._database.reading() as connection:
            found = connection.execute(query).all()
        self._spent, rows = [], []
        for seq, hold_seq, row in found:
            request = self._number << SEQ_BITS | hold_seq
            stored = _read(_stored, row, seq)
            rows.append(posted(seq, request, stored.hold, stored.end))
            self._spent += attempts(seq, request, stored.spent)
        return rows

    def attempts(self, mark: int, last: int) -> list[Row]:
        """Of what `after` returned last: it has read them."""
        return [values for values in self._spent if mark < values[0] <= last]

    def close(self) -> None:
        """Nothing: connections are the book's."""


def waiting(database: Database) -> list[tuple[int, int]]:
    """Journals within the book that have ended requests which are not folded: number and mark."""
    mine = shared_row.c.journal == journal.c.number
    later = mine & (shared_row.c.ends == 1) & (shared_row.c.seq > journal.c.folded_seq)
    query = select(journal.c.number, journal.c.folded_seq)
    with database.reading() as connection:
        found = connection.execute(query.where(select(shared_row.c.seq).where(later).exists()))
        return [(number, mark) for number, mark in found]


def _interruption(
    seq: int,
    row: bytes,
    prompt_tokens: int | None,
    completion_tokens: int | None,
    charge: int | None,
) -> SettleRow:
    hold = _read(_hold, row, seq)
    point = None
    if charge is not None:
        point = CheckpointRow(seq, prompt_tokens or 0, completion_tokens or 0, charge)
    return SettleRow(seq, hold, interrupted(hold, point))


def _into(table: sqlalchemy.Table) -> "Insert":
    """PostgreSQL's own INSERT. Its dialect came with the connection; a book in a file has none."""
    statement: Insert = importlib.import_module("sqlalchemy.dialects.postgresql").insert(table)
    return statement
