"""The turns that run in this worker, so that a key that ends takes its streams along, and none runs
for ever.

A turn stands here from its first line to its last. Whoever hears that a key was changed tells
`until` when it ends now; `watching` finds those whose key's time is over, or their own: a deadline
over all attempts, queues and hand-offs of a request costs it nothing, as turns stand here in the
order of arrival. A stream that is ended so is told so by an error event, and charged for what was
generated; an answer that is not begun is a plain 401 or 504.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping

from baton.admission.gate import Caller, Ends
from baton.errors import RequestError, deadline_passed, ended_key
from baton.telemetry import diary
from baton.turn import Turn

LOOK_S = 0.5
"""How often: a few microseconds for each hundred turns, a hundred where they stream."""


class UnderWay:
    """`turns`: each with the task that runs it; put in and taken out by `Completions`."""

    def __init__(self) -> None:
        self.turns: dict[Turn, asyncio.Task[None] | None] = {}
        self.land: Callable[[float], None] = lambda older_s: None
        """Makes turns of what runs on the fast path for longer than that: set by who has it."""

    def __repr__(self) -> str:
        return f"<UnderWay {len(self.turns)}>"

    def among(self, subjects: Collection[str]) -> set[str]:
        """The keys with a turn under way that are among these, or belong to a party that is."""
        self.land(0.0)
        running = {caller for turn in self.turns if (caller := _caller(turn))}
        return {
            caller.record.id
            for caller in running
            if any(level.id in subjects for level in caller.levels)
        }

    def until(self, ends: Mapping[str, Ends]) -> None:
        """These keys, or values of theirs, end at that time now (seconds since 1970), and all turns
        of theirs with them: a time that is over, at once."""
        self.land(0.0)
        now_s = time.time()
        for turn in list(self.turns):
            caller = _caller(turn)
            if caller is None or caller.record.id not in ends:
                continue
            end_s = ends[caller.record.id].of(caller)
            if end_s <= now_s:
                self._end(turn, ended_key())
            else:
                caller.move_end(end_s)

    def expire(self, now_s: float) -> None:
        """End all turns whose key is not valid any more. `now_s`: seconds since 1970."""
        for turn in list(self.turns):
            caller = _caller(turn)
            if caller is not None and not caller.valid(now_s):
                self._end(turn, ended_key())

    def cut_overdue(self, timeout_s: float) -> None:
        """End all turns that began so long ago."""
        for turn in list(self.turns):
            if turn.age_s < timeout_s:
                return
            self._end(turn, deadline_passed(timeout_s))

    def checkpoint(self) -> None:
        """Let the ledger see how far streams are."""
        for turn in list(self.turns):
            try:
                turn.checkpoint()
            except Exception:  # noqa: BLE001 — one turn's bug must not end the watch over all
                diary.exception("no checkpoint", request_id=turn.request_id)

    async def watching(self, timeout_s: Callable[[], float]) -> None:
        """Look for both for as long as the worker runs, `timeout_s` as it is then; and let the
        ledger see how far streams are."""
        while True:
            await asyncio.sleep(LOOK_S)
            with diary.outliving("watching requests"):
                self.land(LOOK_S)
                self.expire(time.time())
                self.cut_overdue(timeout_s())
                self.checkpoint()

    def _end(self, turn: Turn, error: RequestError) -> None:
        task = self.turns[turn]
        if task is not None and turn.expel(error):
            task.cancel()


def _caller(turn: Turn) -> Caller | None:
    """Nobody, before the key was recognised."""
    return getattr(turn, "caller", None)
