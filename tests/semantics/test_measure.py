"""Where a text has more tokens than were asked for."""

import itertools

import pytest

from baton.semantics.events import Call, Delta
from baton.semantics.measure import Meter, Texts

CALL = Call(model="m", prompts=["p"], max_tokens=4)


def measured(text: str, tokens_max: int) -> tuple[int, int]:
    """By a vocabulary in which two characters are a token."""
    return -(-len(text) // 2), min(len(text), 2 * tokens_max)


def shown(meter: Meter, deltas: list[Delta]) -> tuple[list[Delta], int]:
    """What is seen of them, and how often it was measured."""
    found, times = [], 0
    for delta in deltas:
        size = None
        if (text := meter.note(delta)) is not None:
            times += 1
            size = measured(text, meter.tokens_max)
        seen = meter.show(delta, size)
        if seen is not None:
            found.append(seen)
    return found, times


def pieces(text: str, cuts: tuple[int, ...]) -> list[Delta]:
    places = [0, *cuts, len(text)]
    return [Delta(0, text[a:b]) for a, b in itertools.pairwise(places)]


@pytest.mark.parametrize("text", ["", "ab", "abcdefg", "abcdefgh", "abcdefghi", "é" * 20])
def test_it_is_cut_at_one_place_however_it_came(text: str) -> None:
    """In front of the first token too many, with finish_reason length; else nothing is changed."""
    for count in range(3):
        for cuts in itertools.combinations(range(1, len(text)), count):
            meter = Meter(CALL, 4, 0)
            deltas = [*pieces(text, cuts), Delta(0, "", "stop")]
            found, _ = shown(meter, deltas)
            assert text[:8] == "".join(delta.text for delta in found)
            reasons = [delta.finish_reason for delta in found if delta.finish_reason]
            assert (["length"] if len(text) > 8 else ["stop"]) == reasons
            assert (len(text) > 8) == bool(meter.cuts)
            assert not meter.over


@pytest.mark.parametrize("length", range(8, 15))
def test_slack_lets_pass_what_is_hardly_too_much(length: int) -> None:
    """A server that is trusted is cut where it plainly overruns, and there as one that is not; else
    nothing is lost. However it came."""
    text = "abcdefghijklmn"[:length]
    expected = (text, "stop") if length <= 12 else ("abcdefgh", "length")
    for count in range(4):
        for cuts in itertools.combinations(range(1, length), count):
            deltas = [*pieces(text, cuts), Delta(0, "", "stop")]
            found, _ = shown(Meter(CALL, 4, 2), deltas)
            assert expected == ("".join(d.text for d in found), found[-1].finish_reason), cuts
            assert [None] * (len(found) - 1) == [d.finish_reason for d in found[:-1]]
            assert all(delta.text for delta in found[:-1]), "what is held back is not sent empty"


def test_what_cannot_be_measured_is_shown() -> None:
    """Also what was held back before."""
    meter = Meter(CALL, 4, 2)
    first, second = Delta(0, "abcdefghij"), Delta(0, "kl")
    assert (meter.note(first), meter.note(second)) == ("abcdefghij", "abcdefghijkl")
    meter = Meter(CALL, 4, 2)
    text = meter.note(first)
    assert text is not None
    assert Delta(0, "abcdefgh") == meter.show(first, measured(text, 4))
    assert meter.note(second) is not None
    assert Delta(0, "ijkl") == meter.show(second)


def test_it_is_measured_a_few_times() -> None:
    """Not with every piece."""
    call = Call(model="m", prompts=["p"], max_tokens=1000)
    found, times = shown(Meter(call, 1000, 0), [Delta(0, "ab") for _ in range(1001)])
    assert 2000 == sum(len(delta.text) for delta in found)
    assert times < 12


def test_each_choice_by_itself() -> None:
    """One that is cut ends nothing but itself; it is over when all that is wanted is there."""
    call = Call(model="m", prompts=["p", "q"], max_tokens=2)
    meter = Meter(call, 2, 0)
    found, _ = shown(meter, [Delta(0, "abcdef"), Delta(1, "ab"), Delta(0, "gh"), Delta(1, "cd")])
    assert [(0, "abcd", "length"), (1, "ab", None), (1, "cd", None)] == [
        (delta.index, delta.text, delta.finish_reason) for delta in found
    ]
    before = meter.over
    found, _ = shown(meter, [Delta(1, "", "stop")])
    assert [(1, "stop")] == [(delta.index, delta.finish_reason) for delta in found]
    assert (False, True) == (before, meter.over)
    assert (4, 1) == (meter.total_max, meter.cuts)


def test_samples_are_choices_too() -> None:
    """All of them together have as many times the tokens; the last that is wanted ends it."""
    call = Call(model="m", prompts=["p", "q"], max_tokens=2, n=3)
    meter = Meter(call, 2, 0)
    assert 2 * 2 * 3 == meter.total_max
    over = []
    for index in range(6):
        shown(meter, [Delta(index, "abcdef")])
        over.append(meter.over)
    assert ([False] * 5 + [True], 6) == (over, meter.cuts)


def test_an_echo_does_not_count() -> None:
    """Nor where it ends in the middle of a piece."""
    call = Call(model="m", prompts=["0123456789"], max_tokens=2, echo=True)
    for cut in range(1, 16):
        found, _ = shown(Meter(call, 2, 0), pieces("0123456789abcdef", (cut,)))
        assert "0123456789abcd" == "".join(delta.text for delta in found), cut


def test_texts_of_all_choices() -> None:
    """In their order, without the echo; not to be told where it is of ids."""
    call = Call(model="m", prompts=["ab", "c"], max_tokens=2, n=2, echo=True)
    texts = Texts(call)
    for delta in (Delta(2, "cx"), Delta(0, "a"), Delta(0, "by"), Delta(2, "", "stop")):
        texts.add(delta)
    assert ["y", "", "x", ""] == texts.all()
    assert Texts(Call(model="m", prompts=[[1]], max_tokens=1, echo=True)).all() is None
    texts = Texts(Call(model="m", prompts=[[1]], max_tokens=1))
    assert [""] == texts.all()
    texts.add(Delta(0, "xy"))
    assert ["xy"] == texts.all()
