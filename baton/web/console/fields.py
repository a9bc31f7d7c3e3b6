"""Fields of forms as the admin API takes them: amounts in USD become nano-USD, days become times,
lists are separated by commas or lines. Pure.

What is left empty is no limit (None), or nothing (). Raises RequestError (400) that names the
field.
"""

import datetime
import math
import re
from collections.abc import Callable, Collection
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from baton.errors import RequestError, invalid
from baton.web.console.forms import Form
from baton.web.operation import at_fault

USD_NANO = Decimal(10**9)
INTEGER_MAX = 2**63 - 1
"""What the book holds of any unit; the admin API says the rest."""
WHOLE_MAX = 10**15
SPANS = ("total", "day", "week", "month")
UNITS = ("nano_usd", "tokens")
SEEN = "seen"
BARE = {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)}
"""Control characters that JSON leaves as they are and pages write out otherwise (plain.py)."""


def whole(form: Form, name: str) -> int | None:
    """Digits, with the spaces and commas that people group them by."""
    text = re.sub(r"[\s,_\u202f]", "", form.text(name))
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or int(text[:17]) > WHOLE_MAX:
        raise invalid(f"'{name}' must be a whole number.", param=name)
    return int(text)


def seconds(form: Form, name: str) -> float | None:
    """A decimal number of seconds."""
    text = form.text(name)
    if not text:
        return None
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise invalid(f"'{name}' must be a number of seconds such as 2.5.", param=name)
    return found


def scaled(text: str, name: str, factor: Decimal) -> int:
    """A decimal number in units of which `factor` make one, exactly."""
    try:
        number = Decimal(re.sub(r"[\s,_$\u202f]", "", text))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or not 0 <= number <= INTEGER_MAX / factor:
        raise invalid(f"'{name}' must be an amount such as 12.50.", param=name)
    found = number * factor
    if found != found.to_integral_value():
        raise invalid(f"'{name}' has more digits than the ledger.", param=name)
    return int(found)


def usd(form: Form, name: str) -> int | None:
    """nano-USD."""
    text = form.text(name)
    return scaled(text, name, USD_NANO) if text else None


def listed(form: Form, name: str) -> tuple[str, ...]:
    parts = re.split(r"[,\n]", form.text(name))
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


def day_end_us(form: Form, name: str) -> int | None:
    """The end of that day, UTC."""
    text = form.text(name)
    if not text:
        return None
    try:
        day = datetime.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=datetime.UTC)
        return int((day + datetime.timedelta(days=1)).timestamp()) * 10**6
    except (ValueError, OverflowError):
        raise invalid(f"'{name}' must be a day such as 2027-01-31.", param=name) from None


def budgets(form: Form) -> tuple[dict[str, Any], ...]:
    """Rows of amount, unit, span and zone; those without an amount are none."""
    rows = zip(
        form.several("budget_amount"),
        form.several("budget_unit"),
        form.several("budget_span"),
        form.several("budget_zone"),
        strict=False,
    )
    return tuple(
        {
            "amount": scaled(amount, "budgets", USD_NANO if unit == "nano_usd" else Decimal(1)),
            "unit": unit,
            "span": span,
            "zone": zone.strip() or "UTC",
        }
        for amount, unit, span, zone in rows
        if amount.strip()
    )


def limits(form: Form) -> dict[str, Any]:
    """What limits a key or a party."""
    return {
        "expires_us": day_end_us(form, "expires"),
        "models": listed(form, "models"),
        "networks": listed(form, "networks"),
        "requests_per_minute": whole(form, "requests_per_minute"),
        "tokens_per_minute": whole(form, "tokens_per_minute"),
        "requests_at_once": whole(form, "requests_at_once"),
        "budgets": budgets(form),
    }


def changed(form: Form, read: Callable[[Form], dict[str, Any]]) -> dict[str, Any]:
    """What `read` finds in the form and did not find in what its page showed: all else may be
    another's change since then. Everything, where the form does not tell what was shown."""
    given, shown = read(form), form.shown()
    if shown is None:
        return given
    before = read(shown)
    return {
        name: value for name, value in given.items() if name not in before or before[name] != value
    }


def told(record: msgspec.Struct, names: Collection[str]) -> str:
    """For `seen`: a page says in a hidden field how these were when it was shown."""
    fields = {name: getattr(record, name) for name in names}
    return msgspec.json.encode(fields).decode().translate(BARE)


def seen(form: Form) -> dict[str, Any] | None:
    """How fields were, where the page of the form said it."""
    if SEEN not in form:
        return None
    try:
        return msgspec.json.decode(form[SEEN], type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        raise invalid(f"'{SEEN}' is not what the page said.", param=SEEN) from None


def body(wanted: type[Any], fields: dict[str, Any]) -> Any:
    """The body of an operation of the admin API, checked as if it had come as JSON."""
    try:
        return msgspec.convert(fields, wanted)
    except msgspec.ValidationError as error:
        problem: RequestError = at_fault(error)
        raise problem from None
