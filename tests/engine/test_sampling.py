"""The sampler against oracles that sort everything, and its figures against the definition."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from baton.engine.sampling import (
    Floats,
    Sampling,
    adjusted,
    choose,
    likeliest,
    log_normaliser,
    nucleus,
    uniform,
)

rows = st.builds(
    lambda size, seed, spread, digits: np.round(
        np.random.default_rng(seed).normal(size=size) * spread, digits
    ).astype(np.float32),
    st.integers(1, 2000),
    st.integers(0, 10_000),
    st.sampled_from([0.0, 0.1, 1.0, 3.0, 8.0]),
    st.integers(0, 4),  # few digits make many equal weights
)


def ranked(row: Floats) -> list[int]:
    """Greatest first, lower id first among equals."""
    return sorted(range(row.size), key=lambda token: (-row[token], token))


@settings(max_examples=200, deadline=None)
@given(rows, st.sampled_from([0.0, 1e-9, 0.1, 0.5, 0.9, 0.99, 0.999999]))
def test_nucleus_is_exact(row: Floats, top_p: float) -> None:
    """The smallest set of likeliest tokens that holds top_p, with ties cut by id."""
    weights = np.exp(row - row.max())
    order = ranked(weights)
    ends = np.cumsum(weights[order].astype(np.float64))
    wanted = top_p * float(weights.sum(dtype=np.float64))
    size = min(int(np.searchsorted(ends, wanted, "left")) + 1, row.size)
    assert set(order[:size]) == set(nucleus(weights, top_p).tolist())


@settings(max_examples=100, deadline=None)
@given(rows, st.integers(0, 30))
def test_likeliest_is_a_sort(row: Floats, count: int) -> None:
    """The k likeliest are those that sorting the whole row gives, in order."""
    assert ranked(row)[:count] == likeliest(row, count)


@settings(max_examples=100, deadline=None)
@given(rows, st.floats(0, 1, exclude_max=True))
@example(np.round(np.random.default_rng(0).normal(size=49) * 8).astype(np.float32), 1 - 2**-53)
def test_a_draw_inverts_the_cumulated_weights(row: Floats, chance: float) -> None:
    """At temperature 1 the token drawn is the one whose share of [0, 1) holds the chance."""
    weights = np.exp((row - row.max()) / np.float32(1)).astype(np.float64)
    ends = np.cumsum(weights) / weights.sum()
    drawn = choose(row, Sampling(), {}, chance)
    before = ends[drawn - 1] if drawn else 0.0
    assert before - 1e-9 <= chance <= ends[drawn] + 1e-9


def test_draws_follow_the_distribution() -> None:
    """Over many counters the frequencies are those of softmax(row / temperature)."""
    row, draws = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32)), 4000
    how = Sampling(temperature=0.5)
    found = [choose(row, how, {}, uniform(7, 0, position)) for position in range(draws)]
    wanted = np.array([0.25, 0.09, 0.0225, 0.0025])
    expected = wanted / wanted.sum() * draws
    chi_squared = float(((np.bincount(found, minlength=4) - expected) ** 2 / expected).sum())
    assert chi_squared < 16.3  # p = 0.001 with 3 degrees of freedom


def test_greedy_takes_the_first_of_equals() -> None:
    """Temperature 0 is argmax whatever the chance and top_p."""
    row = np.array([0.0, 3.0, 3.0, 1.0], np.float32)
    how = Sampling(temperature=0.0, top_p=0.1)
    assert [1, 1] == [choose(row, how, {}, chance) for chance in (0.0, 0.999)]


def test_a_tiny_temperature_is_finite() -> None:
    """No overflow where the temperature is nearly nothing."""
    row = np.array([-50.0, 40.0, 39.0], np.float32)
    assert 1 == choose(row, Sampling(temperature=1e-4), {}, 0.999999)


def test_penalties_follow_openais_formula() -> None:
    """logit −= presence once + frequency × count, for generated tokens alone."""
    row = np.zeros(4, np.float32)
    how = Sampling(presence_penalty=0.5, frequency_penalty=0.25, bias={3: -7.0})
    assert [0.0, -0.75, -1.25, -7.0] == adjusted(row, how, {1: 1, 2: 3}).tolist()
    assert not row.any(), "the raw row is what logprobs are of"


def test_without_bias_and_penalties_nothing_is_copied() -> None:
    """The common case costs no pass over the row."""
    row = np.zeros(4, np.float32)
    assert adjusted(row, Sampling(), {1: 5}) is row


def test_uniform_depends_on_each_argument() -> None:
    """Another seed, sample or position is another number; the same one is the same."""
    found = {uniform(*counter) for counter in [(1, 0, 0), (2, 0, 0), (1, 1, 0), (1, 0, 1)]}
    assert 4 == len(found)
    assert uniform(-5, 3, 9) == uniform(-5, 3, 9)
    assert all(0 <= number < 1 for number in found)


@pytest.mark.parametrize("shift", [0.0, 1000.0, -1000.0])
def test_log_normaliser(shift: float) -> None:
    """The logs of softmax, also far from zero."""
    row = np.array([1.0, 2.0, 3.0], np.float32) + np.float32(shift)
    wanted = shift + math.log(math.exp(1) + math.exp(2) + math.exp(3))
    assert wanted == pytest.approx(log_normaliser(row), abs=1e-4)
