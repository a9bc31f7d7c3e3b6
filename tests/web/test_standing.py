"""Where a caller stands: what is left at every level, and which limit is the tightest."""

from baton.admission.levels import levels
from baton.admission.rates import Left
from baton.stores.base import AccountRecord, Allowance, BudgetRecord, KeyRecord, PartyRecord
from baton.web.standing import (
    BudgetStanding,
    FreeStanding,
    Tightest,
    free_accounts,
    free_standings,
    level_standings,
    tightest,
)

AT_US = 1_795_348_800_000_000  # 2026-11-22T12:00:00Z
DAY_END_US = 1_795_392_000_000_000
KEY = KeyRecord(id="k", name="k", digest=b"", head="", tail="", created_us=1, budget_nano=100)
TEAM = PartyRecord(
    id="t",
    kind="team",
    name="Core",
    requests_per_minute=60,
    tokens_per_minute=1_000,
    budgets=(
        BudgetRecord(amount=50, span="day"),
        BudgetRecord(amount=10_000, unit="tokens", span="month"),
    ),
)


def balance(account: str, used: int, held: int) -> AccountRecord:
    return AccountRecord(id=account, limit_nano=None, posted_nano=used, leased_nano=held)


def test_every_level() -> None:
    """The key's budget in all, the team's in its windows, and rates as the counters tell."""
    found = level_standings(
        levels(KEY, [TEAM]),
        KEY.budget_nano,
        {
            "key:k": balance("key:k", 30, 10),
            "team:t/day@2026-11-22": balance("team:t/day@2026-11-22", 45, 10),
            "team:t/day@2026-11-21": balance("team:t/day@2026-11-21", 50, 0),
        },
        {"team:t": Left(30, 900, None)},
        AT_US,
    )
    key, team = found
    assert ("key", "team", None, None) == (
        key.kind,
        team.kind,
        key.requests_remaining,
        key.tokens_remaining,
    )
    assert (60, 30, 1_000, 900) == (
        *(team.requests_per_minute, team.requests_remaining),
        *(team.tokens_per_minute, team.tokens_remaining),
    )
    assert [(100, 30, 10, 60, None)] == [told(each) for each in key.budgets]
    assert [(50, 45, 10, 0, DAY_END_US), (10_000, 0, 0, 10_000, 1_796_083_200_000_000)] == [
        told(each) for each in team.budgets
    ]
    expected = Tightest(kind="team", id="t", limit="nano_usd/day", amount=50, remaining=0)
    assert expected == tightest(found)
    rates_alone = level_standings(
        levels(KEY, [TEAM]), None, {}, {"team:t": Left(6, 1_000, None)}, AT_US
    )
    closest = tightest(rates_alone)
    assert closest is not None
    assert ("requests_per_minute", 60, 6) == (closest.limit, closest.amount, closest.remaining)


def test_nothing_limits() -> None:
    """A key without limits has nothing that is tight."""
    found = level_standings(levels(KEY, []), None, {}, {}, AT_US)
    assert [] == found[0].budgets
    assert tightest(found) is None


def told(budget: BudgetStanding) -> tuple[int, int, int, int, int | None]:
    return budget.amount, budget.used, budget.held, budget.remaining, budget.resets_us


def test_free_allowances() -> None:
    """Of the present window (UTC); used, lent, and what is left; all of one that nobody used, and
    nothing of one that was made smaller than what was used."""
    free = {
        "a": Allowance(amount=100, unit="tokens", span="day"),
        "b": Allowance(amount=5, unit="requests", span="total"),
        "c": Allowance(amount=0, unit="requests", span="week"),
    }
    names = free_accounts("key:k", free, AT_US)
    assert {
        "a": "tokens:free/key:k/a/day@2026-11-22",
        "b": "requests:free/key:k/b/total",
        "c": "requests:free/key:k/c/week@2026-W47",
    } == names
    balances = {names["a"]: balance(names["a"], 30, 20), names["c"]: balance(names["c"], 3, 0)}
    found = free_standings("key:k", free, balances, AT_US)
    assert (
        FreeStanding(
            model="a",
            unit="tokens",
            span="day",
            amount=100,
            used=30,
            held=20,
            remaining=50,
            resets_us=DAY_END_US,
        )
        == found[0]
    )
    assert [("b", 0, 5, None), ("c", 3, 0, True)] == [
        (each.model, each.used, each.remaining, each.resets_us and True) for each in found[1:]
    ]
