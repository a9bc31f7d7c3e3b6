"""Numbering of choices, and the ranking of candidates."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baton.semantics.choices import index_of, mean_logprob, pick_best
from baton.semantics.events import Delta


@given(st.integers(0, 99), st.integers(1, 9), st.data())
def test_index_and_place_are_inverse(prompt: int, n: int, data: st.DataObject) -> None:
    """Prompt-major, in both directions."""
    sample = data.draw(st.integers(0, n - 1))
    assert divmod(index_of(prompt, sample, n), n) == (prompt, sample)


def test_numbers_follow_the_order_of_prompts_then_samples() -> None:
    """Two prompts with n=2: 0,1 belong to the first, 2,3 to the second."""
    assert [index_of(p, s, 2) for p in range(2) for s in range(2)] == [0, 1, 2, 3]
    with pytest.raises(AssertionError):
        index_of(0, 2, 2)


def candidate(index: int, score: float | None, tokens: int) -> list[Delta]:
    """A choice in two deltas."""
    return [
        Delta(index, f"{index}a", token_ids=[7] * (tokens - 1)),
        Delta(index, f"{index}b", "stop", token_ids=[7], score=score),
    ]


def test_the_highest_mean_wins_and_equals_keep_their_order() -> None:
    """Mean per token, not sum: the long one with the greater sum of small losses may win."""
    deltas = [
        *candidate(0, -3.0, 2),  # mean -1.5
        *candidate(1, -4.0, 4),  # mean -1.0
        *candidate(2, -2.0, 2),  # mean -1.0
        *candidate(3, None, 2),
    ]
    texts = [(d.index, d.text) for d in pick_best(deltas, 3, 4)]
    assert texts == [(0, "1a"), (0, "1b"), (1, "2a"), (1, "2b"), (2, "0a"), (2, "0b")]


scores = st.none() | st.floats(-9, 0)


@settings(max_examples=200, deadline=None)
@given(st.data(), st.integers(1, 3), st.integers(1, 4), st.integers(0, 2), st.randoms())
def test_ranking_is_within_each_prompt(
    data: st.DataObject, prompts: int, n: int, more: int, mixer: object
) -> None:
    """Each choice is one whole candidate of its own prompt; none is better than what was picked."""
    candidates = n + more
    given_scores = data.draw(
        st.lists(scores, min_size=prompts * candidates, max_size=prompts * candidates)
    )
    whole = [candidate(index, score, 2) for index, score in enumerate(given_scores)]
    deltas = [part[0] for part in whole] + [part[1] for part in whole]
    picked = pick_best(deltas, n, candidates)
    assert sorted({d.index for d in picked}) == list(range(prompts * n))
    for prompt in range(prompts):
        values = [
            float("-inf") if s is None else s / 2
            for s in given_scores[prompt * candidates : (prompt + 1) * candidates]
        ]
        chosen = [
            mean_logprob([d for d in picked if d.index == prompt * n + sample])
            for sample in range(n)
        ]
        assert chosen == sorted(values, reverse=True)[:n]
    for index in range(prompts * n):
        first, last = (d for d in picked if d.index == index)
        assert first.text[:-1] == last.text[:-1]


def test_tokens_may_be_told() -> None:
    """A told count goes before ids, for upstreams that tell no ids."""
    assert mean_logprob([Delta(0, "x", score=-4.0, scored_tokens=8)]) == -0.5
    assert mean_logprob([Delta(0, "x", score=-4.0)]) == float("-inf")
    assert mean_logprob([]) == float("-inf")
    assert pick_best([], 1, 2) == []
