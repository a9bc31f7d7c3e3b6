"""The rest of a call as a stream in the lost call's terms."""

import asyncio

import pytest

from baton import handed_over
from baton.answer import Counted, Cut
from baton.errors import invalid
from baton.handed_over import Count, HandedOver, Leg
from baton.semantics.events import Call, Delta, Event, Usage, UsageReported
from baton.semantics.handoff import Remainder, Rest, remainder
from baton.semantics.received import Received
from baton.upstreams.base import UpstreamError
from baton.upstreams.failures import failure
from tests.fakes.scripted import Script, Scripted

CALL = Call(model="m", prompts=["ab"], max_tokens=5, n=3, stream=True)


def cut(*deltas: Delta, reported: bool = False, call: Call = CALL) -> Cut:
    received = Received(call)
    for delta in deltas:
        received.add([delta])
    lost = Scripted([])
    stream = asyncio.run(lost.open(call))
    return Cut(
        call=call,
        upstream=lost,
        stream=stream,
        received=received,
        usage=Usage(2, 1),
        attempts=[],
        reported=reported,
        earlier=0,
        error=failure("stream", "network"),
    )


async def nobody(rest: Rest) -> Leg | None:
    """No prompt is counted by anyone."""
    return None


async def silence(rest: Rest) -> Leg | None:
    """Who is asked to count says nothing."""
    await asyncio.Event().wait()
    return None


def read(
    broken: Cut, left: Remainder, *scripts: Script | Exception, count: Count = nobody
) -> list[Event]:
    """All events of the rest, whose calls go by these scripts."""
    heir = Scripted(*scripts)

    async def begin(rest: Rest) -> Leg:
        return Leg(Counted(rest.call, heir, await heir.open(rest.call)), rest)

    async def run() -> list[Event]:
        stream = HandedOver(broken, left, "heir", count)
        found: list[Event] = []
        if left.rests:
            await stream.begin(begin, parallel_max=2)
        while events := await stream.read():
            found += events
        stream.close()
        return found

    return asyncio.run(run())


def test_unfinished_choices_under_their_own_index() -> None:
    """Ends that nobody needs to be asked for come first; the usage is that of the whole call."""
    broken = cut(Delta(0, "x", token_ids=[1] * 5), Delta(2, "y", token_ids=[7]))
    left = remainder(broken.call, broken.received, False)
    script: Script = [[Delta(0, "z", "stop", token_ids=[2])], [UsageReported(Usage(2, 1))]]
    more: Script = [[Delta(0, "w", "stop", token_ids=[3])], [UsageReported(Usage(3, 2))]]
    events = read(broken, left, script, more)
    assert Delta(0, "", "length") == events[0]
    assert {(1, "z"), (2, "w")} == {(e.index, e.text) for e in events[1:-1] if isinstance(e, Delta)}
    assert UsageReported(Usage(2, 5 + 1 + 1 + 2)) == events[-1]


def test_all_was_told_already() -> None:
    """Cut behind the usage: nothing more comes."""
    ended = [Delta(index, "x", "stop") for index in range(3)]
    broken = cut(*ended, reported=True)
    assert [] == read(broken, remainder(broken.call, broken.received, broken.counted))


@pytest.mark.parametrize("count", [nobody, silence])
def test_a_prompt_that_nobody_counts(count: Count, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its length is guessed, and said to be; the caller does not wait long for it."""
    monkeypatch.setattr(handed_over, "COUNTING_S", 0.01)
    broken = cut(*(Delta(index, "x", "stop", token_ids=[1, 0]) for index in range(3)))
    left = remainder(broken.call, broken.received, broken.counted)
    events = read(broken, left, count=count)
    assert [UsageReported(Usage(1, 6, estimated=True))] == events


@pytest.mark.parametrize("fault", [failure("stream", "network"), invalid("no")])
def test_a_rest_that_fails(fault: Exception) -> None:
    """Is an upstream's failure in mid-stream, also where it is a late refusal."""
    broken = cut(Delta(0, "x", "stop"), Delta(1, "x", "stop"))
    script: Script = [[Delta(0, "y")], fault]
    with pytest.raises(UpstreamError) as caught:
        read(broken, remainder(broken.call, broken.received, False), script)
    assert "stream" == caught.value.phase
