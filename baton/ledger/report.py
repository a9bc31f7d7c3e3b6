"""A report of usage as it is handed out: shares, margin, and amounts in a currency. Pure."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from baton.ledger.currency import Currency
from baton.stores.base import UsageRecord

GROUPS = ("day", "organisation", "team", "user", "key_id", "model", "upstream", "end_user")
"""What sums can be grouped by, in the order of columns."""
USD = Currency()


class UsageLine(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over requests. What a report does not group by is ""; amounts are nano-USD, and texts
    in the display currency."""

    day: str = ""
    organisation: str = ""
    team: str = ""
    user: str = ""
    key_id: str = ""
    model: str = ""
    upstream: str = ""
    end_user: str = ""
    requests: int
    failed: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    cached_percent: float
    """Of the prompt tokens."""
    estimated_percent: float
    """Of the requests: their tokens were counted by Baton, as nobody reported them."""
    charge_nano: int
    cost_nano: int
    margin_nano: int
    currency: str
    charge: str
    cost: str
    margin: str


def line(record: UsageRecord, currency: Currency = USD) -> UsageLine:
    return UsageLine(
        **{name: getattr(record, name) for name in GROUPS},
        requests=record.requests,
        failed=record.failed,
        prompt_tokens=record.prompt_tokens,
        cached_tokens=record.cached_tokens,
        completion_tokens=record.completion_tokens,
        cached_percent=percent(record.cached_tokens, record.prompt_tokens),
        estimated_percent=percent(record.estimated, record.requests),
        charge_nano=record.charge_nano,
        cost_nano=record.cost_nano,
        margin_nano=record.margin_nano,
        currency=currency.code,
        charge=currency.text(record.charge_nano),
        cost=currency.text(record.cost_nano),
        margin=currency.text(record.margin_nano),
    )


def percent(part: int, whole: int) -> float:
    """To a hundredth of a percent; 0 of nothing."""
    return round(100 * part / whole, 2) if whole else 0.0


def as_csv(lines: Iterable[UsageLine], groups: Sequence[str]) -> str:
    """A line of headings, then one a row; only the groups that were asked for."""
    columns = [n for n in UsageLine.__struct_fields__ if n not in GROUPS or n in groups]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(name, getattr(each, name)) for name in columns] for each in lines)
    return text.getvalue()


def _cell(name: str, value: Any) -> Any:
    """A caller chooses its `user`: no spreadsheet shall take it for a formula. Amounts may be
    negative."""
    risky = name in GROUPS and value[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{value}" if risky else value
