"""A sign of life: while the scheduler gets on or has nothing to do, and not in between."""

import asyncio
import contextlib
import os

from baton.engine.pulse import BEAT, Pulse, tell

SOON_S = 0.01


class Work:
    """What a scheduler shows of itself."""

    turns = 0
    idle = False


def test_only_who_gets_on_or_has_nothing_to_do_beats() -> None:
    """One and the same step seen twice is none."""
    work = Work()
    pulse = Pulse(work)
    found = []
    for turns, idle in ((1, False), (1, False), (2, False), (2, True), (2, True), (2, False)):
        work.turns, work.idle = turns, idle
        found.append(pulse.beats())
    assert [True, False, True, True, True, False] == found


async def told(fd: int, work: Work, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await tell(Pulse(work), fd, SOON_S)


def test_beats_are_written() -> None:
    """Line after line to whoever listens; silence while it hangs."""
    read, write = os.pipe()
    work = Work()
    work.idle = True
    asyncio.run(told(write, work, 10 * SOON_S))
    lines = os.read(read, 4096).splitlines(keepends=True)
    assert {BEAT} == set(lines)
    work.idle = False
    asyncio.run(told(write, work, 2 * SOON_S))
    os.read(read, 4096)  # the first look is at something new
    hanging = Pulse(work)
    hanging.beats()
    assert not hanging.beats()
    os.close(read)
    os.close(write)


def test_nobody_listens() -> None:
    """A full pipe and a closed one hold nobody up."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(write, bytes(4096)):
            """Until it is full."""
    work = Work()
    work.idle = True
    asyncio.run(told(write, work, 5 * SOON_S))
    os.close(read)
    asyncio.run(told(write, work, 5 * SOON_S))
    os.close(write)
