"""The sweep: a date that is renewed, and deadlines that are kept."""

import asyncio

from uvicorn.server import ServerState

from baton.config import Settings
from baton.http.exchange import Exchange
from baton.http.shared import NEVER, Shared, Timed, sweep


class Timing(Timed):
    """A connection that notes when its time had run out."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.ended = asyncio.Event()

    def overdue(self) -> None:
        self.deadline = NEVER
        self.ended.set()


async def nobody(exchange: Exchange) -> None:
    """A room that is never entered."""


def test_deadlines_are_kept() -> None:
    """What is overdue ends once, at every listener; what has time is left alone; the date and the
    time are renewed."""

    async def swept() -> tuple[Shared, Timing, Timing]:
        now = asyncio.get_running_loop().time()
        past, future = Timing(now - 1), Timing(now + 100)
        states = [ServerState(), ServerState()]
        for state, timing in zip(states, (future, past), strict=True):
            state.connections.add(timing)  # type: ignore[arg-type]  # a stand-in
        shared = Shared(Settings(), nobody)
        task = asyncio.get_running_loop().create_task(sweep(shared, states))
        await asyncio.wait_for(past.ended.wait(), 5)
        task.cancel()
        return shared, past, future

    shared, past, future = asyncio.run(swept())
    assert NEVER == past.deadline
    assert not future.ended.is_set()
    assert shared.date.startswith(b"date: ")
    assert shared.now > 0
