"""What a process does every so often for as long as it lives, and once more as it ends."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from baton.telemetry import diary


class Rounds:
    """A task that has its rounds done. Owned by one event loop: `start` in it, `close` at its end.

    A fault in one round is told, and the next one comes (`diary.outliving`)."""

    def __init__(self, what: str, every_s: float, round: Callable[[bool], Awaitable[None]]) -> None:
        """`what` names the rounds in the log; `round` is told whether it is the last one."""
        self._what, self._every_s, self._round = what, every_s, round
        self._end = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """From now on."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name=self._what)

    async def close(self) -> None:
        """After one more round."""
        self._end.set()
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        over = False
        while not over:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await self._end.wait()
            over = self._end.is_set()  # told during a round, there is one more
            with diary.outliving(self._what):
                await self._round(over)
