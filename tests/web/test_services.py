"""Readiness: what may be missing, and what may not."""

import pytest

from baton.web.services import Engine, readiness


@pytest.mark.parametrize(
    ("store", "engine", "upstreams", "draining", "ready"),
    [
        (True, "ok", 0, False, True),
        (True, "off", 1, False, True),
        (True, "down", 1, False, True),
        (True, "down", 0, False, False),
        (True, "loading", 1, False, False),
        (True, "loading", 0, False, False),
        (True, "off", 0, False, True),
        (False, "ok", 5, False, False),
        (True, "ok", 5, True, False),
    ],
)
def test_ready_needs_the_ledger_and_somebody_who_answers(
    store: bool, engine: Engine, upstreams: int, draining: bool, ready: bool
) -> None:
    """The ledger always; an engine that runs, or upstreams beside one that died; nobody has asked
    to stop.

    Without an engine a relay is ready before it has an upstream: it can be given one.
    """
    found = readiness(store=store, engine=engine, upstreams=upstreams, draining=draining)
    assert ready == found.ready
    assert ("ready" if ready else "unready", engine) == (found.status, found.engine)
