"""Long texts wait their turn: one of a key at a time, in each worker.

What counts and divides texts does so one after the other, for everybody, and no rate stands before
it: a caller that sends a hundred long ones at once would have others wait until all of these are
done. So the next one of a key comes when the last one is answered, and others come in between.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from baton.errors import rate_limited

LONG = 4_096
"""Characters, or ids, from which on a text waits its turn: shorter ones are done at once."""
WAITING_MAX = 16
"""Of one key; further ones are refused, as each may be as long as a body."""
RETRY_S = 1.0


class Turns:
    """Whose long text is looked at, and which wait, by key."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    @contextlib.asynccontextmanager
    async def of(self, key_id: str, length: int) -> AsyncIterator[None]:
        """Wait for the turn of a text of that length. Raises RequestError (429)."""
        if length <= LONG:
            yield
            return
        lock, known = self._locks.get(key_id, (asyncio.Lock(), 0))
        if known > WAITING_MAX:
            raise rate_limited("this key", RETRY_S, "at_once")
        self._locks[key_id] = lock, known + 1
        try:
            async with lock:
                yield
        finally:
            self._left(key_id)

    def _left(self, key_id: str) -> None:
        lock, known = self._locks[key_id]
        if known > 1:
            self._locks[key_id] = lock, known - 1
        else:
            del self._locks[key_id]
