"""What limits a key or a party, as the admin API takes and shows it: the same fields for both."""

from typing import Annotated, Any

import msgspec

from baton.admission.origins import networks
from baton.errors import invalid
from baton.stores import budgets
from baton.stores.base import BudgetRecord, Span, Unfit, Unit
from baton.web.admin import ModelName

PerMinute = Annotated[int, msgspec.Meta(ge=1, le=100_000_000)]
AtOnce = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Models = Annotated[tuple[ModelName, ...], msgspec.Meta(max_length=1000)]
KeepDays = Annotated[int, msgspec.Meta(ge=0, le=3_650)]
Address = Annotated[str, msgspec.Meta(min_length=2, max_length=64)]
Networks = Annotated[tuple[Address, ...], msgspec.Meta(max_length=1000)]
Amount = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
ZoneName = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class BudgetBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be used of one unit in each window; it counts from when it is set."""

    amount: Amount
    unit: Unit = "nano_usd"
    span: Span = "total"
    zone: ZoneName = "UTC"
    """IANA name, such as Asia/Shanghai."""


Budgets = Annotated[tuple[BudgetBody, ...], msgspec.Meta(max_length=budgets.BUDGETS_MAX)]


def check_keep_days(days: int, days_max: int) -> None:
    """Raises RequestError (400) where a key would keep content for longer than the operator
    allows."""
    if days > days_max:
        message = f"'keep_content_days' is at most {days_max} here (BATON_CONTENT_DAYS_MAX)."
        raise invalid(message, "keep_content_days")


def checked(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields of a record from those of a body; what the types cannot say is said here."""
    given = fields.get("networks")
    if isinstance(given, tuple | list):
        try:
            networks(map(str, given))
        except ValueError as error:
            raise invalid(f"Invalid 'networks': {error}.", "networks") from None
    found = fields.get("budgets")
    if not isinstance(found, tuple | list):
        return fields
    records = tuple(BudgetRecord(**msgspec.to_builtins(each)) for each in found)
    try:
        budgets.check(records)
    except Unfit as error:
        raise invalid(f"Invalid 'budgets': {error}.", "budgets") from None
    return {**fields, "budgets": records}
