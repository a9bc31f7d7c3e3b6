"""Limits as people write them on a command line: budgets by amount, window and time zone.

50                      USD in all
50/month                USD in each month (UTC)
2.5/day@Asia/Shanghai   USD in each day there
1000000/week            tokens, where a quota is asked for
"""

import time
from collections.abc import Iterable
from typing import Annotated, get_args

import typer

from baton.cli.main import CommandError
from baton.cli.money import nano, usd
from baton.cli.output import moment_us
from baton.stores import windows
from baton.stores.base import BudgetRecord, Span

Budgets = Annotated[
    list[str] | None,
    typer.Option("--budget", help="USD: 50, 50/month, 2/day@Asia/Shanghai. Repeat."),
]
Quotas = Annotated[
    list[str] | None, typer.Option("--quota", help="Tokens: 1000000, 50000/day. Repeat.")
]
PerMinute = Annotated[int | None, typer.Option(help="Requests per minute at most.", min=1)]
TokensPerMinute = Annotated[int | None, typer.Option(help="Tokens per minute at most.", min=1)]
AtOnce = Annotated[int | None, typer.Option(help="Requests under way at once at most.", min=1)]
NetworkList = Annotated[
    list[str] | None, typer.Option("--network", help="Address or CIDR it may come from. Repeat.")
]


def budgets(money: Iterable[str] | None, tokens: Iterable[str] | None) -> list[BudgetRecord]:
    """What `--budget` and `--quota` say."""
    return [
        *(_budget(text, money=True) for text in money or ()),
        *(_budget(text, money=False) for text in tokens or ()),
    ]


def expiry(text: str | None) -> int | None:
    """A time in the future, in microseconds since 1970."""
    now_us = time.time_ns() // 1000
    at_us = None if text is None else moment_us(text, now_us)
    if at_us is not None and at_us <= now_us:
        raise CommandError(f"--expires {text} is not in the future")
    return at_us


def written(budget: BudgetRecord) -> str:
    """As it would be written, with its unit."""
    amount = f"${usd(budget.amount)}" if budget.unit == "nano_usd" else f"{budget.amount} tokens"
    if budget.span == "total":
        return amount
    return f"{amount}/{budget.span}" + ("" if budget.zone == "UTC" else f"@{budget.zone}")


def _budget(text: str, *, money: bool) -> BudgetRecord:
    amount, _, window = text.partition("/")
    span, _, zone = window.partition("@")
    if span and span not in get_args(Span):
        raise CommandError(f"'{text}': a window is one of {', '.join(get_args(Span))}")
    try:
        windows.zone(zone or "UTC")
    except ValueError as error:
        raise CommandError(f"'{text}': {error}") from None
    given = {"span": span or "total", "zone": zone or "UTC"}
    if money:
        return BudgetRecord(amount=nano(amount), **given)  # type: ignore[arg-type]
    if not amount.strip().isdecimal():
        raise CommandError(f"'{text}': a quota is a whole number of tokens")
    return BudgetRecord(amount=int(amount), unit="tokens", **given)  # type: ignore[arg-type]
