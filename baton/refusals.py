"""Refused requests go into the book: a few rows every two seconds, and old ones out of it.

Theory of operation. Requests write nothing here: what they leave waits in memory, bounded
(`telemetry/refused.py`), and one task of each worker writes it in batches, in a thread. While the
book cannot be written, rows wait, and what comes beyond them is dropped and counted. No answer
hangs on any of it. Every ten minutes the same task removes what is too old or too much, whether
anything was refused or not.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from baton.admission.gate import Gate, credential
from baton.errors import RequestError
from baton.http.exchange import HeaderPair
from baton.http.shared import Noting
from baton.stores.base import StoreError, Unstorable
from baton.telemetry import diary
from baton.telemetry.refused import Asked, Refusal, Refusals
from baton.telemetry.rounds import Rounds

WRITE_S = 2.0
"""How late an operator may know."""
ROWS_PER_WRITE_MAX = 500
PRUNED_EVERY_S = 600.0
DAY_US = 86_400_000_000


class Log(Protocol):
    """Where they go: `stores.refusals.RefusalLog`."""

    def add(self, rows: Sequence[Refusal]) -> None: ...

    def prune(self, before_us: int, rows_max: int) -> int: ...


class RefusalWriter:
    """One worker's. `start` in the loop, `close` when it ends."""

    def __init__(
        self,
        log: Log,
        refusals: Refusals,
        days: int,
        rows_max: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`days`: how long rows are kept; `clock` gives seconds since 1970."""
        self._log, self._refusals, self._clock = log, refusals, clock
        self._days, self._rows_max = days, rows_max
        self._pruned_s = 0.0
        self._away = False
        self._rounds = Rounds("writing refused requests", WRITE_S, self._round)

    def start(self) -> None:
        """From now on."""
        self._rounds.start()

    async def close(self) -> None:
        """What waits is written, if the book can be."""
        await self._rounds.close()

    async def _round(self, last: bool) -> None:
        await self.write(all_of_them=last)
        if not last:
            await self.prune()

    async def write(self, *, all_of_them: bool = False) -> None:
        """Into the book, whatever is due; where it cannot be written, later."""
        while rows := self._refusals.due(ROWS_PER_WRITE_MAX, all_of_them=all_of_them):
            try:
                await asyncio.to_thread(self._log.add, rows)
            except Unstorable as error:
                diary.error("refused requests are not kept", reason=str(error))
                self._refusals.gave_way(rows)
            except StoreError as error:
                return self._told_away(error)
            self._refusals.done(len(rows))
            self._away = False

    async def prune(self) -> None:
        """Remove what is not kept any more, now and then."""
        now_s = self._clock()
        if 0 <= now_s - self._pruned_s < PRUNED_EVERY_S:
            return
        before_us = round(now_s * 1e6) - self._days * DAY_US
        try:
            await asyncio.to_thread(self._log.prune, before_us, self._rows_max)
        except StoreError as error:
            return self._told_away(error)
        self._pruned_s = now_s

    def _told_away(self, error: StoreError) -> None:
        if not self._away:
            diary.warning("refused requests are not written", reason=str(error))
        self._away = True


def at_the_edge(gate: Gate, refusals: Refusals) -> Noting:
    """Who notes what a connection refuses before anybody has looked who asks."""

    def note(
        error: RequestError, headers: Sequence[HeaderPair], asked: Callable[[], Asked]
    ) -> None:
        caller = gate.known(credential(headers))
        refusals.note("" if caller is None else caller.record.id, error, asked)

    return note
