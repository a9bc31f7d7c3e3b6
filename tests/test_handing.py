"""A lost upstream and its successor: the caller's answer is the undisturbed one, wherever it broke.

Both upstreams compute the same function of all tokens so far, so every difference is a fault.
"""

import asyncio
from typing import Any

import msgspec
import pytest

from baton.answer import Answer, Counted, Spent
from baton.handing import Bounds, Handing
from baton.relay import Relay
from baton.routing.budget import Budget
from baton.routing.plan import Plan
from baton.routing.work import Work
from baton.semantics.assemble import assemble
from baton.semantics.events import Delta, Event, Usage, UsageReported
from baton.semantics.usage import so_far
from baton.sites import Site
from baton.upstreams.base import UpstreamError
from baton.upstreams.failures import failure
from tests.fakes import word_model
from tests.fakes.scripted import Scripted, gathered, planned
from tests.fakes.words import ALL, Words

READS_MAX = 40
CASES: dict[str, dict[str, Any]] = {
    "text": {},
    "multi-byte": {"prompts": [" größe 日"], "seed": 4},
    "greedy": {"temperature": 0.0},
    "logprobs": {"logprobs": 2},
    "samples": {"n": 3, "seed": 5},
    "prompts": {"prompts": [" the old", " river"], "n": 2, "logprobs": 0},
    "echo": {"echo": True},
    "echo, logprobs": {"echo": True, "logprobs": 1, "n": 2},
    "stop": {"stop": [" light", "é", " be by"], "max_tokens": 40, "n": 2},
    "ids": {"prompts": [word_model.encode(" the old house")], "logprobs": 1},
    "echoed ids": {"prompts": [word_model.encode(" the old house")], "echo": True, "logprobs": 1},
    "nothing but echo": {"echo": True, "max_tokens": 0, "prompts": [" the", " old"]},
    "whole": {"stream": False, "n": 2},
    "suffix": {"suffix": " end", "prompts": [" begin"]},
}


def relay(*upstreams: Words | Scripted, retries: Budget | None = None, **bounds: Any) -> Relay:
    """They are asked in this order."""
    sites = {each.name: Site(each.name, each, priority=at) for at, each in enumerate(upstreams)}
    return Relay(sites, retries, Bounds(**{"wait_s": 0.01, **bounds}))


def plan(*names: str, **fields: Any) -> Plan:
    return planned(*names, **{"prompts": [" the old house"], "max_tokens": 12, **fields})


async def whole(made: Relay, plan: Plan) -> tuple[Answer, list[Delta]]:
    answer = await made.open(plan)
    try:
        return answer, await gathered(answer)
    finally:
        answer.close()


def shown(plan: Plan, deltas: list[Delta]) -> list[dict[str, Any]]:
    """What a caller has in the end; a finish_reason comes once, with the last delta."""
    ended: set[int] = set()
    for delta in deltas:
        assert delta.index not in ended
        if delta.finish_reason is not None:
            ended.add(delta.index)
    choices = assemble(deltas, plan.request.choices, logprobs=plan.request.logprobs is not None)
    return [msgspec.to_builtins(choice) for choice in choices]


def divided_anew(asked: Plan, heir: Words) -> bool:
    """Whether it went on from a text that was generated, so that the length of the prompt is not
    told for certain."""
    sent = [prompt for call in heir.calls for prompt in call.prompts]
    return any(isinstance(each, str) and each not in asked.request.prompts for each in sent)


@pytest.mark.parametrize("case", CASES)
def test_a_cut_anywhere_is_not_seen(case: str) -> None:
    """Texts, offsets, logprobs, finish_reason and usage are those of the undisturbed answer; what
    may be one or two off is marked as estimated."""
    asked = plan("a", "b", **CASES[case])
    calm, undisturbed = asyncio.run(whole(relay(Words("a")), asked))
    for cut in range(READS_MAX):
        lost, heir = Words("a", [cut]), Words("b")
        answer, deltas = asyncio.run(whole(relay(lost, heir), asked))
        assert shown(asked, undisturbed) == shown(asked, deltas), cut
        anew = divided_anew(asked, heir)
        assert msgspec.structs.replace(calm.usage, estimated=anew) == answer.usage, cut
        assert lost.closed
        if not heir.calls:
            return
    raise AssertionError("the answer was longer than every cut")


@pytest.mark.parametrize("case", CASES)
def test_two_cuts_are_not_seen(case: str) -> None:
    """The one who took over is lost as well, and the first is back by then."""
    asked = plan("a", "b", **CASES[case])
    _, undisturbed = asyncio.run(whole(relay(Words("a")), asked))
    for first in (0, 1, 4):
        for second in (0, 1, 3):
            made = relay(Words("a", [first]), Words("b", [second]))
            answer, deltas = asyncio.run(whole(made, asked))
            assert shown(asked, undisturbed) == shown(asked, deltas), (first, second)
            assert answer.handoffs <= 2 or len(answer.spent) > 2


def test_the_same_upstream_goes_on_where_it_is_the_only_one() -> None:
    """After its restart: it refuses for a moment, then it has the rest."""
    refused = failure("connect", "refused")
    only = Scripted(
        [[Delta(0, " a", token_ids=[1])], failure("stream", "network")],
        refused,
        refused,
        [[Delta(0, " b", "stop", token_ids=[2, 0])]],
    )
    only.name = "a"
    answer, deltas = asyncio.run(whole(relay(only, wait_s=5.0), plan("a", prompts=["x"])))
    assert ["x", "x a", "x a", "x a"] == [call.prompts[0] for call in only.calls]
    assert " a b" == "".join(delta.text for delta in deltas)
    assert 1 == answer.handoffs


STATEFUL: list[dict[str, Any]] = [
    {"presence_penalty": 0.5},
    {"frequency_penalty": -0.5},
    {"prompts": [word_model.encode(" the old")], "stop": ["zzz"]},
]


@pytest.mark.parametrize("fields", STATEFUL)
def test_what_cannot_be_resumed_breaks_off(fields: dict[str, Any]) -> None:
    """The error of the cut comes out at once, nobody else is asked; cut before anything came, the
    request is simply asked again."""
    heir = Words("b")

    async def broken() -> None:
        async with asyncio.timeout(5.0):
            await whole(relay(Words("a", [2]), heir, wait_s=60.0), plan("a", "b", **fields))

    with pytest.raises(UpstreamError, match="lost"):
        asyncio.run(broken())
    assert [] == heir.calls
    answer, _ = asyncio.run(whole(relay(Words("a", [0]), heir), plan("a", "b", **fields)))
    assert 1 == answer.handoffs


def test_who_cannot_do_the_rest_is_passed_over() -> None:
    """An upstream without logprobs does not go on with an answer that has them."""
    poor = Words("b", native=msgspec.structs.replace(ALL, logprobs=False))
    rich = Words("c")
    asked = plan("a", "b", "c", logprobs=1)
    answer, _ = asyncio.run(whole(relay(Words("a", [2]), poor, rich), asked))
    assert ([], 1, 1) == (poor.calls, len(rich.calls), answer.handoffs)


def test_a_rest_is_no_stream_where_none_is_to_be_had() -> None:
    """A server that is said to lack streams goes on with one answer as a whole."""
    whole_alone = Words("b", native=msgspec.structs.replace(ALL, streams=False))
    asked = plan("a", "b", stream=True)
    _, undisturbed = asyncio.run(whole(relay(Words("a")), asked))
    answer, deltas = asyncio.run(whole(relay(Words("a", [2]), whole_alone), asked))
    assert [False] == [call.stream for call in whole_alone.calls]
    assert (1, shown(asked, undisturbed)) == (answer.handoffs, shown(asked, deltas))


def test_who_does_not_take_the_same_fields_is_passed_over() -> None:
    """A field of one engine changes what is sampled: without it the text would turn."""
    asked = plan("a", "b", "c", temperature=0.0)
    first, second, third = asked.attempts
    limited = [
        msgspec.structs.replace(each, call=msgspec.structs.replace(each.call, extra={"top_k": 5}))
        for each in (first, third)
    ]
    mixed = msgspec.structs.replace(asked, attempts=(limited[0], second, limited[1]))
    plain, same = Words("b"), Words("c")
    asyncio.run(whole(relay(Words("a", [2]), plain, same), mixed))
    assert ([], 1) == (plain.calls, len(same.calls))


def test_a_hole_is_filled_on_by_the_same_template() -> None:
    """What was put into a template goes on as it was sent, at who would have sent the same; who
    chats, or fills holes otherwise, is passed over."""
    asked = plan("a", "b", "c", "d")
    template, other = Work(template="qwen"), Work(template="starcoder")
    first, chatting, otherwise, same = asked.attempts
    attempts = (
        msgspec.structs.replace(first, fills=("suffix",), work=template),
        msgspec.structs.replace(chatting, fills=("continuation",)),
        msgspec.structs.replace(otherwise, fills=("suffix",), work=other),
        msgspec.structs.replace(same, fills=("suffix",), work=template),
    )
    mixed = msgspec.structs.replace(asked, attempts=attempts)
    lost = Words("a", [1])
    roster = relay(lost, Words("b"), Words("c"), Words("d"))
    counted, heir = asyncio.run(handed_by(roster, mixed, lost))
    assert ["d"] == [each.upstream for each in counted.spent[1:]]
    assert heir.startswith(" the old house")


@pytest.mark.parametrize("stream", [True, False])
def test_who_chats_is_asked_what_was_not_begun(stream: bool) -> None:
    """By another one that chats, or the same; what was begun breaks off, as before."""
    asked = plan("a", "b", stream=stream)
    attempts = [msgspec.structs.replace(each, fills=("continuation",)) for each in asked.attempts]
    chats = msgspec.structs.replace(asked, attempts=tuple(attempts))
    heir = Words("b")
    answer, deltas = asyncio.run(whole(relay(Words("a", [0]), heir), chats))
    calm, undisturbed = asyncio.run(whole(relay(Words("a")), asked))
    assert (1, calm.usage) == (answer.handoffs, answer.usage)
    assert shown(asked, undisturbed) == shown(asked, deltas)
    if stream:
        with pytest.raises(UpstreamError, match="lost"):
            asyncio.run(whole(relay(Words("a", [2]), heir), chats))
    assert 1 == len(heir.calls)


def test_pieces_of_several_tokens() -> None:
    """Where the lost one told how many there were so far, exactly so many fewer are asked for, over
    two cuts, and what is shown of the usage never shrinks."""
    pieces: list[list[Event]] = [
        [Delta(0, " a b c"), UsageReported(Usage(7, 3))],
        [Delta(0, " d e f"), UsageReported(Usage(7, 6))],
    ]
    lost = Scripted([*pieces, failure("stream", "network")])
    second = Scripted([[Delta(0, " g")], failure("stream", "network")])
    last = Scripted([[Delta(0, " h", "length"), UsageReported(Usage(15, 3))]])
    lost.name, second.name, last.name = "a", "b", "c"
    made = relay(lost, second, last)
    running_counts: list[int] = []

    async def read() -> Answer:
        answer = await made.open(plan("a", "b", "c", prompts=["x"], max_tokens=10))
        while await answer.read():
            running_counts.append(running(answer))
        return answer

    answer = asyncio.run(read())
    assert [10, 4, 3] == [each.calls[0].max_tokens for each in (lost, second, last)]
    assert [3, 6, 7] == running_counts[:3]
    assert (7, 10) == (answer.usage.prompt_tokens, answer.usage.completion_tokens)


@pytest.mark.parametrize(("exact", "left"), [(True, 6), (False, 9)])
def test_pieces_of_about_so_many_tokens(exact: bool, left: int) -> None:
    """An estimate by the dialect is better than a token a piece; what such a text is charged for is
    one, too. Of a server whose counts are not to be trusted it is none."""
    guess = UsageReported(Usage(7, 4, estimated=True))
    native = msgspec.structs.replace(ALL, exact_usage=exact, token_ids=False)
    lost = Scripted([[Delta(0, " a b c d"), guess], failure("stream", "network")], native=native)
    heir = Scripted([[Delta(0, " e", "stop"), UsageReported(Usage(15, 1))]])
    lost.name, heir.name = "a", "b"
    asked = plan("a", "b", prompts=["x"], max_tokens=10)
    answer, _ = asyncio.run(whole(relay(lost, heir), asked))
    assert left == heir.calls[0].max_tokens
    assert Usage(7, 10 - left + 1, estimated=True) == answer.usage


@pytest.mark.parametrize("estimated", [False, True])
def test_all_tokens_by_an_estimate(estimated: bool) -> None:
    """Only a count ends an answer that was cut; by an estimate one token is asked for, and
    where nobody has it, the answer is not whole."""
    told = UsageReported(Usage(7, 10, estimated=estimated))
    native = msgspec.structs.replace(ALL, token_ids=False)

    def lost() -> Scripted:
        found = Scripted([[Delta(0, " a b"), told], failure("stream", "network")], native=native)
        found.name = "a"
        return found

    asked = plan("a", "b", prompts=["x"], max_tokens=10)
    heir = Scripted([[Delta(0, " e", "length"), UsageReported(Usage(15, 1))]])
    heir.name = "b"
    answer, deltas = asyncio.run(whole(relay(lost(), heir), asked))
    assert [1] * estimated == [call.max_tokens for call in heir.calls]
    assert ("length", 10) == (deltas[-1].finish_reason, answer.usage.completion_tokens)
    if estimated:
        with pytest.raises(UpstreamError, match="lost"):
            asyncio.run(whole(relay(lost()), asked))


def running(answer: Answer) -> int:
    """Generated tokens as a running stream shows them."""
    return so_far(answer.usage, answer.generated).completion_tokens


async def handed_by(roster: Relay, mixed: Plan, lost: Words) -> tuple[Counted, str]:
    """The first attempt's call as it is, and what the one who takes over is asked."""
    call = mixed.attempts[0].call
    counted = Counted(call, lost, await lost.open(call), Handing(roster, mixed, Bounds()))
    while await counted.read():
        """To its end."""
    site = roster.site("d")
    assert site is not None
    assert isinstance(site.upstream, Words)
    return counted, str(site.upstream.calls[0].prompts[0])


def test_hand_offs_are_bounded() -> None:
    """No third one for a call."""
    made = relay(Words("a", [2, 1]), Words("b", [1]))
    with pytest.raises(UpstreamError):
        asyncio.run(whole(made, plan("a", "b")))


def test_hand_offs_are_counted_and_their_retries_paid() -> None:
    """Without any budget the first attempt is made all the same, but after a failure no other."""

    def broke() -> Budget:
        return Budget(ratio=0.0, tokens_min=0.0)

    answer, _ = asyncio.run(
        whole(relay(Words("a", [2]), Words("b"), retries=broke()), plan("a", "b"))
    )
    assert 1 == answer.handoffs
    failing, heir = Scripted(failure("first_byte", "timeout")), Words("c")
    failing.name = "b"
    asked = plan("a", "b", "c")
    with pytest.raises(UpstreamError):
        asyncio.run(whole(relay(Words("a", [2]), failing, heir, retries=broke()), asked))
    assert (1, []) == (len(failing.calls), heir.calls)
    rich = Budget(ratio=0.0, tokens_min=2.0)
    failing.scripts.append(failure("first_byte", "timeout"))
    asyncio.run(whole(relay(Words("a", [2]), failing, heir, retries=rich), asked))
    assert 1 == len(heir.calls)


def test_what_each_attempt_cost() -> None:
    """The caller pays prompt and text once; the operator the lost part, too, with its prompt."""
    asked = plan("a", "b", temperature=0.0, max_tokens=6)
    calm, _ = asyncio.run(whole(relay(Words("a")), asked))
    assert () == calm.spent
    answer, _ = asyncio.run(whole(relay(Words("a", [4]), Words("b")), asked))
    prompt = len(word_model.encode(" the old house"))
    lost, heir = answer.spent
    assert ("a", 4) == (lost.upstream, lost.usage.completion_tokens)
    assert Spent("b", Usage(prompt + 4, 2)) == heir
    assert Usage(prompt, 6, estimated=True) == answer.usage


def test_closing_closes_who_took_over() -> None:
    """A caller that leaves after a hand-off leaves nobody at work."""
    heir = Words("b")

    async def leave() -> None:
        answer = await relay(Words("a", [1]), heir).open(plan("a", "b", n=2))
        await answer.read()
        await answer.read()
        answer.close()

    asyncio.run(leave())
    assert len(heir.calls) == heir.closed > 0
