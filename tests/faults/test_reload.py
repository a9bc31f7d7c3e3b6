"""Reloads under load: workers come and go on one socket, and no request fails."""

import pathlib

import pytest

from tests import running
from tests.asking import Endpoint
from tests.faults.accounting import offences, read_book
from tests.faults.conftest import (
    FAKE_MODEL,
    PRICE,
    add_upstream,
    budget_key,
    set_prices,
    until_known,
)
from tests.faults.load import Load
from tests.test_supervisor import swap

THREADS_EACH = 8
RELOADS = [
    pytest.param(3, 150, id="3"),
    pytest.param(20, 2_000, id="20", marks=pytest.mark.soak),
]


@pytest.mark.parametrize(("reloads", "requests"), RELOADS)
def test_reloads(home: pathlib.Path, fake_url: str, reloads: int, requests: int) -> None:
    """Streams and whole answers, of the engine and of an upstream: none refused, none cut."""
    with running.serving(home, {}) as server:
        set_prices(server)
        add_upstream(server, fake_url)
        key = budget_key(server)
        until_known(server, FAKE_MODEL)
        models = [server.model, FAKE_MODEL]
        load = Load(Endpoint(server.base_url, key, server.model), models, THREADS_EACH)
        with load.running():
            for _ in range(reloads):
                load.more(requests // reloads)
                swap(server)
        assert {} == dict(load.refused)
        assert [] == load.broken_streams
        assert len(load.whole) >= requests
    assert [] == offences(load.whole, read_book(home), PRICE)
