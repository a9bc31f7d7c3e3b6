"""Levels: what holds for a key is what holds for all above it together."""

import pytest

from baton.admission import levels
from baton.admission.rates import Limit
from baton.stores.base import BudgetRecord, KeyRecord, PartyRecord

AT_US = 1_795_348_800_000_000  # 2026-11-22T12:00:00Z
DAY_END_US = 1_795_392_000_000_000


def key(**fields: object) -> KeyRecord:
    given = {"id": "k", "name": "mine", "digest": b"", "head": "", "tail": "", "created_us": 1}
    return KeyRecord(**{**given, **fields})  # type: ignore[arg-type]


def team(**fields: object) -> PartyRecord:
    return PartyRecord(**{"id": "t", "kind": "team", "name": "Core", **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("lists", "allowed"),
    [
        (((), ()), None),
        ((("a",), ()), {"a"}),
        (((), ("a", "b")), {"a", "b"}),
        ((("a", "c"), ("a", "b")), {"a"}),
        ((("c",), ("a",)), set()),
    ],
)
def test_models_that_all_allow(
    lists: tuple[tuple[str, ...], tuple[str, ...]], allowed: set[str] | None
) -> None:
    """No list allows all; of two lists what both name, were it nothing."""
    found = levels.levels(key(models=lists[0]), [team(models=lists[1])])
    assert allowed == levels.models(found)


def test_the_first_end_counts() -> None:
    """A key ends when it, or anybody above it, expires, is revoked or closed."""
    found = levels.levels(
        key(expires_us=9_000_000), [team(closed_us=5_000_000, expires_us=7_000_000), team()]
    )
    assert [9.0, 5.0, levels.NEVER_S] == [level.ends_s for level in found]
    assert [9.0, 5.0] == [levels.ends_s(found[:1]), levels.ends_s(found)]
    assert ["the key 'mine'", "the team 'Core'"] == [level.title for level in found[:2]]


def test_limits_of_those_that_have_some() -> None:
    """Who limits nothing costs nothing."""
    found = levels.levels(key(), [team(requests_at_once=3), team(id="x", networks=("::1",))])
    assert (Limit("team:t", "the team 'Core'", None, None, 3),) == levels.limits(found)
    assert () == levels.limits(levels.levels(key(), []))
    for field in ("requests_per_minute", "tokens_per_minute", "requests_at_once"):
        found = levels.levels(key(**{field: 3}), [])
        assert (Limit("key:k", "the key 'mine'", **{field: 3}),) == levels.limits(found)


def test_the_payer_of_a_moment() -> None:
    """The key pays; every budget's window counts; it holds until the first of them ends."""
    plain, until_us = levels.payer(key(), levels.levels(key(), []), AT_US)
    assert ((), (), None, "the key 'mine'") == (plain.limited, plain.scopes, until_us, plain.name)
    mine = key(budget_nano=7, budgets=(BudgetRecord(amount=1, span="month"),))
    ours = team(budgets=(BudgetRecord(amount=1, span="day"), BudgetRecord(amount=1, unit="tokens")))
    payer, until_us = levels.payer(mine, levels.levels(mine, [ours]), AT_US)
    further = ("key:k/month@2026-11", "team:t/day@2026-11-22", "tokens:team:t/total")
    assert ("key:k", ("key:k", *further), further, DAY_END_US) == (
        *(payer.account, payer.limited),
        *(payer.scopes, until_us),
    )
    assert "the key 'mine'" == payer.name
    assert [
        ("the budget of the key 'mine'", None),
        ("the budget of the team 'Core' for the day", DAY_END_US),
        ("the token quota of the team 'Core' in all", None),
    ] == [
        (payer.bounds[name].name, payer.bounds[name].frees_us) for name in ("key:k", *further[1:])
    ]


@pytest.mark.parametrize(
    ("fields", "alone"),
    [
        ({}, False),
        ({"budget_nano": 7}, True),
        ({"budgets": (BudgetRecord(amount=1, span="month"),)}, True),
        ({"budgets": (BudgetRecord(amount=1, unit="tokens"),)}, False),
        ({"budget_nano": 7, "budgets": (BudgetRecord(amount=1, span="month"),)}, False),
    ],
)
def test_whether_one_account_of_money_is_all(fields: dict[str, object], alone: bool) -> None:
    """As of most keys: what such a request may spend is known by one sum."""
    mine = key(**fields)
    assert alone == levels.payer(mine, levels.levels(mine, []), AT_US)[0].money_alone
