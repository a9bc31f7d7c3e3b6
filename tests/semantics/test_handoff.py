"""What is kept of a running call, and what is left of it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton.semantics.events import Call, Delta, Logprobs
from baton.semantics.handoff import (
    NotResumable,
    Remainder,
    again,
    remainder,
    replayed,
    untouched,
)
from baton.semantics.parts import seed_behind
from baton.semantics.received import Received

DELTAS = st.lists(
    st.builds(
        Delta,
        index=st.integers(0, 3),
        text=st.text(max_size=8),
        token_ids=st.none() | st.lists(st.integers(0, 2**31 - 1), max_size=3),
    ),
    max_size=30,
)


def call(**fields: Any) -> Call:
    return Call(**{"model": "m", "prompts": ["ab"], "max_tokens": 10, **fields})


def received(call: Call, *deltas: Delta, bytes_max: int = 1000) -> Received:
    found = Received(call, bytes_max)
    for delta in deltas:
        found.add([delta])
    return found


def left(call: Call, *deltas: Delta, counted: bool = True) -> Remainder:
    return remainder(call, received(call, *deltas), counted)


@given(DELTAS)
def test_everything_received_is_kept_by_choice(deltas: list[Delta]) -> None:
    """Texts and ids of each choice join to what came for it, in order."""
    kept = received(call(n=4), *deltas)
    for index in range(4):
        mine = [delta for delta in deltas if delta.index == index]
        assert "".join(delta.text for delta in mine) == kept.text(index)
        assert [i for d in mine for i in d.token_ids or ()] == kept.token_ids(index)
    assert (not deltas) == untouched(kept)


def test_beyond_the_cap_nothing_is_kept() -> None:
    """A call that received too much frees it all and says that it cannot be resumed."""
    assert received(call(), Delta(0, "é" * 5), bytes_max=10).resumable
    kept = received(call(), Delta(0, "é" * 5), Delta(0, "", token_ids=[1]), bytes_max=10)
    assert not kept.resumable
    kept.add([Delta(0, "more")])
    with pytest.raises(AssertionError):
        kept.text(0)
    with pytest.raises(NotResumable):
        remainder(call(), kept, True)
    assert not untouched(kept)


def test_the_rest_of_a_text() -> None:
    """The prompt with what came, so many tokens fewer, no echo, and where the offsets go on."""
    asked = call(logprobs=1, temperature=0.0)
    first = Delta(0, "cd", logprobs=Logprobs(["cd"], [-1.0], [{"cd": -1.0}], [2]))
    found = left(asked, first, Delta(0, "é", token_ids=[7, 8]))
    [rest] = found.rests
    assert ["abcdé"] == rest.call.prompts
    assert (7, 3, 5) == (rest.call.max_tokens, rest.carried, rest.offset)
    assert (0.0, 1, False) == (rest.call.temperature, rest.call.logprobs, rest.whole)
    assert ([], 0) == (found.ends, found.finished_tokens)


def test_each_choice_stands_elsewhere() -> None:
    """One ended, one has all its tokens, one is in the middle, of one nothing came."""
    asked = call(n=4, max_tokens=2, seed=5)
    found = left(
        asked,
        Delta(0, "x", "stop", token_ids=[1, 0]),
        Delta(1, "xy", token_ids=[1, 2]),
        Delta(2, "x", token_ids=[1]),
    )
    assert [2, 3] == [rest.index for rest in found.rests]
    assert [["abx"], ["ab"]] == [rest.call.prompts for rest in found.rests]
    assert [(seed_behind(7, 1), 1, 1), (8, 1, 2)] == [
        (rest.call.seed, rest.call.n, rest.call.max_tokens) for rest in found.rests
    ]
    assert [Delta(1, "", "length")] == found.ends
    assert (4, False) == (found.finished_tokens, found.estimated)


def test_an_end_that_was_not_told_in_ids() -> None:
    """The token that ended a choice has no text: it is counted, as an estimate."""
    found = left(call(n=2), Delta(0, "x"), Delta(0, "", "stop"), Delta(1, "y", "length"))
    assert (12, True, []) == (found.finished_tokens, found.estimated, found.rests)
    found = left(call(), Delta(0, "y", "length"))
    assert (10, False) == (found.finished_tokens, found.estimated)
    found = left(call(), Delta(0, "", "stop"))
    assert (1, True) == (found.finished_tokens, found.estimated)
    found = left(call(), Delta(0, "xy", token_ids=[1, 2]), Delta(0, "z", "stop"))
    assert (4, True) == (found.finished_tokens, found.estimated)


def test_ids_that_were_held_back() -> None:
    """Half a character's ids are generated anew: they are behind the last text."""
    asked = call(prompts=[[1, 2]])
    [rest] = left(asked, Delta(0, "x", token_ids=[3]), Delta(0, "", token_ids=[4])).rests
    assert ([[1, 2, 3]], 1) == (rest.call.prompts, rest.carried)
    stopping = call(stop=["zzz"])
    [rest] = left(stopping, *(Delta(0, "x", token_ids=[3, 4, 5]) for _ in range(2))).rests
    assert 4 == rest.carried


def test_pieces_of_several_tokens() -> None:
    """Logprobs tell how many a piece has, but for the last one, and what came with an echo; so does
    what an upstream says of its only choice."""
    three = Logprobs(["c", "d", "e"], [-1.0] * 3, [None] * 3, [2, 3, 4])
    pieces = [Delta(0, "cde", logprobs=three), Delta(0, "f")]
    [rest] = left(call(logprobs=0), *pieces).rests
    assert (4, 6) == (rest.carried, rest.call.max_tokens)
    [rest] = left(call(logprobs=0, echo=True), Delta(0, "abcde", logprobs=three)).rests
    assert 1 == rest.carried
    found = left(call(logprobs=0), Delta(0, "c"), Delta(0, "de", "stop", logprobs=three))
    assert 3 == found.finished_tokens
    for samples, carried in ((1, 5), (2, 1)):
        asked = call(n=samples)
        kept = received(asked, Delta(0, "cdef"))
        kept.more_came(4)
        assert carried == remainder(asked, kept, True).rests[0].carried


ECHO = call(echo=True, n=2)


@pytest.mark.parametrize(
    ("came", "prompt", "lead"),
    [([], "ab", "ab"), (["a"], "ab", "b"), (["ab"], "ab", ""), (["abc"], "abc", "")],
)
def test_an_echo_belongs_to_the_request(came: list[str], prompt: str, lead: str) -> None:
    """What of it came is not sent again; it is no generated token, also not glued to one."""
    [rest, _] = left(ECHO, *(Delta(0, text) for text in came)).rests
    assert (prompt, lead, False) == (rest.call.prompts[0], rest.lead, rest.call.echo)
    assert len(prompt) - 2 == rest.carried


def test_an_echo_of_which_nothing_came() -> None:
    """Of a text it is ours to give; of ids, or with logprobs, it is asked for again."""
    [rest] = left(call(echo=True)).rests
    assert ("ab", False) == (rest.lead, rest.call.echo)
    for fields in ({"prompts": [[1]]}, {"logprobs": 0}):
        [rest] = left(call(echo=True, **fields)).rests
        assert ("", True) == (rest.lead, rest.call.echo)


def test_an_echo_without_tokens_is_given_whole() -> None:
    """A choice that is to generate nothing has not ended before its echo."""
    found = left(call(echo=True, max_tokens=0), Delta(0, "a"))
    assert (["b"], []) == ([rest.lead for rest in found.rests], found.ends)
    found = left(call(echo=True, max_tokens=0), Delta(0, "ab"))
    assert ([], [Delta(0, "", "length")]) == (found.rests, found.ends)


@pytest.mark.parametrize(
    ("stops", "tail"), [(None, ""), (["no"], "de"), (["yes", "no"], "cde"), (["x" * 9], "cde")]
)
def test_the_end_of_what_came(stops: list[str] | None, tail: str) -> None:
    """As much as a stop may have begun in."""
    [rest] = left(call(stop=stops), *(Delta(0, text) for text in "cde")).rests
    assert tail == rest.tail


def test_an_echo_of_ids_with_logprobs() -> None:
    """Not begun: all of it is asked for. Begun: offsets go on behind it."""
    asked = call(prompts=[[1]], echo=True, logprobs=0, n=2)
    echo = Delta(0, "ab", logprobs=Logprobs(["ab"], [None], [None], [0]))
    rest, other = left(asked, echo, Delta(0, "c", token_ids=[9])).rests
    assert ([[1, 9]], 3, False) == (rest.call.prompts, rest.offset, rest.call.echo)
    assert ([[1]], True) == (other.call.prompts, other.call.echo)
    [rest] = left(call(prompts=[[1]], echo=True, logprobs=0), echo).rests
    assert ([[1]], 2, False, 0) == (
        *(rest.call.prompts, rest.offset),
        *(rest.call.echo, rest.carried),
    )
    with pytest.raises(NotResumable, match="echo"):
        left(call(echo=True, logprobs=0), Delta(0, "a"))


@pytest.mark.parametrize(
    "fields",
    [
        {"presence_penalty": 0.1},
        {"frequency_penalty": 0.1},
        {"scored": True},
        {"extra": {"grammar": "root ::= [0-9]+"}},
        {"extra": {"top_k": 5, "repetition_penalty": 1.1}},
        {"prompts": [[1]], "stop": ["x"]},
    ],
)
def test_state_outside_the_text(fields: dict[str, Any]) -> None:
    """What counts from the first token on cannot begin in the middle; before it, it can."""
    asked = call(**fields)
    with pytest.raises(NotResumable):
        left(asked, Delta(0, "x", token_ids=[1]))
    assert 1 == len(left(asked).rests)


def test_fields_that_look_at_one_token() -> None:
    """They mean the same in the middle, and go with the rest."""
    [rest] = left(call(extra={"top_k": 5}), Delta(0, "x")).rests
    assert {"top_k": 5} == rest.call.extra


def test_prompts_of_ids_need_ids() -> None:
    """Text cannot be put behind ids."""
    with pytest.raises(NotResumable, match="not told"):
        left(call(prompts=[[1]]), Delta(0, "x"))


def test_prompts_that_nobody_counted() -> None:
    """A prompt whose choices are all whole is asked for one token more; one that a rest tells is
    not; nor any that is known."""
    asked = call(prompts=["ab", "cd"], n=2, logprobs=1, echo=True, stop=["x"])
    came = [Delta(0, "ab", "stop"), Delta(1, "ab", "stop"), Delta(2, "cd", "stop")]
    assert [] == left(asked, *came).silent
    found = left(asked, *came, counted=False)
    assert [3] == [rest.index for rest in found.rests]
    [silent] = found.silent
    assert (["ab"], 1, None, False) == (
        silent.call.prompts,
        silent.call.max_tokens,
        silent.call.logprobs,
        silent.call.echo,
    )
    came = [Delta(0, "ab", "stop"), Delta(2, "cd", "stop"), Delta(3, "cd", "stop")]
    found = left(asked, *came, counted=False)
    assert [(2, ["cd"])] == [(rest.index, rest.call.prompts) for rest in found.silent]


def test_the_whole_call() -> None:
    """Nothing came: the very call; a replay knows what is finished."""
    asked = call(n=2)
    [rest] = again(asked).rests
    assert asked is rest.call
    assert rest.whole
    [rest] = replayed(asked, received(asked, Delta(1, "x", "stop"), Delta(0, "y"))).rests
    assert rest.whole
    assert {1} == rest.finished
