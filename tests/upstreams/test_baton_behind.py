"""A Baton behind a Baton: what the inner one bills is what the outer one has of it."""

import pathlib
from typing import Any

import msgspec
import pytest

from baton.stores.base import BudgetRecord
from tests.bookkeeping import PRICE
from tests.relaying import MODEL, Relay, relaying

INNER = "inner"
"""The upstream that is a Baton."""
OUTER = "outer"
"""The key by which the outer one asks."""
TOKENS = BudgetRecord(amount=100_000, unit="tokens")
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "ids": {"prompt": [[1, 2, 3], [4, 5]]},
    "suffix": {"suffix": " c d"},
    "many suffixes": {"prompt": ["a b", "c"], "suffix": " c d", "n": 2},
    "echo": {"echo": True, "n": 2},
    "best_of": {"best_of": 3, "logprobs": 1},
    "nothing": {"max_tokens": 0, "echo": True},
}


def behind(inner: Relay, outer: Relay) -> None:
    """Give the outer one the inner one for its only upstream, at the price that it bills."""
    outer.store.upstreams.remove("fake", "test")
    outer.store.prices.set(msgspec.structs.replace(PRICE, upstream=INNER), "test")
    key = inner.key(OUTER).key
    outer.add_upstream_at(INNER, inner.url, "baton", MODEL, secret=key)
    outer.run(outer.worker.refresh())


@pytest.mark.parametrize("name", list(CASES))
@pytest.mark.parametrize("dialect", ["vllm", "openai", "openai-chat"])
def test_both_bill_the_same(tmp_path: pathlib.Path, dialect: str, name: str) -> None:
    """Whatever the inner one fills in or wraps: same answer, same usage; its charge is the outer
    one's cost, and no more than the hold, also of a key with a budget."""
    asked: dict[str, Any] = {"prompt": "a b", "max_tokens": 5, "seed": 7, **CASES[name]}
    streams = (False,) if "best_of" in asked else (False, True)
    homes = tmp_path / "inner", tmp_path / "outer"
    for home in homes:
        home.mkdir()
    with relaying(homes[0], {"fake": dialect}) as inner, relaying(homes[1]) as outer:
        behind(inner, outer)
        told = inner.user.complete(**asked)
        limited = outer.key("limited", budget_nano=100_000, budgets=(TOKENS,))
        for caller in (outer.user, limited):
            for stream in streams:
                answer = caller.complete(**asked, stream=stream)
                assert told.status == answer.status
                if not stream:
                    assert told.json.get("usage") == answer.json.get("usage")
                    assert told.json.get("choices") == answer.json.get("choices")
    billed = [row for row in inner.rows() if row.status == 200][1:]
    rows = [row for row in outer.rows() if row.upstream == INNER]
    assert [row.charge for row in billed] == [row.cost for row in rows]
    assert [row.cost for row in rows] == [row.charge for row in rows]
