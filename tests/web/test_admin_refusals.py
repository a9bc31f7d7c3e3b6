"""Refused requests for those who look after callers: paged, filtered, found by id."""

from collections.abc import Iterator

import pytest

from tests.fakes.web_parts import Parts, Web, web
from tests.stores.test_refusals import refusal

REFUSALS = "/admin/v1/refusals"


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """Five of one key, all of one moment; one of nobody's before them."""
    parts = Parts(tmp_path_factory.mktemp("refused"))
    rows = [refusal(f"r{number}", 7, times=number + 1) for number in range(5)]
    parts.store.refusals.add([*rows, refusal("s", 6, key_id="", status=401, code=None)])
    with web(parts) as running:
        yield running


def test_pages(books: Web) -> None:
    """Each once, also those of one moment; it is told where there are more."""
    found: list[str] = []
    while True:
        after = f"&after={found[-1]}" if found else ""
        part = books.admin.get(f"{REFUSALS}?limit=2{after}").json
        found += [each["request_id"] for each in part["data"]]
        if not part["has_more"]:
            break
    assert ["r4", "r3", "r2", "r1", "r0", "s"] == found
    assert books.admin.get(REFUSALS).json == books.admin.get(f"{REFUSALS}?after=").json
    assert 404 == books.admin.get(f"{REFUSALS}?after=r9").status
    assert 400 == books.admin.get(f"{REFUSALS}?limit=0").status
    for status in ("many", "99", "1" + "0" * 30):
        assert 400 == books.admin.get(f"{REFUSALS}?status={status}").status


def test_filters(books: Web) -> None:
    """By key, status and code; an empty key is nobody's."""
    for query, number in (
        ("key=key_a", 5),
        ("key=", 1),
        ("key=key_b", 0),
        ("status=401", 1),
        ("code=rate_limit_exceeded", 5),
        ("code=rate_limit_exceeded&status=401", 0),
    ):
        assert number == len(books.admin.get(f"{REFUSALS}?{query}").json["data"]), query


def test_by_its_id(books: Web) -> None:
    """All that the book has of it."""
    found = books.admin.get(f"{REFUSALS}/r3").json
    told = found["status"], found["message"], found["times"], found["key_id"]
    assert (429, "Rate limit reached.", 4, "key_a") == told
    assert 404 == books.admin.get(f"{REFUSALS}/r9").status


def test_a_billing_reader_may_look(books: Web) -> None:
    """Nobody else but an admin: and that somebody wanted to is noted, with whose key."""
    assert 200 == books.key(role="billing").get(REFUSALS).status
    assert 403 == books.user.get(REFUSALS).status
    row = books.parts.refusals.due(100, all_of_them=True)[-1]
    assert (403, books.parts.user.id, f"GET {REFUSALS}") == (row.status, row.key_id, row.route)
