"""Numbers as people read them."""

import doctest

import pytest

from baton.ledger.currency import Currency
from baton.web.console import figures
from baton.web.console.figures import count, duration, moment, money, percent, short


def test_the_examples_hold() -> None:
    assert 0 == doctest.testmod(figures).failed


def test_what_nobody_knows_is_a_dash() -> None:
    assert ["–"] * 5 == [count(None), money(None), duration(None), moment(None), percent(1, 0)]


@pytest.mark.parametrize(
    ("nano", "text"),
    [(-1_500_000_000, "−$1.50"), (12_345_678_900_000, "$12,345.67"), (20_000_000, "$0.0200")],
)
def test_amounts(nano: int, text: str) -> None:
    assert text == money(nano)


def test_another_currency() -> None:
    assert "CNY 7.20" == money(1_000_000_000, Currency("CNY", 7_200_000))


def test_short_ones() -> None:
    assert ["0", "1k", "12.5", "–"] == [short(0), short(1000), short(12.5), short(None)]
    assert ["<0.01", "0.01"] == [short(0.000694), short(0.01)]
