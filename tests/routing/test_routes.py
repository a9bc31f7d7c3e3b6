"""Models and their candidates."""

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
    assert (Candidate(EMBEDDED, "tiny"),) == routes.candidates("tiny")
    assert () == routes.candidates("unknown")


def test_candidates_stand_by_priority() -> None:
    """The lower number first, whatever the weights; equals as they were configured."""
    records = [
        record("late", {"m": "x"}, 1, 1000),
        record("early", {"m": "y"}, 0, 1),
        record("too", {"m": "z"}, 0, 300),
    ]
    found = Routes(records, None).candidates("m")
    assert ["early", "too", "late"] == [candidate.upstream for candidate in found]
    assert Candidate("early", "y", 0, 1) == found[0]
