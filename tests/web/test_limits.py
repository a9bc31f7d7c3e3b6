"""Limits as the admin API takes them: what makes no sense is refused by name."""

import pytest

from baton.errors import RequestError
from baton.stores.base import BudgetRecord
from baton.web.limits import BudgetBody, check_keep_days, checked


def test_bodies_become_records() -> None:
    """Budgets as the store has them; everything else as it came."""
    given = {"name": "x", "networks": ("10.0.0.0/8", "::1"), "budgets": (BudgetBody(amount=5),)}
    assert {**given, "budgets": (BudgetRecord(amount=5),)} == checked(given)
    assert {"networks": (), "budgets": ()} == checked({"networks": (), "budgets": ()})
    assert {"name": "x"} == checked({"name": "x"})


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"networks": ("10.0.0.0/99",)}, "networks"),
        ({"networks": ("example.com",)}, "networks"),
        ({"budgets": (BudgetBody(amount=1, span="day", zone="Mars/Olympus"),)}, "budgets"),
        ({"budgets": (BudgetBody(amount=1), BudgetBody(amount=2, zone="Asia/Tokyo"))}, "budgets"),
    ],
)
def test_nonsense_is_named(fields: dict[str, object], param: str) -> None:
    """400 with the field."""
    with pytest.raises(RequestError) as refused:
        checked(fields)
    assert (400, param) == (refused.value.status, refused.value.param)


def test_days_beyond_the_setting_are_refused() -> None:
    """Where it is 0, no key may keep content."""
    check_keep_days(7, 7)
    check_keep_days(0, 0)
    with pytest.raises(RequestError, match="at most 7") as refused:
        check_keep_days(8, 7)
    assert (400, "keep_content_days") == (refused.value.status, refused.value.param)
