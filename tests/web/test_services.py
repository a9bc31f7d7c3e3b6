"""Readiness: what may be missing, and what may not."""

import pytest

from baton.web.services import readiness


@pytest.mark.parametrize(
    ("store", "engine", "upstreams", "draining", "ready"),
    [
        (True, True, 0, False, True),
        (True, None, 1, False, True),
        (True, False, 1, False, True),
        (True, False, 0, False, False),
        (True, None, 0, False, True),
        (False, True, 5, False, False),
        (True, True, 5, True, False),
    ],
)
def test_ready_needs_the_ledger_and_somebody_who_answers(
    store: bool, engine: bool | None, upstreams: int, draining: bool, ready: bool
) -> None:
    """The ledger always; an engine that runs, or upstreams beside it; nobody has asked to stop.

    Without an engine a relay is ready before it has an upstream: it can be given one.
    """
    found = readiness(store=store, engine=engine, upstreams=upstreams, draining=draining)
    assert ready == found.ready
    assert ("ready" if ready else "unready") == found.status


def test_a_missing_engine_is_off_or_down() -> None:
    """Switched off is not an outage."""
    states = [
        readiness(store=True, engine=each, upstreams=1).engine for each in (None, False, True)
    ]
    assert ["off", "down", "ok"] == states
