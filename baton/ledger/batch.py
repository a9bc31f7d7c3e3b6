"""What one transaction of a journal writes, and who waits for it. Pure.

Tickets are given out in order, so a batch is a run of them. A hold that ends while it is still here
goes: its end stands alone, and is on disk or is not, for both.
"""

import operator
from collections.abc import Callable
from typing import Protocol

from baton.ledger.entries import CheckpointRow, HoldRow, SettleRow
from baton.stores.base import StoreUnavailable

Told = Callable[[StoreUnavailable | None], None]
"""Called with None, or with why the row is not durable."""
_ticket = operator.itemgetter(0)


class QueuedHold(Protocol):
    """A row, or what the writer makes one of."""

    @property
    def row(self) -> HoldRow: ...

    def stored(self) -> tuple[object, bool]:
        """Its values, as a log has them, and whether they are known to be such as can be read
        again. Raises where there are none: a bug."""
        ...


class QueuedEnd(Protocol):
    """The end of a hold: a row, or what the writer makes one of."""

    @property
    def hold_seq(self) -> int: ...

    @property
    def row(self) -> SettleRow: ...

    def stored(self, seq: int) -> tuple[tuple[object, ...], bool]:
        """The same, as `journal_log.Ended`."""
        ...


class Batch:
    """Rows by ticket, from `first` to `last`."""

    __slots__ = ("checkpoints", "ends", "first", "holds", "last", "rows", "waiting")

    def __init__(self, first: int) -> None:
        self.first, self.last = first, first - 1
        self.holds: dict[int, QueuedHold] = {}
        self.ends: dict[int, QueuedEnd] = {}
        self.checkpoints: list[CheckpointRow] = []
        self.waiting: list[tuple[int, Told]] = []
        self.rows = 0
        """How many holds and ends there are."""

    def hold(self, row: QueuedHold) -> int:
        """Its ticket."""
        self.last = ticket = self.last + 1
        self.holds[ticket] = row
        self.rows += 1
        return ticket

    def skip(self) -> int:
        """The ticket of a hold that is gone before it was here."""
        self.last += 1
        return self.last

    def end(self, row: QueuedEnd) -> int:
        """Its ticket. The hold need not be written any more, if it is still here."""
        self.last = ticket = self.last + 1
        if self.holds.pop(row.hold_seq, None) is None:
            self.rows += 1
        self.ends[ticket] = row
        return ticket

    def take_waiting(self) -> list[tuple[int, Told]]:
        """Who waits, in the order of tickets: nobody afterwards."""
        waiting, self.waiting = self.waiting, []
        waiting.sort(key=_ticket)
        return waiting

    def split(self, rows_max: int) -> "Batch":
        """Keep so many rows, with what waits for them; the others, which come later, are
        returned."""
        tickets = sorted([*self.holds, *self.ends])
        rest = Batch(tickets[rows_max] if len(tickets) > rows_max else self.last + 1)
        self.last, rest.last = rest.first - 1, self.last
        for ticket in tickets[rows_max:]:
            if ticket in self.holds:
                rest.holds[ticket] = self.holds.pop(ticket)
            else:
                rest.ends[ticket] = self.ends.pop(ticket)
        self.rows, rest.rows = len(self.holds) + len(self.ends), len(rest.holds) + len(rest.ends)
        rest.waiting = [each for each in self.waiting if each[0] >= rest.first]
        self.waiting = [each for each in self.waiting if each[0] < rest.first]
        return rest

    def failed(self, reason: str) -> dict[int, str]:
        """As `Journal` hears of it when nothing of it was written: all tickets, also those of holds
        that went."""
        return dict.fromkeys(range(self.first, self.last + 1), reason)

    def stood_for(self, end: QueuedEnd) -> bool:
        """Whether this end is all that there is of its hold."""
        return end.hold_seq >= self.first and end.hold_seq not in self.holds
