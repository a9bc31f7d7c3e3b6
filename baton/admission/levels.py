"""What holds for a key: its own limits, and those of everybody above it. Pure.

A key, its user, its team and its organisation are *levels*, the key first. A request must pass all
of them: models that every level allows, an address in every level's networks, a budget of each, a
rate of each; the first to expire ends it.
"""

from collections.abc import Sequence

import msgspec

from baton.admission.origins import Networks, networks
from baton.admission.rates import Limit
from baton.ledger.entries import Bound, Payer
from baton.stores import windows
from baton.stores.base import BudgetRecord, KeyRecord, PartyRecord

NEVER_S = float("inf")
WORDS = {"total": "in all", "day": "for the day", "week": "for the week", "month": "for the month"}


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """A key or a party, as far as it limits requests."""

    kind: str
    """key | user | team | organisation"""
    id: str
    name: str
    account: str
    """Kind and id: begins the names of its budgets' accounts."""
    models: tuple[str, ...]
    networks: Networks
    ends_s: float
    """Seconds since 1970."""
    limit: Limit
    budgets: tuple[BudgetRecord, ...]

    @property
    def title(self) -> str:
        """What errors call it."""
        return f"the {self.kind} '{self.name}'"


def levels(record: KeyRecord, lineage: Sequence[PartyRecord]) -> tuple[Level, ...]:
    """The key's levels; `lineage` are the parties above it, nearest first."""
    ends = [record.expires_us, record.revoked_us]
    return (
        _level("key", record, ends),
        *map(party_level, lineage),
    )


def party_level(record: PartyRecord) -> Level:
    return _level(record.kind, record, [record.expires_us, record.closed_us])


def _level(kind: str, record: KeyRecord | PartyRecord, ends_us: Sequence[int | None]) -> Level:
    account = f"{kind}:{record.id}"
    return Level(
        kind=kind,
        id=record.id,
        name=record.name,
        account=account,
        models=record.models,
        networks=networks(record.networks),
        ends_s=min((end / 1e6 for end in ends_us if end is not None), default=NEVER_S),
        limit=Limit(
            account,
            f"the {kind} '{record.name}'",
            record.requests_per_minute,
            record.tokens_per_minute,
            record.requests_at_once,
        ),
        budgets=record.budgets,
    )


def limits(of: Sequence[Level]) -> tuple[Limit, ...]:
    """The rates that a request counts against."""
    return tuple(
        level.limit
        for level in of
        if level.limit.lasting or level.limit.requests_per_minute is not None
    )


def ends_s(of: Sequence[Level]) -> float:
    """When the first of them ends, in seconds since 1970."""
    return min(level.ends_s for level in of)


def models(of: Sequence[Level]) -> frozenset[str] | None:
    """What every level allows; None: everything."""
    allowed: frozenset[str] | None = None
    for level in of:
        if level.models:
            mine = frozenset(level.models)
            allowed = mine if allowed is None else allowed & mine
    return allowed


def payer(record: KeyRecord, of: Sequence[Level], at_us: int) -> tuple[Payer, int | None]:
    """On whose accounts a request of that moment goes, and until when that holds: the end of the
    first window to end."""
    bounds: dict[str, Bound] = {}
    if record.budget_nano is not None:
        bounds[record.account] = Bound(f"the budget of {of[0].title}", None)
    for level in of:
        for budget in level.budgets:
            window = windows.of(budget, at_us)
            name = f"the {_what(budget)} of {level.title} {WORDS[budget.span]}"
            account = windows.account(level.account, budget, at_us)
            bounds[account] = Bound(name, window.end_us)
    ends = [bound.frees_us for bound in bounds.values() if bound.frees_us is not None]
    further = tuple(name for name in bounds if name != record.account)
    money_alone = len(bounds) == 1 and not next(iter(bounds)).startswith(windows.UNITS)
    limited = tuple(bounds)
    found = Payer(record.id, record.account, limited, further, of[0].title, bounds, money_alone)
    return found, min(ends, default=None)


def _what(budget: BudgetRecord) -> str:
    return "token quota" if budget.unit == "tokens" else "budget"
