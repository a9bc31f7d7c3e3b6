"""How changes of configuration reach a running process: it polls the change log twice a second.

One cheap query in a thread of its own; what is new is handed to the callback on the event loop. So
a change takes effect everywhere within a second, whoever made it.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable

from baton.stores.base import ChangeRecord, StoreError
from baton.stores.changes import Changes
from baton.telemetry import diary

POLL_S = 0.5

Callback = Callable[[list[ChangeRecord]], None]


class ChangeFeed:
    """Polls from `seq` on until `close`. Make it on the loop that the callback shall run on."""

    def __init__(self, changes: Changes, seq: int, callback: Callback) -> None:
        """`seq` is the last change that the process knows already (`Catalogue.version`)."""
        self._changes, self._seq, self._callback = changes, seq, callback
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="changes", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        self._stop.set()
        await asyncio.to_thread(self._thread.join)

    def _poll(self) -> None:
        while not self._stop.wait(POLL_S):
            with diary.outliving("reading changes"):
                self._look()

    def _look(self) -> None:
        try:
            fresh = self._changes.since(self._seq)
        except StoreError as error:
            return diary.warning("the change log cannot be read", reason=str(error))
        if fresh:
            self._seq = fresh[-1].seq
            with contextlib.suppress(RuntimeError):  # the loop ended
                self._loop.call_soon_threadsafe(self._callback, fresh)
