"""Money as people write it, and as the ledger keeps it: exact in both directions.

The ledger has nano-USD, prices are pico-USD per token. People write US dollars, and prices in US
dollars per million tokens: 1 USD per million tokens is 1,000,000 pico-USD per token.
"""

from decimal import Decimal

from baton.cli.main import CommandError
from baton.stores.base import PICO_MAX

NANO_PER_USD = 10**9
PICO_PER_USD_PER_MILLION = 10**6
AMOUNT_MAX = 2**62 - 1


def nano(text: str) -> int:
    """US dollars as nano-USD: "0.5" is 500,000,000."""
    return _whole(text, NANO_PER_USD, AMOUNT_MAX, "a billionth of a dollar")


def pico_per_token(text: str) -> int:
    """US dollars per million tokens as pico-USD per token: "0.15" is 150,000."""
    finest = "a millionth of a dollar per million tokens"
    return _whole(text, PICO_PER_USD_PER_MILLION, PICO_MAX, finest)


def usd(amount_nano: int) -> str:
    """nano-USD as US dollars, with as many digits as it takes (two at least)."""
    return _digits(Decimal(amount_nano) / NANO_PER_USD)


def usd_per_million(pico: int) -> str:
    """pico-USD per token as US dollars per million tokens."""
    return _digits(Decimal(pico) / PICO_PER_USD_PER_MILLION)


def _whole(text: str, scale: int, most: int, smallest: str) -> int:
    try:
        amount = Decimal(text.strip().removeprefix("$")) * scale
    except ArithmeticError:  # no number, or one beyond all bounds
        raise CommandError(f"'{text}' is no amount of US dollars: write 0.15 or 12") from None
    if not amount.is_finite() or not 0 <= amount <= most:
        raise CommandError(f"'{text}' is not an amount that can be kept (0 to {most // scale:,})")
    if amount != int(amount):
        raise CommandError(f"'{text}' is finer than {smallest}")
    return int(amount)


def _digits(amount: Decimal) -> str:
    text = f"{amount:f}"
    whole, _, rest = text.partition(".")
    return f"{whole}.{rest.rstrip('0').ljust(2, '0')}"
