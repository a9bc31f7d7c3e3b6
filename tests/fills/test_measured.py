"""max_tokens by the text."""

import asyncio

from baton.fills.measured import Measured
from baton.fills.source import gather
from baton.semantics.events import Call, Delta, Usage
from baton.semantics.measure import Meter
from tests.fakes.sources import Given

CALL = Call(model="m", prompts=["p"], max_tokens=3)


class Letters:
    """Every character is a token; None where it is not there."""

    there = True

    async def measure(self, text: str, tokens_max: int) -> tuple[int, int] | None:
        return (len(text), min(len(text), tokens_max)) if self.there else None


def test_what_overruns_is_cut_and_closed() -> None:
    """In the middle of a piece; the upstream's count is not believed any more."""
    source = Given([Delta(0, "a")], [Delta(0, "bcde"), Delta(0, "f")], [Delta(0, "g", "stop")])
    found = Measured(source, Meter(CALL, 3, 0), Letters())
    deltas = asyncio.run(gather(found))
    assert [("a", None), ("bc", "length")] == [(d.text, d.finish_reason) for d in deltas]
    assert (True, 1) == (source.closed, len(source.batches))
    assert Usage(10, 3, estimated=True) == found.usage


def test_what_keeps_to_it_is_left_alone() -> None:
    """Its count too; closing closes the call."""
    source = Given([Delta(0, "abc", "stop")])
    found = Measured(source, Meter(CALL, 3, 0), Letters())
    assert ["abc"] == [delta.text for delta in asyncio.run(gather(found))]
    assert Usage(10, 1) == found.usage
    found.close()
    assert source.closed


def test_without_an_answer_nothing_is_cut() -> None:
    """A text that cannot be measured is not known to overrun."""
    ruler = Letters()
    ruler.there = False
    source = Given([Delta(0, "abcdef")], [Delta(0, "", "length")])
    found = Measured(source, Meter(CALL, 3, 0), ruler)
    assert ["abcdef", ""] == [delta.text for delta in asyncio.run(gather(found))]
