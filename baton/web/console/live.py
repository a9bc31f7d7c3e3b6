"""What changes by the second, pushed to pages as server-sent events.

Each page has one connection, which ends when its visitor's session does, when the worker is asked
to stop, and after `LASTS_S` (browsers come back by themselves). All pages of a worker share one
look at the numbers a second; beyond `console_live_max` pages a further one is told to come back
later.
"""

import asyncio
from collections.abc import AsyncIterator

import msgspec
from starlette.responses import Response, StreamingResponse

from baton.errors import RequestError, overloaded
from baton.web.console.call import HEADERS, Call
from baton.web.console.screen import Screen
from baton.web.operation import Access, check_role

TICK_S = 1.0
LASTS_S = 600
RETRY_S = 5.0


class Pulse(msgspec.Struct, frozen=True, kw_only=True):
    """What a page is told. Counts since the workers were first started."""

    live: int
    """Completions under way."""
    workers: int
    answered: int
    refused: int


async def get_live(call: Call) -> Response:
    if call.room.live >= call.services.settings.console_live_max:
        raise overloaded("Too many pages are open.", RETRY_S)
    headers = {**HEADERS, "x-accel-buffering": "no"}
    return StreamingResponse(pulses(call), headers=headers, media_type="text/event-stream")


async def pulses(call: Call) -> AsyncIterator[bytes]:
    """One event a second where something changed; a comment where not, so that nobody in between
    takes the connection for dead."""
    call.room.live += 1
    last = b""
    try:
        for _ in range(LASTS_S):
            if call.services.draining() or not await _still_in(call):
                return
            told = msgspec.json.encode(pulse(call))
            yield b": \n\n" if told == last else b"data: %b\n\n" % told
            last = told
            await asyncio.sleep(TICK_S)
    finally:
        call.room.live -= 1


def pulse(call: Call) -> Pulse:
    """The numbers of all workers, as of this second."""
    now_s = call.services.clock_us() // 1_000_000
    kept = call.room.pulse
    if kept is None or kept[0] != now_s:
        numbers = call.services.numbers()
        answered = sum(sum(series.statuses) for series in numbers.series)
        found = Pulse(
            live=numbers.in_flight,
            workers=numbers.processes,
            answered=answered,
            refused=sum(numbers.rejected.values()),
        )
        kept = call.room.pulse = (now_s, found)
    assert isinstance(kept[1], Pulse)
    return kept[1]


async def _still_in(call: Call) -> bool:
    client = call.request.client
    try:
        who, _ = await call.services.gate.signed_in(
            call.request.headers.raw, client.host if client is not None else ""
        )
        check_role(Access.REPORTS, who)
    except RequestError:
        return False
    return True


SCREENS = (
    Screen(method="GET", path="/console/overview/live", access=Access.REPORTS, run=get_live),
)
