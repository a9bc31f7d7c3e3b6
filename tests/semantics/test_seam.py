"""What a resumed choice says, in the terms of the call that was cut."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton.semantics.events import Call, Delta, FinishReason, Logprobs, Usage
from baton.semantics.handoff import Remainder, Rest
from baton.semantics.seam import Seam, joined_usage
from baton.semantics.stop import StopMatcher

CALL = Call(model="m", prompts=["ab"], max_tokens=10)


def seam(tail: str = "", *stops: str, **fields: int) -> Seam:
    asked = Call(model="m", prompts=["ab"], max_tokens=10, stop=list(stops) or None)
    return Seam(Rest(call=asked, tail=tail, **fields))  # type: ignore[arg-type]


def said(seam: Seam, *texts: str) -> tuple[str, str | None]:
    """The text that goes out, and why it ends; the last text is the upstream's end."""
    found: list[Delta] = []
    for number, text in enumerate(texts, 1):
        reason = "length" if number == len(texts) else None
        found += seam.feed([Delta(0, text, reason)])  # type: ignore[arg-type]
        if seam.over():
            break
    return "".join(delta.text for delta in found), found[-1].finish_reason


def test_offsets_go_on() -> None:
    """From where those before the cut ended, whatever the successor counts from."""

    def delta(text: str, at: int) -> Delta:
        return Delta(0, text, logprobs=Logprobs([text], [-1.0], [{text: -1.0}], [at]))

    moved = seam(offset=12).feed([Delta(0, ""), delta("x", 0), delta("yz", 1)])
    assert [12, 13] == [d.logprobs.text_offset[0] for d in moved if d.logprobs is not None]
    two = Logprobs(["v", "w"], [-1.0, -2.0], [{}, {}], [3, 4])
    nothing = Delta(0, "", logprobs=Logprobs([], [], [], []))
    none, moved_two = seam(offset=12).feed([nothing, Delta(0, "vw", logprobs=two)])
    assert nothing == none
    assert moved_two.logprobs is not None
    assert [12, 13] == moved_two.logprobs.text_offset
    as_it_is = [delta("x", 4)]
    assert as_it_is == seam(offset=4).feed(as_it_is) == seam().feed(as_it_is)


def test_an_echo_leads() -> None:
    """What was not sent of it comes first."""
    assert [Delta(0, "b")] == Seam(Rest(call=CALL, lead="b")).opening()
    assert [] == Seam(Rest(call=CALL)).opening()


@pytest.mark.parametrize(
    ("tail", "texts", "wanted"),
    [
        ("xST", ["OP", "more"], ("", "stop")),
        ("xST", ["O", "P", "more"], ("", "stop")),
        ("xST", ["O", "Q"], ("OQ", "length")),
        ("xST", ["O"], ("O", "length")),
        ("x", ["STOP is the upstream's", "."], ("STOP is the upstream's.", "length")),
        ("ST", ["ST", "OP is theirs, too"], ("STOP is theirs, too", "length")),
    ],
)
def test_stops_over_the_seam(tail: str, texts: list[str], wanted: tuple[str, str]) -> None:
    """A stop that began before the seam ends the choice; what only might be one waits."""
    assert wanted == said(seam(tail, "STOP"), *texts)
    reasons: list[FinishReason | None] = [*(None for _ in texts[1:]), "length"]
    together = seam(tail, "STOP").feed(
        [Delta(0, text, reason) for text, reason in zip(texts, reasons, strict=True)]
    )
    assert wanted == ("".join(d.text for d in together), together[-1].finish_reason)
    assert [None] * (len(together) - 1) == [d.finish_reason for d in together[:-1]]


def test_what_can_be_no_stop_waits_no_longer() -> None:
    """All of it goes out, as it came, with what decides it; what follows goes by."""
    waiting = seam("xST", "STOP")
    assert [] == waiting.feed([Delta(0, "O")])
    assert [Delta(0, "O"), Delta(0, "Q")] == waiting.feed([Delta(0, "Q")])
    assert [Delta(0, "ST")] == waiting.feed([Delta(0, "ST")])
    assert not waiting.over()
    assert [Delta(0, "ST")] == seam("ST", "STOP").feed([Delta(0, "ST")]), "another may begin"


LETTERS = st.text("ab", max_size=6)


@given(LETTERS, LETTERS, st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3))
def test_stops_as_in_one_text(before: str, after: str, stops: list[str]) -> None:
    """Whether a stop reaches over the seam is what a matcher over the whole text says."""
    alone = StopMatcher(stops)
    alone.feed(before)
    whole = StopMatcher(stops)
    shown = whole.feed(before + after)
    if alone.matched is not None:
        return  # the lost upstream would have ended there
    text, reason = said(seam(before, *stops), *after, "")
    if whole.matched is not None and len(shown) < len(before):
        assert ("", "stop") == (text, reason)
    else:
        assert (after, "length") == (text, reason)


def test_a_replay_as_it_is() -> None:
    """But for choices that are finished."""
    whole = Seam(Rest(call=CALL, whole=True, finished=frozenset([1])))
    deltas = [Delta(0, "a"), Delta(1, "", "length")]
    assert deltas[:1] == whole.feed(deltas)


def test_usage_of_the_logical_call() -> None:
    """Each prompt once, without what was put behind it; every choice's tokens."""
    call = Call(model="m", prompts=["ab", "cd"], n=2, max_tokens=10)
    rests = [Rest(call=CALL, index=1, carried=3), Rest(call=CALL, index=2, carried=0)]
    left = Remainder(rests=rests, finished_tokens=4)
    used = [(rests[0], Usage(8, 2)), (rests[1], Usage(6, 5, cached_tokens=4))]
    assert Usage(11, 14, estimated=True) == joined_usage(call, left, used, None)
    told = joined_usage(call, left, used, Usage(20, 1, cached_tokens=7))
    assert Usage(20, 14, cached_tokens=7) == told
    guessed = [used[0], (rests[1], Usage(6, 5, estimated=True))]
    assert Usage(11, 14, estimated=True) == joined_usage(call, left, guessed, None)
    rough = msgspec.structs.replace(left, estimated=True)
    for estimated in (
        joined_usage(call, left, guessed, Usage(20, 1)),
        joined_usage(call, left, used, Usage(20, 1, estimated=True)),
        joined_usage(call, rough, used, Usage(20, 1)),
    ):
        assert Usage(20, 14, estimated=True) == estimated
    partly = joined_usage(call, left, used[:1], None)
    assert Usage(6, 9, estimated=True) == partly


def test_a_prompt_that_was_counted_with_generated_text() -> None:
    """A text is not always divided as it was generated: less what is carried, the count is an
    estimate. Ids are, and a choice of which nothing came tells the prompt itself."""
    text, ids = (Call(model="m", prompts=[prompt], n=2, max_tokens=10) for prompt in ("ab", [1, 2]))
    for call, estimated in ((text, True), (ids, False)):
        rest = Rest(call=call, index=0, carried=3)
        left = Remainder(rests=[rest])
        found = joined_usage(call, left, [(rest, Usage(5, 4))], None)
        assert Usage(2, 7, estimated=estimated) == found
        told = joined_usage(call, left, [(rest, Usage(5, 4))], Usage(3, 3))
        assert Usage(3, 7) == told
    begun, other = Rest(call=text, index=0, carried=3), Rest(call=text, index=1)
    used = [(other, Usage(3, 9)), (begun, Usage(5, 4))]
    for order in (used, used[::-1]):
        found = joined_usage(text, Remainder(rests=[begun, other]), order, None)
        assert Usage(3, 16) == found


def test_usage_of_a_silent_count_and_of_a_whole_call() -> None:
    """A count gives the prompt alone; a whole call is its own usage."""
    silent = Rest(call=CALL)
    left = Remainder(rests=[], silent=[silent], finished_tokens=6)
    assert Usage(5, 6) == joined_usage(CALL, left, [(silent, Usage(5, 1))], None)
    guessed = [(silent, Usage(5, 1, estimated=True))]
    assert Usage(5, 6, estimated=True) == joined_usage(CALL, left, guessed, None)
    whole = Rest(call=CALL, whole=True)
    usage = Usage(5, 7, cached_tokens=1)
    assert usage == joined_usage(CALL, Remainder(rests=[whole]), [(whole, usage)], None)
