"""A suffix by ranking."""

import asyncio

import pytest

from baton.errors import RequestError, invalid
from baton.fills.ranked import Ranked
from baton.fills.source import Source, gather
from baton.semantics.events import Call, Delta, Logprobs, Usage
from baton.semantics.fim import RankedFill
from tests.fakes.sources import Given

CALL = Call(model="m", prompts=["p"], max_tokens=5, n=2, suffix="S")
CANDIDATES = [Delta(0, "a", "stop"), Delta(1, "b", "stop")]


def scores(*likely: float) -> list[Delta]:
    """Of each candidate followed by the suffix."""
    return [
        Delta(i, f"p{text}S", "length", Logprobs(["S"], [logprob], [{"S": logprob}], [2]))
        for i, (text, logprob) in enumerate(zip("ab", likely, strict=True))
    ]


def test_the_candidate_that_makes_the_suffix_likeliest() -> None:
    """Given once; all candidates and the suffix are counted, scoring is not."""
    opened: list[Call] = []
    scoring = Given(scores(-5.0, -1.0))

    async def score(call: Call) -> Source:
        opened.append(call)
        return scoring

    source = Ranked(Given(CANDIDATES), RankedFill(CALL, 1), score)
    assert [Delta(0, "b", "stop")] == asyncio.run(gather(source))
    assert (["paS", "pbS"], 0) == (opened[0].prompts, opened[0].max_tokens)
    assert (Usage(11, 2), 2) == (source.usage, source.generated)
    source.close()
    assert scoring.closed


def test_a_refused_score_is_the_callers() -> None:
    """As any other refusal."""

    async def refuse(_: Call) -> Source:
        raise invalid("too long", "prompt")

    candidates = Given(CANDIDATES)
    source = Ranked(candidates, RankedFill(CALL, 1), refuse)
    with pytest.raises(RequestError):
        asyncio.run(gather(source))
    source.close()
    assert candidates.closed


def test_closing_while_scores_are_asked_for() -> None:
    """The call that is accepted afterwards is let go at once."""
    scoring = Given(scores(-1.0, -2.0))

    async def score(_: Call) -> Source:
        source.close()
        return scoring

    source = Ranked(Given(CANDIDATES), RankedFill(CALL, 1), score)
    asyncio.run(gather(source))
    assert scoring.closed
