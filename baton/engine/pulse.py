"""A sign of life for whoever started the engine: one line a second, as long as it computes.

Theory of operation. A process can hang without ending: it is stopped, its library waits for a lock
or a device, a decode never returns. Nobody sees that from outside, since an engine may be silent
for good reasons: nothing to do, slow readers, a long prompt. So the engine tells itself. It does
not while its thread is within one and the same step; and a stopped process tells nothing anyway.
The supervisor kills an engine that has said nothing for `engine_stall_timeout_s`; its streams go on
as after any other death.
"""

import asyncio
import contextlib
import os
from typing import Protocol

PULSE_S = 1.0
BEAT = b"alive\n"


class Working(Protocol):
    """What is looked at of the scheduler, from the server's thread."""

    @property
    def turns(self) -> int:
        """Grows with each round and each step of one."""
        ...

    @property
    def idle(self) -> bool:
        """Whether its thread waits for something to do."""
        ...


class Pulse:
    """Whether the scheduler got on since it was last looked at."""

    def __init__(self, scheduler: Working) -> None:
        self._scheduler, self._seen = scheduler, -1

    def beats(self) -> bool:
        turns, before = self._scheduler.turns, self._seen
        self._seen = turns
        return turns != before or self._scheduler.idle


async def tell(pulse: Pulse, fd: int, pulse_s: float = PULSE_S) -> None:
    """Write to `fd` for ever. Nobody is waited for who does not read: what he has is enough."""
    os.set_blocking(fd, False)
    while True:
        await asyncio.sleep(pulse_s)
        if pulse.beats():
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                os.write(fd, BEAT)
