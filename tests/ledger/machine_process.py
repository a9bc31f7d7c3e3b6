"""What the ledger's machine drives: a process, and what its journal file took."""

import asyncio
import threading
from collections.abc import Sequence

from baton.ledger.batch import QueuedEnd, QueuedHold
from baton.ledger.entries import CheckpointRow, HoldRow, SettleRow
from baton.ledger.fold import open_shared, open_slot
from baton.ledger.holds import Hold
from baton.ledger.journal import JournalStore
from baton.ledger.leases import Leases
from baton.ledger.prices import PriceBook
from baton.ledger.settle import Ledger
from baton.ledger.slots import claim
from baton.stores.base import StoreUnavailable
from baton.stores.book import Store, journal_folder


class Watched:
    """A journal that notes what it took, and can be made to wait, to fail or to be dead."""

    def __init__(self, inner: JournalStore) -> None:
        self.inner = inner
        self.holds: dict[int, HoldRow] = {}
        self.checkpoints: dict[int, CheckpointRow] = {}
        self.ends: dict[int, SettleRow] = {}
        self.open_gate = threading.Event()
        self.open_gate.set()
        self.broken = False

    def append(
        self,
        holds: Sequence[tuple[int, QueuedHold]],
        checkpoints: Sequence[CheckpointRow],
        settles: Sequence[tuple[int, QueuedEnd]],
    ) -> None:
        assert self.open_gate.wait(30)
        if self.broken:
            raise StoreUnavailable("no space left")
        self.inner.append(holds, checkpoints, settles)
        self.holds |= {seq: queued.row for seq, queued in holds}
        self.checkpoints |= {row.hold_seq: row for row in checkpoints}
        self.ends = {end.hold_seq: end.row for _, end in reversed(settles)} | self.ends

    def open_epoch(self, now_us: int, folded_seq: int = 0) -> tuple[int, int]:
        if self.broken:
            raise StoreUnavailable("no space left")
        return self.inner.open_epoch(now_us, folded_seq)

    def prune(self, folded_seq: int) -> bool:
        return self.inner.prune(folded_seq)

    def close(self) -> None:
        self.inner.close()


class Process:
    """A ledger on the next free slot, and what the model knows of it."""

    def __init__(self, store: Store, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        if store.shared_journal:
            self.opened = open_shared(store)
        else:
            self.opened = open_slot(store, claim(journal_folder(store.home)))
        self.file = Watched(self.opened.file)
        self.opened.file = self.file
        self.ledger = loop.run_until_complete(self._ledger(store))
        self.holds: list[Hold] = []
        self.ended: list[tuple[Hold, bool]] = []

    async def _ledger(self, store: Store) -> Ledger:
        leases = Leases(store.accounts, self.opened.number)
        return Ledger(self.opened, leases, PriceBook(store.prices.all()))

    def acknowledged(self, ticket: int) -> bool:
        try:
            self.loop.run_until_complete(self.ledger.durable(ticket))
        except StoreUnavailable:
            return False
        return True

    def close(self) -> None:
        self.loop.run_until_complete(self.ledger.close())

    def owes_nothing(self) -> None:
        """After an orderly end with a sound disk: every end of a hold on disk is there too, charged
        in full where the caller had something of the answer, or else was acknowledged."""
        for hold, sent in self.ended:
            if hold.ticket in self.file.holds:
                row = self.file.ends[hold.ticket]
                assert row.end == hold.end or (not sent and row.end.charge == 0)

    def record(self) -> dict[str, tuple[str, int]]:
        """What its requests must be in the book once it is gone: (state, charge) by request."""
        found = {}
        for seq, row in self.file.holds.items():
            checkpoint = self.file.checkpoints.get(seq)
            found[row.request_id] = ("interrupted", checkpoint.charge if checkpoint else 0)
        for end in self.file.ends.values():
            found[end.hold.request_id] = (end.end.state, end.end.charge)
        return found
