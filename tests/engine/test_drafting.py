"""What a text foretells of itself, and when a draft of it pays. Pure."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton.engine.drafting import NGRAM, NGRAM_SHORT, SIZES, Costs, Lookup

BASE_S = {1: 0.021, 2: 0.026, 4: 0.035, 8: 0.048}
TOKENS = st.lists(st.integers(0, 3), max_size=60)


def true_s(size: int, depth: int) -> float:
    """What the default model takes on one core, about."""
    return BASE_S[size] + (size + 1) * depth * 6e-6


def followed(tokens: list[int]) -> int | None:
    """What came after the latest earlier place that is like the end, by plain search."""
    for length in (NGRAM, NGRAM_SHORT):
        for end in range(len(tokens) - 1, length - 1, -1):
            if end >= NGRAM and tokens[end - length : end] == tokens[-length:]:
                return tokens[end]
    return None


def spent_s(prompt: list[int], text: list[int]) -> tuple[float, float]:
    """Seconds of a stream that says `text`, with drafts and without."""
    costs, found, at, with_s = Costs(BASE_S), Lookup(prompt), 1, 0.0
    found.feed(text[:1])
    while at < len(text):
        depth = len(prompt) + at
        size = found.size(costs, depth, len(text) - at)
        drafted = found.draft(size - 1) if size > 1 else []
        took, kept = true_s(size, depth), 1
        costs.measured(size, depth, took)
        while kept < size and drafted[kept - 1] == text[at + kept - 1]:
            kept += 1
        found.feed(text[at : at + kept])
        with_s, at = with_s + took, at + kept
    without_s = sum(true_s(1, len(prompt) + at) for at in range(1, len(text)))
    return with_s, without_s


@given(TOKENS)
def test_what_followed_before_is_foretold(tokens: list[int]) -> None:
    """The latest place that is alike counts, three tokens before two; none, nothing."""
    found, wanted = Lookup(tokens), followed(tokens)
    if wanted is None:
        assert 1 == found.size(Costs({1: 1.0, 8: 1.0}), 0, 99)
    else:
        assert [wanted] == found.draft(1)


@given(TOKENS, TOKENS, st.integers(1, 5), st.integers(1, 9))
def test_it_does_not_matter_how_tokens_are_fed(
    prompt: list[int], text: list[int], portion: int, room: int
) -> None:
    """One by one or some at a time: the same draft. It never outgrows the room."""
    costs, one, some = Costs(BASE_S), Lookup(prompt), Lookup(prompt)
    for token in text:
        one.feed([token])
    for at in range(0, len(text), portion):
        some.feed(text[at : at + portion])
    size = one.size(costs, 100, room)
    assert size == some.size(costs, 100, room)
    assert size == 1 or size in SIZES
    assert size <= room
    if size > 1:
        assert one.draft(size - 1) == some.draft(size - 1)
    assert len(text) == one.fed == some.fed


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.integers(1, 20))
def test_a_text_that_repeats_itself_goes_on_so(period: list[int], count: int) -> None:
    """Beyond what stands there, too."""
    text = period * 12
    found = Lookup([])
    found.feed(text)
    wanted = (period * (count + 1))[:count]
    assert wanted == found.draft(count)


def test_a_text_that_is_said_again_costs_half() -> None:
    """A prompt's end is asked for again, with a word changed here and there."""
    dice = random.Random(1)
    prompt = dice.choices(range(40_000), k=150)
    said = [dice.randrange(40_000) if at % 25 == 24 else token for at, token in enumerate(prompt)]
    with_s, without_s = spent_s(prompt, said)
    assert with_s < without_s / 1.8


@pytest.mark.parametrize("words", [5, 30, 300])
@pytest.mark.parametrize("seed", range(5))
def test_a_text_of_chance_loses_little(words: int, seed: int) -> None:
    """Pairs come again all the time, what follows them does not."""
    dice = random.Random(seed)
    weights = [1 / (rank + 3) for rank in range(words)]
    prompt, text = (dice.choices(range(words), weights, k=count) for count in (60, 300))
    with_s, without_s = spent_s(prompt, text)
    assert with_s < without_s * 1.02


def test_drafts_end_soon_when_the_text_turns() -> None:
    """From repeating to chance: a few tokens are thrown away, not one in each step."""
    dice = random.Random(1)
    prompt = dice.choices(range(40_000), k=60)
    turned = prompt + dice.choices(range(3), k=200)
    plain_s = spent_s(prompt, prompt)[0]
    with_s, without_s = spent_s(prompt, turned)
    again_s = spent_s(prompt, prompt)[1]
    assert with_s - plain_s < (without_s - again_s) * 1.03


def test_steps_of_which_more_is_dear_have_none() -> None:
    """Where a second token costs as much as the first, certainty gains nothing."""
    found = Lookup([])
    found.feed([1, 2, 3] * 20)
    assert 8 == found.size(Costs(BASE_S), 0, 99)
    assert 1 == found.size(Costs({size: size * 0.02 for size in (1, 2, 4, 8)}), 0, 99)
    assert 2 == found.size(Costs({1: 0.02, 2: 0.025}), 0, 99), "only what was tried"


@pytest.mark.parametrize("slow", [0.5, 1.0, 3.0])
def test_costs_follow_what_is_measured(slow: float) -> None:
    """At every depth and for every size, also one that was not used."""
    costs = Costs(BASE_S)
    for turn in range(400):
        size, depth = (1, 2, 4)[turn % 3], turn * 5
        costs.measured(size, depth, slow * true_s(size, depth))
    for size in BASE_S:
        assert costs.seconds(size, 1500) == pytest.approx(slow * true_s(size, 1500), rel=0.15)


def test_one_long_step_is_not_believed() -> None:
    """Nor does one that took no time leave nothing."""
    costs = Costs(BASE_S)
    costs.measured(4, 0, 100.0)
    assert costs.seconds(4, 0) < BASE_S[4] * 1.2
    for _ in range(3):
        costs.measured(1, 0, 0.0)
    assert costs.seconds(1, 0) > 0
