"""PostgreSQL is killed, or hangs, under load: the relay serves on, and the ledger stays exact.

Callers ask without a pause, half of them for streams. While the database is away nothing fails
as long as leases last, and nothing is free: what was answered meanwhile is on the ledger at last,
once and at exactly its price.
"""

import contextlib
import json
import pathlib
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from tests import running
from tests.asking import Endpoint
from tests.faults.accounting import Price, offences, read_server_book
from tests.faults.conftest import FAKE_MODEL, PRICE, add_upstream, budget_key, set_prices
from tests.faults.load import Load
from tests.servers import Postgres, postgres

THREADS = 8
ANSWERS = 40
AWAY_S = [pytest.param(5.0, id="5s"), pytest.param(30.0, id="30s", marks=pytest.mark.soak)]
SLOW = pytest.mark.soak
DEAR = Price(input_pico=0, output_pico=1_000_000)
"""A hold of 12 tokens is 12,000 nano-USD, and every answer costs all of it."""
ROOM = 2_000
LITTLE_USD = "0.024"
"""For so many answers: an eighth of what is left is leased at once."""


@pytest.fixture
def database() -> Iterator[Postgres]:
    with postgres(durable=True) as server:
        yield server


@contextlib.contextmanager
def relay(
    home: pathlib.Path,
    url: str,
    journal: str,
    fake: str,
    priced: Callable[[running.Server], None] = set_prices,
) -> Iterator[running.Server]:
    settings = {
        "BATON_DATABASE_URL": url,
        "BATON_JOURNAL": journal,
        "BATON_MODEL": "none",
        "BATON_DATABASE_TIMEOUT_S": "2",
        "BATON_DATABASE_CONNECT_TIMEOUT_S": "2",
    }
    with running.serving(home, settings) as server:
        priced(server)
        add_upstream(server, fake)
        yield server


@contextlib.contextmanager
def away(database: Postgres, how: str) -> Iterator[None]:
    """The database does not answer while the block runs."""
    if how == "killed":
        database.kill()
        yield
        database.start()
    else:
        database.hang()
        try:
            yield
        finally:
            database.go_on()


@pytest.mark.parametrize("away_s", AWAY_S)
@pytest.mark.parametrize("how", ["killed", "hanging"])
def test_serves_on_within_its_leases(
    home: pathlib.Path, fake_url: str, database: Postgres, how: str, away_s: float
) -> None:
    """No request fails while the database is away; afterwards the ledger is the callers' log."""
    url = database.database()
    with relay(home, url, "local", fake_url) as server:
        load = Load(
            Endpoint(server.base_url, budget_key(server), FAKE_MODEL), [FAKE_MODEL], THREADS
        )
        with load.running():
            load.more(ANSWERS)
            with away(database, how):
                end_s = time.monotonic() + away_s
                before = len(load.whole)
                while time.monotonic() < end_s:
                    load.more(1)
                assert len(load.whole) > before + ANSWERS
            load.more(ANSWERS)
    assert {} == load.refused
    assert [] == offences(load.whole, read_server_book(url), PRICE)


@pytest.mark.parametrize("how", ["killed", pytest.param("hanging", marks=SLOW)])
def test_never_free(home: pathlib.Path, fake_url: str, database: Postgres, how: str) -> None:
    """What the lease does not cover is refused with 503 and a time to come back; when the database
    is back the rest of the budget is spent, and no more."""
    url = database.database()

    def dear(server: running.Server) -> None:
        server.cli("price", "set", FAKE_MODEL, "--input", "0", "--output", "1")

    with relay(home, url, "local", fake_url, dear) as server:
        made = server.cli("key", "create", "poor", "--budget", LITTLE_USD, "--json")
        endpoint = Endpoint(server.base_url, str(json.loads(made)["value"]), FAKE_MODEL)
        load = Load(endpoint, [FAKE_MODEL], THREADS)
        with load.running():
            load.more(1)
            with away(database, how):
                load.until(lambda: load.refused.total() >= ANSWERS)
                assert {"503"} == {why.split()[0] for why in load.refused}
                assert 1 <= refused_for_s(endpoint)
                load.refused.clear()
            load.until(lambda: load.refused["429 insufficient_quota"] > 0)
    book = read_server_book(url)
    assert [] == offences(load.whole, book, DEAR)
    assert ROOM * 12_000 >= sum(row.charge for row in book.rows) > 0.9 * ROOM * 12_000


@pytest.mark.parametrize("how", [pytest.param("killed", marks=SLOW), "hanging"])
def test_without_a_disk_nothing_is_answered_unwritten(
    home: pathlib.Path, fake_url: str, database: Postgres, how: str
) -> None:
    """With its journal within the book a node answers 503 while that is away, and goes on after."""
    url = database.database()
    with relay(home, url, "shared", fake_url) as server:
        load = Load(
            Endpoint(server.base_url, budget_key(server), FAKE_MODEL), [FAKE_MODEL], THREADS
        )
        with load.running():
            load.more(ANSWERS)
            with away(database, how):
                load.until(lambda: load.refused.total() >= ANSWERS)
            load.more(ANSWERS)
    assert all(why.startswith(("503", "broken stream", "cut")) for why in load.refused)
    assert [] == offences(load.whole, read_server_book(url), PRICE)


def refused_for_s(endpoint: Endpoint) -> float:
    """The retry-after of one refusal."""
    request = urllib.request.Request(
        f"http://{endpoint.host}:{endpoint.port}/v1/completions",
        json.dumps({"model": FAKE_MODEL, "prompt": "a", "max_tokens": 12}).encode(),
        {"Authorization": f"Bearer {endpoint.key}", "Content-Type": "application/json"},
    )
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(request, timeout=30)
    refusal.value.close()
    return float(refusal.value.headers["retry-after"])
