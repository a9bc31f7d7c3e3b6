"""Numbers, amounts and times as the console writes them. Pure."""

import datetime

from baton.ledger.currency import Currency

NANO = 1_000_000_000
LEAST = 0.01
"""Less is not told exactly where there is little room."""
_STEPS = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))


def count(number: int | None) -> str:
    """All digits, in groups of three; a dash for what nobody knows."""
    return "–" if number is None else f"{number:,}".replace(",", "\u202f")


def short(number: float | None) -> str:
    """At most four characters and a letter: for tiles and axes.

    >>> short(1234567), short(999), short(15300)
    ('1.23M', '999', '15.3k')
    """
    if number is None:
        return "–"
    for size, letter in _STEPS:
        if abs(number) >= size:
            return f"{number / size:.3g}{letter}"
    if 0 < abs(number) < LEAST:
        return f"<{LEAST}"
    return f"{number:.3g}" if number != int(number) else str(int(number))


def money(nano: int | None, currency: Currency | None = None) -> str:
    """An amount in the display currency, with as many digits as it needs to be told from zero.

    >>> money(1_500_000_000), money(123), money(0)
    ('$1.50', '$0.000000123', '$0')
    """
    if nano is None:
        return "–"
    currency = currency or Currency()
    sign = "$" if currency.code == "USD" else f"{currency.code} "
    amount = nano * currency.micro_per_usd // 1_000_000
    minus, amount = ("−", -amount) if amount < 0 else ("", amount)
    if amount == 0:
        return f"{sign}0"
    whole, part = divmod(amount, NANO)
    digits = f"{part:09d}"
    if whole:
        return f"{minus}{sign}{whole:,}.{digits[:2]}"
    kept = max(2, len(digits) - len(digits.lstrip("0")) + 3)
    return f"{minus}{sign}0.{digits[:kept]}"


def percent(part: float, whole: float) -> str:
    """
    >>> percent(1, 3), percent(0, 0)
    ('33.3 %', '–')
    """
    return f"{100 * part / whole:.3g} %" if whole else "–"


def duration(us: float | None) -> str:
    """Microseconds, in the unit that fits.

    >>> duration(950), duration(12_340), duration(2_500_000)
    ('950 µs', '12.3 ms', '2.5 s')
    """
    if us is None:
        return "–"
    if us < 1_000:
        return f"{us:.0f} µs"
    return f"{us / 1_000:.3g} ms" if us < 1_000_000 else f"{us / 1_000_000:.3g} s"


def moment(at_us: int | None) -> str:
    """UTC, to the second; a dash for never."""
    if at_us is None:
        return "–"
    return f"{datetime.datetime.fromtimestamp(at_us // 1_000_000, datetime.UTC):%Y-%m-%d %H:%M:%S}"


def per_million(pico: int | None) -> str:
    """A price of a token, as US dollars a million tokens; a dash where there is none.

    >>> per_million(150_000), per_million(0), per_million(None)
    ('$0.15', '$0', '–')
    """
    if pico is None:
        return "–"
    whole, part = divmod(pico, 10**6)
    digits = f"{part:06d}".rstrip("0")
    return f"${whole:,}" + (f".{digits.ljust(2, '0')}" if digits else "")


def day(at_us: int) -> str:
    """The day of it, UTC."""
    return moment(at_us)[:10]


def usd(nano: int | None) -> str:
    """For a field of a form: US dollars, exactly; "" for no amount.

    >>> usd(1_500_000_000), usd(1), usd(None)
    ('1.5', '0.000000001', '')
    """
    if nano is None:
        return ""
    whole, part = divmod(nano, NANO)
    return f"{whole}.{part:09d}".rstrip("0").rstrip(".")


def stamp(at_us: int) -> str:
    """For the `datetime` of a <time>."""
    return f"{datetime.datetime.fromtimestamp(at_us // 1_000_000, datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"
