"""Single requests for those who keep the books: paged, found by id, with their attempts."""

import asyncio
from collections.abc import Iterator

import pytest

from baton.semantics.events import Usage
from tests.bookkeeping import PRICE, intent, ledger_of, new_key, outcome
from tests.fakes.web_parts import Parts, Web, web

LOST = (("u", Usage(10, 1)), ("v", Usage(11, 3)))
REQUESTS = "/admin/v1/requests"


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """Five requests of one key, all of one moment; the third was handed over."""
    parts = Parts(tmp_path_factory.mktemp("books"))
    parts.store.prices.set(PRICE, "test")
    key = new_key(parts.store, "asking")

    async def run() -> None:
        async with ledger_of(parts.store) as ledger:
            for number in range(5):
                hold = await ledger.hold(intent(key, f"r{number}", created_us=7))
                ledger.settle(hold, outcome(4, spent=LOST if number == 2 else ()))

    asyncio.run(run())
    with web(parts) as running:
        yield running


def test_pages(books: Web) -> None:
    """Each request once, also those of one moment; only the key's own when it is named."""
    found: list[str] = []
    while True:
        after = f"&after={found[-1]}" if found else ""
        part = books.admin.get(f"{REQUESTS}?limit=2{after}").json
        found += [each["request_id"] for each in part["data"]]
        if not part["has_more"]:
            break
    assert ["r4", "r3", "r2", "r1", "r0"] == found
    assert [] == books.admin.get(f"{REQUESTS}?key=nobody").json["data"]
    assert 404 == books.admin.get(f"{REQUESTS}?after=r9").status
    assert books.admin.get(REQUESTS).json == books.admin.get(f"{REQUESTS}?after=").json
    assert 400 == books.admin.get(f"{REQUESTS}?limit=0").status


def test_attempts_are_told(books: Web) -> None:
    """With the upstream, usage and price of each; none where there was one."""
    found = books.admin.get(f"{REQUESTS}/r2").json
    assert (18, None) == (found["request"]["charge"], found["request"]["cost_version"])
    told = [(each["upstream"], each["completion_tokens"]) for each in found["spent"]]
    assert [("u", 1), ("v", 3)] == told
    assert [] == books.admin.get(f"{REQUESTS}/r1").json["spent"]
    assert 404 == books.admin.get(f"{REQUESTS}/r9").status


def test_a_billing_reader_may_look(books: Web) -> None:
    """Nobody else but an admin."""
    assert 200 == books.key(role="billing").get(REQUESTS).status
    assert 403 == books.user.get(REQUESTS).status
