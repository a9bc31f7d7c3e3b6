"""Several calls as one."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baton.errors import RequestError, invalid
from baton.fills.fan_out import FanOut
from baton.fills.source import Source, gather
from baton.semantics.events import Call, Delta, Usage
from baton.semantics.parts import divide
from baton.upstreams.base import UpstreamError
from baton.upstreams.failures import failure
from tests.fakes.sources import Batch, Given, at_once

NO_ROOM = failure("first_byte", "overloaded")


class Host:
    """Opens calls; `refusals` by the number of the opening."""

    def __init__(
        self,
        refusals: dict[int, Exception] | None = None,
        gate: Callable[[], Awaitable[None]] = at_once,
        length: int = 3,
    ) -> None:
        self.refusals, self.gate, self.length = refusals or {}, gate, length
        self.opened: list[Call] = []
        self.sources: list[Given] = []
        self.openings = 0

    async def open(self, call: Call) -> Source:
        self.openings += 1
        number = self.openings - 1
        await asyncio.sleep(0)
        if number in self.refusals:
            raise self.refusals[number]
        self.opened.append(call)
        batches: list[Batch] = [
            [Delta(i, f"{call.prompts[0]}.{at} ", "stop" if at == self.length - 1 else None)]
            for at in range(self.length)
            for i in range(call.n)
        ]
        self.sources.append(Given(*batches, gate=self.gate))
        return self.sources[-1]

    @property
    def under_way(self) -> int:
        return sum(bool(source.batches) and not source.closed for source in self.sources)


def fan(host: Host, prompts: int, n: int = 1, parallel: int = 3, samples: int = 1) -> FanOut:
    call = Call(model="m", prompts=[f"p{i}" for i in range(prompts)], max_tokens=9, n=n)
    return FanOut(divide(call, 1, samples), n, host.open, parallel)


async def whole(source: FanOut) -> list[Delta]:
    await source.open()
    return await gather(source)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 5), st.integers(1, 4))
def test_all_choices_come_whole_and_in_their_order(
    prompts: int, n: int, parallel: int, samples: int
) -> None:
    """However the calls are mixed: the right index, one finish each, its own deltas in order; usage
    has every prompt once."""
    host = Host()
    source = fan(host, prompts, n, parallel, samples)
    found = asyncio.run(whole(source))
    for index in range(prompts * n):
        mine = [delta for delta in found if delta.index == index]
        assert "".join(f"p{index // n}.{at} " for at in range(3)) == "".join(d.text for d in mine)
        assert [None, None, "stop"] == [delta.finish_reason for delta in mine]
    assert Usage(10 * prompts, 3 * prompts * n) == source.usage
    assert 3 * prompts * n == source.generated


def test_no_more_at_once_than_allowed() -> None:
    """Calls are begun only as others end."""
    host = Host()

    async def run() -> int:
        source, most = fan(host, 9, parallel=2), 0
        await source.open()
        while await source.read():
            most = max(most, host.under_way)
        return most

    assert 2 == asyncio.run(run())
    assert 9 == len(host.opened)


def test_what_is_not_read_is_not_received() -> None:
    """A caller that waits finds one batch of each strand read, and none more."""
    host = Host(length=50)

    async def run() -> None:
        source = fan(host, 3, parallel=3)
        await source.open()
        for _ in range(5):
            await source.read()
        reads = [given.reads for given in host.sources]
        for _ in range(20):
            await asyncio.sleep(0)
        assert reads == [given.reads for given in host.sources]
        assert max(reads) <= 6
        source.close()

    asyncio.run(run())


@pytest.mark.parametrize("fault", [invalid("too long", "prompt"), failure("connect", "refused")])
def test_a_refusal_ends_the_opening(fault: Exception) -> None:
    """What the first call is refused with is what the opening is refused with."""
    host = Host({0: fault})
    with pytest.raises(type(fault)):
        asyncio.run(whole(fan(host, 4)))
    assert all(given.closed for given in host.sources)


def test_a_part_that_fails_fails_the_whole() -> None:
    """The others are closed, no further one is begun, and what was used is known."""
    host = Host()

    async def run() -> None:
        source = fan(host, 6, parallel=3)
        await source.open()
        await source.read()
        host.sources[0].batches.insert(0, failure("stream", "network"))
        with pytest.raises(UpstreamError):
            await gather(source)
        assert all(given.closed for given in host.sources)
        assert 3 == len(host.sources)
        assert () == await source.read()
        assert source.usage.completion_tokens >= 1

    asyncio.run(run())


def test_a_late_refusal_is_the_callers() -> None:
    """Also when it comes after others have begun to answer."""
    host = Host({4: invalid("too long", "prompt")})
    with pytest.raises(RequestError):
        asyncio.run(whole(fan(host, 6, parallel=2)))
    assert all(given.closed for given in host.sources)


def test_no_room_is_waited_for() -> None:
    """A part that is turned away for want of room comes again once another one has ended."""
    host = Host({1: NO_ROOM, 2: NO_ROOM})
    found = asyncio.run(whole(fan(host, 5, parallel=3)))
    assert set(range(5)) == {delta.index for delta in found if delta.finish_reason == "stop"}


def test_no_room_at_all_is_a_failure() -> None:
    """Nobody of this answer is under way that could make room."""
    host = Host({0: NO_ROOM, 1: NO_ROOM, 2: NO_ROOM})
    with pytest.raises(UpstreamError):
        asyncio.run(whole(fan(host, 5, parallel=3)))
    assert [] == host.opened


def test_closing_lets_everything_go() -> None:
    """In the middle of openings and reads; nothing is left running and nothing begins."""

    async def run() -> None:
        asked = asyncio.Event()

        async def never() -> None:
            asked.set()
            await asyncio.get_running_loop().create_future()

        host = Host(gate=never)
        source = fan(host, 8, parallel=4)
        await source.open()
        reading = asyncio.get_running_loop().create_task(source.read())
        await asked.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        source.close()
        source.close()
        await asyncio.sleep(0)
        assert all(given.closed for given in host.sources)
        assert () == await source.read()
        assert {asyncio.current_task()} == asyncio.all_tasks()

    asyncio.run(run())
