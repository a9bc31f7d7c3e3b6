"""Where a caller stands: its limits, what is left of each, and which is the tightest. Pure.

A caller may see its own key, its user, team and organisation as far as they limit it, and nobody
else's use of them but as a sum.
"""

from collections.abc import Mapping, Sequence

import msgspec

from baton.admission.levels import Level
from baton.admission.rates import Left
from baton.stores import allowances, windows
from baton.stores.base import (
    AccountRecord,
    Allowance,
    AllowanceUnit,
    BudgetRecord,
    Span,
    Unit,
)


class BudgetStanding(msgspec.Struct, frozen=True, kw_only=True):
    """A budget in its present window; amounts in its unit."""

    unit: Unit
    span: Span
    zone: str
    amount: int
    used: int
    held: int
    """Set aside for requests under way, or lent to processes for the next ones."""
    remaining: int
    resets_us: int | None
    """When the next window begins; null: never."""


class LevelStanding(msgspec.Struct, frozen=True, kw_only=True):
    """One level: the key itself, or a user, team or organisation above it. null: no limit."""

    kind: str
    id: str
    name: str
    models: tuple[str, ...]
    requests_per_minute: int | None
    requests_remaining: int | None
    tokens_per_minute: int | None
    tokens_remaining: int | None
    requests_at_once: int | None
    requests_at_once_remaining: int | None
    budgets: list[BudgetStanding]


class FreeStanding(msgspec.Struct, frozen=True, kw_only=True):
    """What a key may use of a model without a charge, in its present window (UTC)."""

    model: str
    unit: AllowanceUnit
    span: Span
    amount: int
    used: int
    held: int
    """Set aside for requests under way, or lent to processes for the next ones."""
    remaining: int
    resets_us: int | None
    """When the next window begins; null: never."""


class Tightest(msgspec.Struct, frozen=True, kw_only=True):
    """The limit of which the smallest part is left."""

    kind: str
    id: str
    limit: str
    """requests_per_minute | tokens_per_minute | requests_at_once | unit/span of a budget"""
    amount: int
    remaining: int


def level_standings(
    levels: Sequence[Level],
    own_budget_nano: int | None,
    balances: Mapping[str, AccountRecord],
    left: Mapping[str, Left],
    at_us: int,
) -> list[LevelStanding]:
    """Where each level stands at that moment; `own_budget_nano` is the key's budget in all."""
    found = []
    for level in levels:
        budgets = [_budget(level.account, each, balances, at_us) for each in level.budgets]
        if level.kind == "key" and own_budget_nano is not None:
            own = BudgetRecord(amount=own_budget_nano)
            budgets.insert(0, _balance(own, balances.get(level.account), None))
        found.append(_level(level, left.get(level.account, Left(None, None, None)), budgets))
    return found


def free_accounts(account: str, free: Mapping[str, Allowance], at_us: int) -> dict[str, str]:
    """The accounts of a key's allowances at that moment, by model; `account` is the key's own."""
    return {model: allowances.name(account, model, each, at_us) for model, each in free.items()}


def free_standings(
    account: str,
    free: Mapping[str, Allowance],
    balances: Mapping[str, AccountRecord],
    at_us: int,
) -> list[FreeStanding]:
    """What is left of each at that moment; of one that was not used yet, all."""
    names = free_accounts(account, free, at_us)
    return [_free(model, each, balances.get(names[model]), at_us) for model, each in free.items()]


def _free(
    model: str, allowance: Allowance, balance: AccountRecord | None, at_us: int
) -> FreeStanding:
    window = windows.of(BudgetRecord(amount=0, span=allowance.span), at_us)
    used = 0 if balance is None else balance.posted_nano
    held = 0 if balance is None else balance.leased_nano
    return FreeStanding(
        model=model,
        unit=allowance.unit,
        span=allowance.span,
        amount=allowance.amount,
        used=used,
        held=held,
        remaining=max(0, allowance.amount - used - held),
        resets_us=window.end_us,
    )


def tightest(levels: Sequence[LevelStanding]) -> Tightest | None:
    """None where nothing limits the caller."""
    found = [each for level in levels for each in _limits(level)]
    return min(found, key=lambda each: each.remaining / max(1, each.amount), default=None)


def _limits(level: LevelStanding) -> list[Tightest]:
    amounts = [
        ("requests_per_minute", level.requests_per_minute, level.requests_remaining),
        ("tokens_per_minute", level.tokens_per_minute, level.tokens_remaining),
        ("requests_at_once", level.requests_at_once, level.requests_at_once_remaining),
        *((f"{each.unit}/{each.span}", each.amount, each.remaining) for each in level.budgets),
    ]
    return [
        Tightest(kind=level.kind, id=level.id, limit=name, amount=amount, remaining=remaining)
        for name, amount, remaining in amounts
        if amount is not None and remaining is not None
    ]


def _level(level: Level, left: Left, budgets: list[BudgetStanding]) -> LevelStanding:
    limit = level.limit
    return LevelStanding(
        kind=level.kind,
        id=level.id,
        name=level.name,
        models=level.models,
        requests_per_minute=limit.requests_per_minute,
        requests_remaining=left.requests,
        tokens_per_minute=limit.tokens_per_minute,
        tokens_remaining=left.tokens,
        requests_at_once=limit.requests_at_once,
        requests_at_once_remaining=left.at_once,
        budgets=budgets,
    )


def _budget(
    account: str, budget: BudgetRecord, balances: Mapping[str, AccountRecord], at_us: int
) -> BudgetStanding:
    balance = balances.get(windows.account(account, budget, at_us))
    return _balance(budget, balance, windows.of(budget, at_us).end_us)


def _balance(
    budget: BudgetRecord, balance: AccountRecord | None, resets_us: int | None
) -> BudgetStanding:
    used = 0 if balance is None else balance.posted_nano
    held = 0 if balance is None else balance.leased_nano
    return BudgetStanding(
        unit=budget.unit,
        span=budget.span,
        zone=budget.zone,
        amount=budget.amount,
        used=used,
        held=held,
        remaining=max(0, budget.amount - used - held),
        resets_us=resets_us,
    )
