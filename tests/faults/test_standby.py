"""A standby that had not received the last seconds takes PostgreSQL's place under load.

Nodes go on without a restart, and give it again what it lacks: their journals have it. Whatever
was answered is on the ledger once, and at its price.
"""

import pathlib
from collections.abc import Iterator

import pytest

from tests.asking import Endpoint
from tests.faults.accounting import offences, read_server_book
from tests.faults.conftest import FAKE_MODEL, PRICE, budget_key
from tests.faults.load import Load
from tests.faults.test_database_gone import ANSWERS, THREADS, relay
from tests.servers import Postgres, postgres


@pytest.fixture
def primary() -> Iterator[Postgres]:
    with postgres() as server:
        yield server


@pytest.fixture
def standby(primary: Postgres) -> Iterator[Postgres]:
    with postgres(primary=primary) as server:
        yield server


def folded(server: Postgres, name: str) -> int:
    """How many requests are in the book there."""
    return len(read_server_book(server.url(name)).rows)


def until_more_is_folded(load: Load, server: Postgres, name: str) -> None:
    before = folded(server, name)
    load.until(lambda: folded(server, name) > before)


def test_a_standby_that_lacks_the_last_seconds(
    home: pathlib.Path, fake_url: str, primary: Postgres, standby: Postgres
) -> None:
    """They are folded again, and the log says so."""
    name = primary.database().rpartition("/")[2]
    hosts = f"host=127.0.0.1:{primary.port}&host=127.0.0.1:{standby.port}"
    url = f"postgresql://postgres@/{name}?{hosts}&target_session_attrs=read-write"
    with relay(home, url, "local", fake_url) as server:
        endpoint = Endpoint(server.base_url, budget_key(server), FAKE_MODEL)
        load = Load(endpoint, [FAKE_MODEL], THREADS)
        with load.running():
            load.until(lambda: folded(primary, name) > ANSWERS)
            load.until(lambda: folded(standby, name) > ANSWERS)
            standby.stop_receiving()
            for _ in range(3):  # folds: only the next one knows that one has been
                until_more_is_folded(load, primary, name)
            primary.kill()
            standby.promote()
            load.until(lambda: "went back to an earlier state" in server.printed())
            load.more(ANSWERS)
    assert {} == load.refused
    assert [] == offences(load.whole, read_server_book(standby.url(name)), PRICE)
