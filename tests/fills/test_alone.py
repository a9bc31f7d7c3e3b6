"""Answers without a call."""

import asyncio

from baton.fills.alone import Alone
from baton.fills.source import gather
from baton.semantics.events import Call, Delta, Logprobs, Usage


def test_every_choice_ends_at_once() -> None:
    """Two prompts, two samples; a text's tokens are an estimate, ids are counted."""
    source = Alone(Call(model="m", prompts=["abcdefgh", [1, 2, 3]], max_tokens=0, n=2))
    assert [Delta(i, "", "length") for i in range(4)] == asyncio.run(gather(source))
    assert Usage(5, 0, estimated=True) == source.usage
    assert Usage(3, 0) == Alone(Call(model="m", prompts=[[1, 2, 3]], max_tokens=0)).usage
    source.close()
    assert 0 == source.generated


def test_logprobs_of_nothing_are_empty_lists() -> None:
    """Where they were asked for: a stream has the very lists that a whole answer has."""
    source = Alone(Call(model="m", prompts=["a", "b"], max_tokens=0, logprobs=2))
    deltas = asyncio.run(gather(source))
    assert [delta.logprobs for delta in deltas] == [Logprobs([], [], [], [])] * 2
