"""Keeping a process's journal its own in a book that nodes share, and clearing up after lost ones.

A process renews its tenure a few times within its term (stores/journals.py tells what that means).
While it cannot, it spends what it holds; after a whole term it stops, and goes on when the book is
heard again. If the book has given it up meanwhile, what it holds is not its own any more: it must
end, and begin anew. Terms are counted by a clock that goes on while the machine sleeps. On SQLite
there is nothing to renew.
"""

import asyncio
from collections.abc import Callable

from baton.ledger.fold import Opened, recover_lost
from baton.ledger.leases import Leases, awake_or_not_s
from baton.stores import journals
from baton.stores.base import StoreError
from baton.stores.journals import Fenced
from baton.telemetry import diary

TEND_S = 5.0
"""How often idle leases go back, and tenures are renewed at the least."""
RENEWALS_PER_TERM = 6


class Renewal:
    """The tenure of one process. Owned by one event loop."""

    def __init__(
        self, opened: Opened, leases: Leases, clock_s: Callable[[], float] = awake_or_not_s
    ) -> None:
        """`clock_s` is the leases', too."""
        self._opened, self._leases, self._clock_s = opened, leases, clock_s
        self._database, self._term = opened.store.database, opened.store.term
        self._lapsing: asyncio.TimerHandle | None = None
        self.lost = False
        """Whether the journal is another's now, or counts as lost."""
        if self._term is not None:
            self._heard(clock_s())

    @property
    def every_s(self) -> float:
        """How long to wait between two calls of `tend`."""
        if self._term is None:
            return TEND_S
        return min(TEND_S, self._term.process_s / RENEWALS_PER_TERM)

    async def tend(self) -> bool:
        """Renew, and close journals whose processes are gone; whether the book answered."""
        if self._term is None:
            return True
        began_s = self._clock_s()
        try:
            await asyncio.to_thread(journals.renew, self._database, self._opened.held, self._term)
        except Fenced as error:
            diary.error("this process counts as lost: it must begin anew", reason=str(error))
            self._leases.lapsed = self.lost = True
            return False
        except StoreError as error:
            diary.warning("the journal's tenure was not renewed", reason=str(error))
            return False
        self._heard(began_s)
        await asyncio.to_thread(self._clear_up)
        return True

    def close(self) -> None:
        if self._lapsing is not None:
            self._lapsing.cancel()

    def _heard(self, at_s: float) -> None:
        """The book knows this process: it may spend for a term from when it asked."""
        assert self._term is not None
        self.close()
        self._leases.until_s = at_s + self._term.process_s
        left_s = self._leases.until_s - self._clock_s()
        self._leases.lapsed = left_s <= 0
        self._lapsing = asyncio.get_running_loop().call_later(max(0.0, left_s), self._lapse)

    def _lapse(self) -> None:
        diary.warning("nothing is spent by lease until the book answers again")
        self._leases.lapsed = True

    def _clear_up(self) -> None:
        try:
            for number, amount in journals.give_up_lost(self._database).items():
                diary.error(
                    "a journal is lost; its leases come back", journal=number, amount=amount
                )
            recover_lost(self._opened.store)
        except StoreError as error:
            diary.warning("lost journals are left to the next round", reason=str(error))
