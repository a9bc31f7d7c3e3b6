"""Calls that are cut."""

import asyncio

from baton.fills.cut import Cut
from baton.fills.source import gather
from baton.semantics.cut import Cutter
from baton.semantics.events import Call, Delta, Usage
from tests.fakes.sources import Given

CALL = Call(model="m", prompts=["p"], max_tokens=9)


def test_a_call_ends_with_its_text() -> None:
    """It is closed at once, and what it said in vain is neither shown nor counted."""
    source = Given([Delta(0, "one ")], [Delta(0, "two STOP"), Delta(0, "in vain")], [Delta(0, "x")])
    cut = Cut(source, Cutter(CALL, ["STOP"], None))
    found = asyncio.run(gather(cut))
    assert [("one ", None), ("two ", "stop")] == [(d.text, d.finish_reason) for d in found]
    assert (True, 1) == (source.closed, len(source.batches))
    assert (2, Usage(10, 2, estimated=True)) == (cut.generated, cut.usage)


def test_what_is_held_back_is_waited_for() -> None:
    """A batch of which nothing may be shown yet is no end."""
    source = Given([Delta(0, "ST")], [Delta(0, "ART", "stop")])
    cut = Cut(source, Cutter(CALL, ["STOP"], None))
    assert ["START"] == [delta.text for delta in asyncio.run(gather(cut))]
    assert Usage(10, 2) == cut.usage
    assert not source.closed
    cut.close()
    assert source.closed
