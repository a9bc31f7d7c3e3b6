"""Money goes in and out of the command line exactly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton.cli import money
from baton.cli.main import CommandError
from baton.stores.base import PICO_MAX


@given(st.integers(0, 2**62 - 1))
def test_what_is_written_reads_back(amount: int) -> None:
    """Every amount that the ledger can hold survives being shown and typed again."""
    assert amount == money.nano(money.usd(amount))


@given(st.integers(0, PICO_MAX))
def test_a_price_that_is_written_reads_back(pico: int) -> None:
    assert pico == money.pico_per_token(money.usd_per_million(pico))


def test_a_price_is_refused_beyond_what_the_admin_api_takes() -> None:
    """It would end in amounts that the ledger cannot hold."""
    assert PICO_MAX == money.pico_per_token("1000000000")
    with pytest.raises(CommandError, match="0 to 1,000,000,000"):
        money.pico_per_token("1000000000.000001")


@pytest.mark.parametrize(
    ("text", "expected"), [("0.15", 150_000), ("12", 12_000_000), ("$0.000001", 1), ("0", 0)]
)
def test_price_per_million_is_pico_per_token(text: str, expected: int) -> None:
    """1 USD per million tokens is a million pico-USD per token."""
    assert expected == money.pico_per_token(text)


@pytest.mark.parametrize(
    ("shown", "amount"), [("0.50", 500_000_000), ("1.00", 10**9), ("0.000000001", 1)]
)
def test_dollars_have_two_digits_at_least(shown: str, amount: int) -> None:
    """Amounts are written out, never in powers of ten."""
    assert shown == money.usd(amount)


@pytest.mark.parametrize(
    "text", ["", "ten", "-1", "nan", "inf", "1e30", "1e999999", "0.0000000001", "1,5"]
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    """Nothing is rounded, guessed or accepted below zero."""
    with pytest.raises(CommandError):
        money.nano(text)
