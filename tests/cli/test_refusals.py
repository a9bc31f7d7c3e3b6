"""`baton refusals`: a table, filters, one by its id, JSON."""

import pytest

from baton.cli.opened import opened
from tests.cli.conftest import Cli
from tests.stores.test_refusals import refusal


@pytest.fixture
def refused(cli: Cli) -> Cli:
    """Two of a key, one of nobody's."""
    key_id = cli.ok("key", "create", "alice")["id"]
    rows = [
        refusal("r1", 1_000_000, key_id=key_id, times=12),
        refusal("r2", 2_000_000, key_id=key_id, status=400, code=None, message="a\x1b[2Jb"),
        refusal("r3", 3_000_000, key_id="", status=401, code="invalid_api_key"),
    ]
    with opened() as store:
        store.refusals.add(rows)
    return cli


def test_the_newest_first_with_the_name_of_the_key(refused: Cli) -> None:
    rows = refused.ok("refusals")
    assert [("r3", ""), ("r2", "alice"), ("r1", "alice")] == [
        (row["request_id"], row["key"]) for row in rows
    ]
    assert ("1970-01-01T00:00:01Z", 12, 429) == tuple(
        rows[-1][name] for name in ("at", "times", "status")
    )


def test_filters(refused: Cli) -> None:
    for words, expected in (
        (("--key", "alice"), ["r2", "r1"]),
        (("--status", "401"), ["r3"]),
        (("--code", "rate_limit_exceeded"), ["r1"]),
        (("--limit", "1"), ["r3"]),
    ):
        assert expected == [row["request_id"] for row in refused.ok("refusals", *words)]
    assert 1 == refused("refusals", "--key", "bob").code


def test_one_by_its_id(refused: Cli) -> None:
    assert "r1" == refused.ok("refusals", "r1")["request_id"]
    missing = refused("refusals", "r9")
    assert (1, "") == (missing.code, missing.out)
    assert "there is no refused request 'r9'" in missing.err


def test_a_table_for_people(refused: Cli) -> None:
    """What callers wrote does nothing to a terminal."""
    table = refused("refusals").out
    assert all(text in table for text in ("What the caller was told", "invalid_api_key", "alice"))
    assert "\x1b" not in table
