"""Models and their candidates."""

from collections import Counter

from baton.routing.routes import EMBEDDED, Candidate, Routes
from baton.stores.base import UpstreamRecord


def record(
    name: str, models: dict[str, str], priority: int = 0, weight: int = 100
) -> UpstreamRecord:
    return UpstreamRecord(
        name=name, url="http://x", dialect="openai", models=models, priority=priority, weight=weight
    )


def test_the_embedded_model_comes_first() -> None:
    """Every public name is listed once, the embedded one at the head."""
    routes = Routes([record("a", {"m": "x"}), record("b", {"m": "y", "k": "z"})], "tiny")
    assert ("tiny", "m", "k") == routes.models
    assert (Candidate(EMBEDDED, "tiny"),) == routes.candidates("tiny", 1)
    assert () == routes.candidates("unknown", 1)


def test_lower_priority_numbers_are_tried_first() -> None:
    """Weight never lifts a candidate over one of better priority."""
    routes = Routes([record("late", {"m": "x"}, 1, 1000), record("early", {"m": "x"}, 0, 1)], None)
    for seed in range(50):
        assert ["early", "late"] == [c.upstream for c in routes.candidates("m", seed)]


def test_the_draw_is_repeatable_and_follows_the_weights() -> None:
    """Equal seeds give equal orders; over many seeds the first place is shared by weight."""
    routes = Routes([record("a", {"m": "x"}, 0, 300), record("b", {"m": "x"}, 0, 100)], None)
    assert routes.candidates("m", 5) == routes.candidates("m", 5)
    first = Counter(routes.candidates("m", seed)[0].upstream for seed in range(4000))
    assert 2800 < first["a"] < 3200


def test_weight_zero_is_only_a_last_resort() -> None:
    """A drained upstream stays in the list, behind all others of its priority."""
    routes = Routes([record("a", {"m": "x"}, 0, 0), record("b", {"m": "x"}, 0, 1)], None)
    for seed in range(50):
        assert ["b", "a"] == [c.upstream for c in routes.candidates("m", seed)]
