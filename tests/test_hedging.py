"""A slow first upstream: another one is asked as well, one answers, and nothing is given twice."""

import asyncio
import json
import pathlib
import time
from collections.abc import Sequence

import msgspec
import pytest

from baton.answer import Spent
from baton.errors import RequestError, invalid
from baton.handing import Bounds
from baton.hedging import HedgedAnswer
from baton.relay import Relay
from baton.routing.budget import Budget
from baton.semantics.events import Call, Delta, Event, Usage, UsageReported
from baton.sites import Site
from baton.upstreams.base import UpstreamStream
from baton.upstreams.failures import failure
from tests.fakes.scripted import ABLE, END, Scripted, gathered, planned
from tests.fakes.words import Words
from tests.relaying import relaying, text_of
from tests.test_handing import divided_anew, plan, shown, whole

HEDGE_S = 0.02
NEVER = 3600.0


class Slow(Scripted):
    """Accepts after a while, or has its first deltas after a while."""

    def __init__(self, *scripts: object, open_s: float = 0.0, first_s: float = 0.0) -> None:
        super().__init__(*scripts)  # type: ignore[arg-type]
        self._open_s, self._first_s = open_s, first_s
        self.cancelled = 0

    async def open(self, call: Call) -> UpstreamStream:
        stream = await super().open(call)
        try:
            await asyncio.sleep(self._open_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return SlowStream(stream, self._first_s)


class Stubborn(Scripted):
    """Hangs, and takes its time to end."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.leaves, self.ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.may_end = asyncio.Event()

    async def open(self, call: Call) -> UpstreamStream:
        self.begun.set()
        try:
            await asyncio.Event().wait()
            raise AssertionError("nobody sets it")
        finally:
            self.leaves.set()
            try:
                await self.may_end.wait()
            finally:
                self.ended.set()


class SlowStream:
    def __init__(self, stream: UpstreamStream, first_s: float) -> None:
        self._stream, self._first_s = stream, first_s
        self.prompt_tokens = stream.prompt_tokens

    async def read(self) -> Sequence[Event]:
        await asyncio.sleep(self._first_s)
        self._first_s = 0.0
        return await self._stream.read()

    def close(self) -> None:
        self._stream.close()


def counted(made: Relay) -> tuple[int, int]:
    """Hedges of the first one: started, won by another."""
    site = made.site("a")
    assert site is not None
    return site.hedges_started, site.hedges_won


def said(text: str) -> list[Sequence[Event]]:
    return [[Delta(0, text, token_ids=[1])], [END]]


def hedging(
    *upstreams: Scripted | Words, retries: Budget | None = None, hedges: Budget | None = None
) -> Relay:
    """They are asked in this order; the first may be hedged."""
    sites = {}
    for at, each in enumerate(upstreams):
        each.name = "abc"[at]
        sites[each.name] = Site(each.name, each, priority=at)
    sites["a"].hedge_after_s = HEDGE_S
    retries = retries or Budget(tokens_min=10.0)
    hedges = hedges or Budget(tokens_min=10.0)
    return Relay(sites, retries, Bounds(wait_s=0.01), hedges=hedges)


async def said_by(made: Relay, *names: str) -> tuple[str, HedgedAnswer]:
    answer = await made.open(planned(*names, prompts=["12345"]))
    assert isinstance(answer, HedgedAnswer)
    deltas = await gathered(answer)
    answer.close()
    return "".join(delta.text for delta in deltas), answer


@pytest.mark.parametrize("slow", ["open_s", "first_s"])
def test_the_other_one_answers(slow: str) -> None:
    """Before acceptance and before the first delta; the loser is closed, its cost is told, and the
    caller's usage is the winner's alone."""
    one, two = Slow(said("one"), **{slow: NEVER}), Slow(said("two"))
    made = hedging(one, two)
    found, answer = asyncio.run(said_by(made, "a", "b"))
    assert ("two", "b", 2) == (found, answer.upstream, answer.attempts)
    assert (1, 1) == counted(made)
    assert one.streams[0].closed or one.cancelled
    assert ["b", "a"] == [spent.upstream for spent in answer.spent]
    assert (
        Spent("a", Usage(answer.spent[1].usage.prompt_tokens, 0, estimated=True))
        == (answer.spent[1])
    )
    assert answer.spent[1].usage.prompt_tokens > 0
    assert 1 == answer.usage.completion_tokens


def test_losers_of_a_filled_answer() -> None:
    """What they cost is told as well where the winner's answer has work around its call."""
    one, two = Slow(said("one"), open_s=NEVER), Slow(said("two"))

    async def run() -> None:
        answer = await hedging(one, two).open(planned("a", "b", fills=("echo",)))
        await gathered(answer)
        answer.close()
        assert [("b", 1), ("a", 0)] == [
            (spent.upstream, spent.usage.completion_tokens) for spent in answer.spent
        ]

    asyncio.run(run())


def test_a_winner_is_owed_what_it_told() -> None:
    """Also where its caller is given, and charged for, less of it than it generated."""
    told: list[Sequence[Event]] = [[Delta(0, "one", "stop"), UsageReported(Usage(5, 1))]]
    one, two = Slow(told, open_s=NEVER), Slow(told)
    free = msgspec.structs.replace(ABLE, max_tokens_zero=False)

    async def run() -> None:
        asked = planned(
            "a", "b", fills=("max_tokens",), able=free, max_tokens=0, echo=True, logprobs=1
        )
        answer = await hedging(one, two).open(asked)
        await gathered(answer)
        answer.close()
        assert 0 == answer.usage.completion_tokens
        assert [("b", 1), ("a", 0)] == [
            (spent.upstream, spent.usage.completion_tokens) for spent in answer.spent
        ]

    asyncio.run(run())


def test_who_begins_in_time_is_not_hedged() -> None:
    """One call, one cost; nor is a first one that is slow after its beginning."""
    one, two = Slow(said("one")), Slow(said("two"))
    made = hedging(one, two)
    found, answer = asyncio.run(said_by(made, "a", "b"))
    assert ("one", 1, ()) == (found, answer.attempts, answer.spent)
    assert ([], (0, 0)) == (two.calls, counted(made))


def test_the_first_may_still_win() -> None:
    """Nobody is given up for being slow: the hedge is cancelled."""
    one = Slow(said("one"), first_s=3 * HEDGE_S)
    two = Slow(said("two"), open_s=NEVER)
    made = hedging(one, two)
    found, answer = asyncio.run(said_by(made, "a", "b"))
    assert ("one", 2, 1) == (found, answer.attempts, two.cancelled)
    assert (1, 0) == counted(made)
    assert ["a", "b"] == [spent.upstream for spent in answer.spent]


def test_both_at_once_are_one_answer() -> None:
    """Whoever is asked first wins; the other is closed, and costs what it computed."""
    one = Slow(said("one"), first_s=2 * HEDGE_S)
    two = Slow(said("two"), first_s=HEDGE_S)
    found, answer = asyncio.run(said_by(hedging(one, two), "a", "b"))
    assert found in ("one", "two")
    closed = [each.streams[0].closed for each in (one, two)]
    assert [True, True] == closed  # the winner by its reader
    assert 2 == len(answer.spent)


@pytest.mark.parametrize("poor", ["hedges", "retries"])
def test_budgets_bound_it(poor: str) -> None:
    """Without either the first one is waited for."""
    one, two = Slow(said("one"), first_s=3 * HEDGE_S), Slow(said("two"))
    made = hedging(one, two, **{poor: Budget(ratio=0.0, tokens_min=0.0)})
    found, answer = asyncio.run(said_by(made, "a", "b"))
    assert ("one", 1, []) == (found, answer.attempts, two.calls)


def test_a_hedge_that_no_retry_is_left_for_is_not_used_up() -> None:
    """Of two budgets the one that allowed it has it still."""
    one, two = Slow(said("one"), first_s=3 * HEDGE_S), Slow(said("two"))
    hedges = Budget(ratio=0.0, tokens_min=1.0)
    made = hedging(one, two, retries=Budget(ratio=0.0, tokens_min=0.0), hedges=hedges)
    found, _ = asyncio.run(said_by(made, "a", "b"))
    assert ("one", []) == (found, two.calls)
    assert hedges.take(0.0)


def test_a_twentieth_of_requests() -> None:
    """By default: of a hundred slow requests five are hedged, and the one of a quiet relay."""

    async def ask_on() -> int:
        one = Slow(*[said("one")] * 100, first_s=2 * HEDGE_S)
        two = Slow(*[said("two")] * 100)
        made = hedging(one, two)
        made = Relay(made._sites, Budget(tokens_min=100.0, tokens_max=100.0))
        await asyncio.gather(*(said_by(made, "a", "b") for _ in range(100)))
        return len(two.calls)

    assert asyncio.run(ask_on()) in (5, 6)


def test_failures_are_retried_in_the_race() -> None:
    """Refused, or broken off before anything came, which costs what it would without a race; the
    last failure is told where nobody is left, a caller's fault ends it."""
    broken: list[Sequence[Event] | Exception] = [failure("stream", "network")]
    for first, cost in ((failure("connect", "refused"), []), (broken, ["a"])):
        made = hedging(Slow(first), Slow(said("two")))
        found, answer = asyncio.run(said_by(made, "a", "b"))
        assert ("two", 2) == (found, answer.attempts)
        assert cost == [spent.upstream for spent in answer.losers]
        assert all(spent.usage.prompt_tokens > 0 for spent in answer.losers)
        assert (0, 0) == counted(made), "a retry is no hedge"
    last = failure("first_byte", "timeout")
    made = hedging(Slow(failure("connect", "refused")), Slow(last))
    with pytest.raises(type(last)) as caught:
        asyncio.run(said_by(made, "a", "b"))
    assert last is caught.value
    two = Slow(said("two"))
    with pytest.raises(RequestError):
        asyncio.run(said_by(hedging(Slow(invalid("no", "prompt")), two), "a", "b"))
    assert [] == two.calls


def test_a_retry_is_waited_for() -> None:
    """Only for the first one was a hedge allowed: one that was asked as it failed may be slow."""
    two, three = Slow(said("two"), first_s=3 * HEDGE_S), Slow(said("three"))
    made = hedging(Slow(failure("connect", "refused")), two, three)
    found, answer = asyncio.run(said_by(made, "a", "b", "c"))
    assert ("two", 2, []) == (found, answer.attempts, three.calls)
    assert (0, 0) == counted(made)


def test_a_failure_leaves_the_other_one_running() -> None:
    """The hedge fails: nobody else is asked while the first one still may come."""
    one, three = Slow(said("one"), first_s=3 * HEDGE_S), Slow(said("three"))
    made = hedging(one, Slow(failure("connect", "refused")), three)
    found, answer = asyncio.run(said_by(made, "a", "b", "c"))
    assert ("one", 2, []) == (found, answer.attempts, three.calls)


def test_a_refusal_leaves_the_other_one_running() -> None:
    """What one finds wrong with the request (its context may be shorter) is told only where the
    other one does not answer; then nobody else is asked."""
    one = Slow(said("one"), first_s=3 * HEDGE_S)
    found, answer = asyncio.run(said_by(hedging(one, Slow(invalid("no", "prompt"))), "a", "b"))
    assert ("one", 2) == (found, answer.attempts)
    lost: list[Sequence[Event] | Exception] = [failure("stream", "network")]
    one, three = Slow(lost, first_s=3 * HEDGE_S), Slow(said("three"))
    made = hedging(one, Slow(invalid("no", "prompt")), three)
    with pytest.raises(RequestError, match="no"):
        asyncio.run(said_by(made, "a", "b", "c"))
    assert [] == three.calls


def test_who_leaves_ends_both() -> None:
    """A caller that is gone during the race leaves nobody at work."""
    one, two = Slow(said("one"), first_s=NEVER), Slow(said("two"), open_s=NEVER)

    async def leave() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5 * HEDGE_S):
                await said_by(hedging(one, two), "a", "b")

    asyncio.run(leave())
    assert (True, 1) == (one.streams[0].closed, two.cancelled)


def test_who_leaves_twice_ends_both() -> None:
    """The second time while the first of them is still ending."""

    async def scenario() -> None:
        first, second = Stubborn(), Stubborn()
        race = hedging(first, second).open(planned("a", "b"))
        opening = asyncio.get_running_loop().create_task(race)
        await second.begun.wait()
        opening.cancel()
        await first.leaves.wait()
        opening.cancel()
        first.may_end.set()
        second.may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await first.ended.wait()
        await second.ended.wait()

    asyncio.run(asyncio.wait_for(scenario(), 5))


def test_the_winner_is_handed_over_like_any_other() -> None:
    """Lost in mid-stream, after its first deltas or at any later place: whole, and as it was."""
    asked = plan("a", "b", max_tokens=8)
    calm, undisturbed = asyncio.run(whole(hedging(Words("a"), Words("b")), asked))
    handoffs = 0
    for cut in range(1, len(undisturbed) + 1):
        heir = Words("b")
        answer, deltas = asyncio.run(whole(hedging(Words("a", [cut]), heir), asked))
        assert shown(asked, undisturbed) == shown(asked, deltas), cut
        anew = divided_anew(asked, heir)
        assert msgspec.structs.replace(calm.usage, estimated=anew) == answer.usage
        handoffs += answer.handoffs
    assert handoffs >= len(undisturbed) - 2  # at the end nobody else is needed


def test_filled_answers_race_to_their_acceptance() -> None:
    """Several calls of one upstream have no one first delta."""
    one, two = Slow(said("one"), open_s=NEVER), Slow([[END]], [[END]])
    made = hedging(one, two)

    async def ask() -> str:
        answer = await made.open(planned("a", "b", fills=("n",), n=2))
        answer.close()
        return answer.upstream

    assert "b" == asyncio.run(ask())


@pytest.mark.parametrize("stream", [False, True])
def test_through_a_whole_worker(tmp_path: pathlib.Path, stream: bool) -> None:
    """The slow one's socket is aborted; the caller is answered by the other, and charged once."""
    with relaying(tmp_path, {"slow": "vllm", "fast": "vllm"}) as relay:
        slow = relay.fakes["slow"]
        relay.add_upstream("slow", slow, hedge_after_s=0.05)
        sites = relay.worker._configured.sites
        relay.until(lambda: sites["slow"].hedge_after_s is not None)
        slow.fault(delay_s=30.0)
        began = time.monotonic()
        answer = relay.user.complete(prompt="the river is", max_tokens=9, stream=stream)
        assert time.monotonic() - began < 5.0
        relay.run(slow.until(lambda: slow.aborted == 1))
        assert "healthy" == sites["slow"].state
    assert (200, "fast") == (answer.status, answer.headers["x-baton-upstream"])
    if answer.events is None:
        text = answer.json["choices"][0]["text"]
    else:
        chunks = [json.loads(event) for event in answer.events[:-1]]
        text = "".join(choice["text"] for chunk in chunks for choice in chunk["choices"])
    assert text_of("the river is", 9) == text
    [row] = relay.rows()
    assert ("settled", "fast", 2) == (row.state, row.upstream, row.attempts)
