"""How long a chunk takes: what was measured is foreseen, however deep, and followed when it
changes."""

import random

import pytest

from baton.engine.pace import TILE_TOKENS, Line, Pace

BUDGET_S = 0.085


def true_s(tokens: int, depth: int) -> float:
    """One core's seconds for the default model, about."""
    return 0.015 + 0.006 * tokens + 0.000_015 * tokens * depth


def prompt_of(tokens: int, pace: Pace, slow: float, scatter: float = 0.0) -> list[float]:
    """A whole prompt in chunks of the budget: what each took."""
    dice, depth, found = random.Random(1), 0, list[float]()
    while depth < tokens:
        count = min(pace.tokens(BUDGET_S, depth), tokens - depth)
        took = slow * true_s(count, depth) * (1 + scatter * dice.random())
        pace.measured(count, depth, took)
        depth += count
        found.append(took)
    return sorted(found)


def test_begins_with_what_the_start_measured() -> None:
    """A step's own time and the tokens', at any depth, by either kernel."""
    pace = Pace(2.0, 1.0)
    assert [12.0, 102.0] == [pace.seconds(10, 0), pace.seconds(100, 500)]
    assert [8, 1, 1] == [pace.tokens(room, 300) for room in (10.0, 3.0, 0.5)]


@pytest.mark.parametrize("scatter", [0.0, 0.2])
@pytest.mark.parametrize("slow", [0.5, 1.0, 1.5])
def test_chunks_keep_to_the_budget_all_along_a_prompt(slow: float, scatter: float) -> None:
    """Though each token costs six times as much at its end, and nobody said so before."""
    took = prompt_of(2000, Pace(0.015, 0.006), slow, scatter)
    assert took[int(len(took) * 0.99)] < BUDGET_S * (1.15 + scatter)
    assert took[len(took) // 2] > BUDGET_S * 0.6, "and use most of it"


def test_a_new_speed_is_followed_within_a_few_steps() -> None:
    """Both ways."""
    line = Line(0.015, 0.006)
    for slow in (3.0, 1.0):
        for _ in range(15):
            line.measured(8, 100, slow * true_s(8, 100))
        assert line.seconds(8, 100) == pytest.approx(slow * true_s(8, 100), rel=0.1)


def test_one_long_step_is_not_believed() -> None:
    """The machine did something else meanwhile: the next chunk is hardly smaller."""
    pace = Pace(0.015, 0.006)
    before = pace.tokens(BUDGET_S, 0)
    pace.measured(before, 0, 20 * true_s(before, 0))
    assert before > pace.tokens(BUDGET_S, 0) > before * 0.75


def test_kernels_have_a_pace_each() -> None:
    """Slow small chunks say nothing of tiled ones; these are taken where one fits."""
    pace = Pace(0.0, 1.0)
    for _ in range(30):
        pace.measured(TILE_TOKENS - 1, 1000, 1000.0)
    assert pace.seconds(TILE_TOKENS, 1000) == TILE_TOKENS
    assert TILE_TOKENS == pace.tokens(TILE_TOKENS, 1000)
    assert TILE_TOKENS // 2 > pace.tokens(TILE_TOKENS - 1, 1000)
    fast = Pace(0.0, 1.0)
    for _ in range(30):
        fast.measured(TILE_TOKENS - 1, 0, 1.0)
    assert TILE_TOKENS - 1 == fast.tokens(TILE_TOKENS - 1, 0)


def test_strange_measurements_leave_a_usable_pace() -> None:
    """A clock that stands still, or an hour's sleep of the machine."""
    pace = Pace(0.0, 0.006)
    for seconds in (0.0, 3600.0, 0.0, 0.0):
        pace.measured(10, 100, seconds)
        assert 1 <= pace.tokens(0.1, 100)
        assert 0 < pace.seconds(10, 100)
