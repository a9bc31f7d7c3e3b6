"""Strips, bars and lines: every slot in its place, the worst is the highest."""

import itertools
from typing import Any

from baton.stores.history import UpstreamSlot
from baton.web.admin_history import STATES, HistorySlot, shown
from baton.web.console.health import HEIGHTS, bars, lines, strip

SPAN_S = 60


def slots(*given: dict[str, Any]) -> list[HistorySlot]:
    return [
        shown(UpstreamSlot(upstream="gpu", start_s=n * SPAN_S, **each))
        for n, each in enumerate(given)
    ]


FINE = {"requests": 2, "first": {4: 2}}
BAD = {"requests": 1, "failed_calls": 3, "lost_streams": 1, "handoffs": 1, "ejections": 2}


def test_a_strip() -> None:
    """Slots of one state are one run; none is left out, and sums are of all."""
    one = strip("gpu", slots({}, FINE, FINE, BAD, {}), SPAN_S)
    assert [("idle", 0, 1), ("healthy", 1, 2), ("ejected", 3, 1), ("idle", 4, 1)] == [
        (run.state, run.x, run.width) for run in one.runs
    ]
    assert all(before.until_us == after.from_us for before, after in itertools.pairwise(one.runs))
    assert (5, 5, 4, 1, 2) == (one.width, one.requests, one.failures, one.handoffs, one.ejections)
    assert ["ejected", "healthy", "idle"] == one.states
    assert [] == strip("gpu", [], SPAN_S).runs


def test_heights_tell_states_apart() -> None:
    """Without colours, too."""
    assert len(STATES) == len(set(HEIGHTS.values()))
    assert set(STATES) == HEIGHTS.keys()
    run = strip("gpu", slots(BAD), SPAN_S).runs[0]
    assert HEIGHTS["ejected"] == run.height


def test_bars_stand_on_each_other() -> None:
    """The highest slot is the full height."""
    found = bars(slots(FINE, BAD, {"failed_calls": 1}), ("failed_calls", "lost_streams"))
    assert 4 == found.most
    assert [
        ("failed_calls", 1, 25.0, 75.0),
        ("lost_streams", 1, 0.0, 25.0),
        ("failed_calls", 2, 75.0, 25.0),
    ] == [(one.name, one.x, one.y, one.height) for one in found.bars]
    assert ([], 0) == (bars([], ("requests",)).bars, bars([], ("requests",)).most)


def test_lines_have_gaps() -> None:
    """A slot without a value ends a line; nothing is drawn of nothing."""
    names = ("first_token_p50_ms",)
    found = lines(slots(FINE, FINE, {}, {"first": {5: 1}}), names)
    path = found.paths["first_token_p50_ms"]
    assert (2, 1) == (path.count("M"), path.count("L"))
    assert path.startswith("M0 ")
    assert path.endswith("M3 6.0h1")
    assert ({}, None) == (lines(slots({}), names).paths, lines(slots({}), names).most)
