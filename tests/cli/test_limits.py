"""Limits on a command line: what is written is what is kept, and can be written again."""

import pytest

from baton.cli import limits
from baton.cli.main import CommandError
from baton.stores.base import BudgetRecord


@pytest.mark.parametrize(
    ("money", "tokens", "expected", "again"),
    [
        (["50"], [], BudgetRecord(amount=50 * 10**9), "$50.00"),
        (["0.5/day"], [], BudgetRecord(amount=5 * 10**8, span="day"), "$0.50/day"),
        (
            ["2/month@Asia/Shanghai"],
            [],
            BudgetRecord(amount=2 * 10**9, span="month", zone="Asia/Shanghai"),
            "$2.00/month@Asia/Shanghai",
        ),
        (
            [],
            ["1000/week"],
            BudgetRecord(amount=1000, unit="tokens", span="week"),
            "1000 tokens/week",
        ),
    ],
)
def test_budgets(money: list[str], tokens: list[str], expected: BudgetRecord, again: str) -> None:
    """Amount, window and time zone; written back the same."""
    assert [expected] == limits.budgets(money, tokens)
    assert again == limits.written(expected)


@pytest.mark.parametrize(
    ("money", "tokens", "part"),
    [
        (["x"], [], "no amount"),
        (["5/year"], [], "total, day, week, month"),
        (["5/day@Mars"], [], "no time zone 'Mars'"),
        ([], ["0.5"], "whole number of tokens"),
        ([], ["-5/day"], "whole number of tokens"),
    ],
)
def test_what_is_no_budget(money: list[str], tokens: list[str], part: str) -> None:
    """The message says what would do."""
    with pytest.raises(CommandError, match=part):
        limits.budgets(money, tokens)


def test_expiry_lies_ahead() -> None:
    """A span counts from now; a date in the past would be a key that never worked."""
    assert limits.expiry(None) is None
    soon, later = limits.expiry("1h"), limits.expiry("2h")
    assert soon is not None
    assert later is not None
    assert later - soon >= 3_600_000_000
    with pytest.raises(CommandError, match="not in the future"):
        limits.expiry("2020-01-01")
