"""Amounts in a currency: exact in US dollars, rounded once in others."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from baton.ledger.currency import MICRO, NANO, Currency

amounts = st.integers(-(2**62), 2**62)


@given(amounts)
def test_us_dollars_are_exact(amount: int) -> None:
    """What is read back is what was shown."""
    assert amount == int(Decimal(Currency().text(amount)) * NANO)


@given(amounts, st.integers(1, 10**10))
def test_rounded_once(amount: int, rate: int) -> None:
    """Off the exact product by half a billionth of the currency at most."""
    shown = Fraction(Currency("CNY", rate).text(amount))
    assert abs(shown * NANO - Fraction(amount * rate, MICRO)) <= Fraction(1, 2)


def test_texts() -> None:
    """As people write them."""
    euros = Currency("EUR", 920_000)
    assert ["0.92", "-0.92", "0.00", "0.000000001", "1.84"] == [
        euros.text(amount) for amount in (NANO, -NANO, 0, 1, 2 * NANO)
    ]
