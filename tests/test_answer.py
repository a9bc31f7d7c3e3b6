"""What an answer gives and what was used, at every moment."""

import asyncio
from typing import Any

import pytest

from baton.ledger.prices import TOKENS_UPPER_EXTRA
from baton.semantics.events import Delta, Usage, UsageReported
from baton.upstreams.base import Capabilities, UpstreamError
from baton.upstreams.failures import failure
from tests.fakes.scripted import END, Script, Scripted, opened, planned, read


def test_deltas_come_as_they_are() -> None:
    """Batch by batch; reports are no deltas, and a batch of them alone is not the end."""
    one, two = Delta(0, "a"), Delta(0, "b", "stop")
    answer = opened(planned("u"), u=Scripted([[one], [UsageReported(Usage(1, 1))], [two, one]]))
    assert [one, two, one] == read(answer)
    assert [] == read(answer)


def test_reported_usage_holds() -> None:
    """The last report, as it is, where the upstream's counts are exact."""
    reports = [UsageReported(Usage(5, 1)), UsageReported(Usage(5, 9, cached_tokens=2))]
    answer = opened(planned("u"), u=Scripted([[Delta(0, "a"), reports[0]], [END, reports[1]]]))
    read(answer)
    assert Usage(5, 9, cached_tokens=2) == answer.usage


def test_reports_that_cannot_be_believed() -> None:
    """Nonsense is clamped; of an upstream that is not trusted every report is an estimate."""
    nonsense = opened(
        planned("u"), u=Scripted([[END, UsageReported(Usage(-4, 3, cached_tokens=10))]])
    )
    read(nonsense)
    assert Usage(2, 3, cached_tokens=0, estimated=True) == nonsense.usage
    vague = Scripted([[END, UsageReported(Usage(4, 3))]], native=Capabilities())
    answer = opened(planned("u"), u=vague)
    read(answer)
    assert Usage(4, 3, estimated=True) == answer.usage


def reported(usage: Usage, *deltas: Delta, **fields: Any) -> Usage:
    """What counts of a report at the end of an answer of these deltas, or of one word."""
    script: Script = [[*(deltas or [Delta(0, "a")]), END, UsageReported(usage)]]
    answer = opened(planned("u", **{"max_tokens": 5, **fields}), u=Scripted(script))
    read(answer)
    return answer.usage


def test_reports_of_what_was_not_asked_for() -> None:
    """More tokens than the prompts have bytes, or than were asked for; none where text came. They
    are counted by ourselves, and marked; whatever can be is the upstream's own."""
    exact = (Usage(5, 5), Usage(5 + TOKENS_UPPER_EXTRA, 1), Usage(1, 1))
    for usage in exact:
        assert usage == reported(usage)
    assert Usage(2, 5, estimated=True) == reported(Usage(6 + TOKENS_UPPER_EXTRA, 5))
    assert Usage(5, 1, estimated=True) == reported(Usage(5, 6))
    assert Usage(5, 1, estimated=True) == reported(Usage(5, 0))
    assert Usage(2, 1, estimated=True) == reported(Usage(0, 1))
    assert Usage(5, 0) == reported(Usage(5, 0), Delta(0, ""))
    assert Usage(3, 5) == reported(Usage(3, 5), prompts=[[1, 2, 3]])
    assert Usage(3, 5, estimated=True) == reported(Usage(4, 5), prompts=[[1, 2, 3]])
    assert Usage(5, 0) == reported(Usage(5, 0), Delta(0, "12345"), echo=True)
    assert Usage(0, 1) == reported(Usage(0, 1), prompts=[""])
    nothing = {"echo": True, "max_tokens": 0}
    assert Usage(5, 0) == reported(Usage(5, 1), Delta(0, "12345"), **nothing)
    assert Usage(5, 0, estimated=True) == reported(Usage(5, 2), Delta(0, "12345"), **nothing)


def test_usage_so_far() -> None:
    """Between two reads it is what came: tokens by ids, else one a delta; reports that lag behind
    do not make it less. At the end the report holds."""
    script: Script = [
        [Delta(0, "ab", token_ids=[1, 2]), Delta(1, "x")],
        [UsageReported(Usage(7, 2)), Delta(0, "", token_ids=[3])],
        [END, UsageReported(Usage(7, 3))],
    ]
    answer = opened(planned("u"), u=Scripted(script))
    assert Usage(2, 0, estimated=True) == answer.usage
    seen = []
    while asyncio.run(answer.read()):
        seen.append(answer.usage)
    assert [Usage(2, 3, estimated=True), Usage(7, 4, estimated=True)] == seen[:2]
    assert Usage(7, 3) == answer.usage
    assert 4 == answer.generated


def test_usage_that_nobody_reports() -> None:
    """Exact where prompt and ids are told; else the prompt by its length, marked as estimated."""
    told = Scripted([[Delta(0, "ab", "stop", token_ids=[1, 2])]])
    told.prompt_tokens = 9
    exact = opened(planned("u"), u=told)
    read(exact)
    assert Usage(9, 2) == exact.usage
    ids = opened(planned("u", prompts=[[1, 2, 3], [4]]), u=Scripted([[END]]))
    read(ids)
    assert Usage(4, 0, estimated=True) == ids.usage


@pytest.mark.parametrize(("letters", "tokens"), [(40, 10), (41, 11), (1000, 50)])
def test_a_whole_text_is_measured(letters: int, tokens: int) -> None:
    """One delta of a whole answer is more than a token; never more than was asked for."""
    whole = opened(planned("u", stream=False), u=Scripted([[Delta(0, "x" * letters, "stop")]]))
    read(whole)
    assert Usage(2, tokens, estimated=True) == whole.usage


def test_failure_while_reading() -> None:
    """It comes through, and what came before it counts."""
    answer = opened(
        planned("u"), u=Scripted([[Delta(0, "a", token_ids=[1])], failure("stream", "network")])
    )
    with pytest.raises(UpstreamError):
        read(answer)
    assert 1 == answer.usage.completion_tokens


def test_close() -> None:
    """Every call of the answer is closed, the scoring one too."""
    upstream = Scripted([[Delta(0, "a", "stop", token_ids=[1])]], [failure("stream", "network")])
    plan = planned("u", fills=("suffix",), suffix=" end", stream=False)
    answer = opened(plan, u=upstream)
    with pytest.raises(UpstreamError):
        read(answer)
    assert 1 == answer.usage.completion_tokens
    answer.close()
    answer.close()
    assert [True, True] == [stream.closed for stream in upstream.streams]
