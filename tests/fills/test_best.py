"""The best of candidates."""

import asyncio

import pytest

from baton.fills.best import Best
from baton.fills.source import gather
from baton.semantics.events import Delta, Usage
from baton.semantics.logprobs import empty
from tests.fakes.sources import Given


@pytest.mark.parametrize("shown", [True, False])
def test_the_best_are_given_and_all_are_counted(shown: bool) -> None:
    """In one batch; logprobs only to who asked for them."""
    candidates = [
        Delta(index, f"c{index}", "stop", empty(), score=score, scored_tokens=1)
        for index, score in enumerate([-3.0, -1.0, -2.0])
    ]
    source = Given(candidates[:1], candidates[1:])
    best = Best(source, 2, 3, shown=shown)
    found = asyncio.run(gather(best))
    assert [(0, "c1"), (1, "c2")] == [(d.index, d.text) for d in found]
    assert [shown, shown] == [d.logprobs is not None for d in found]
    assert (3, Usage(10, 3)) == (best.generated, best.usage)
    best.close()
    assert source.closed
