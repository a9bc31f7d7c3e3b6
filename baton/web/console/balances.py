"""Where keys and parties stand that are not the visitor's own: limits, and budgets as bars."""

from collections.abc import Sequence

from baton.admission.levels import Level, levels, party_level
from baton.stores import windows
from baton.stores.base import KeyRecord, PartyRecord
from baton.web.admin import stored
from baton.web.console.call import Call
from baton.web.standing import BudgetStanding, level_standings


async def budgets_of(
    call: Call, records: Sequence[KeyRecord] | Sequence[PartyRecord]
) -> dict[str, list[BudgetStanding]]:
    """The budgets of each in their present windows, by id: one look at the book for all."""
    now_us = call.services.clock_us()
    found = {each.id: (_level(each), _own(each)) for each in records}
    names = []
    for level, own in found.values():
        names += [windows.account(level.account, each, now_us) for each in level.budgets]
        names += [level.account] if own is not None else []
    balances = await stored(call.services.accounts.some, names)
    return {
        party: level_standings([level], own, balances, {}, now_us)[0].budgets
        for party, (level, own) in found.items()
    }


def _level(record: KeyRecord | PartyRecord) -> Level:
    return levels(record, ())[0] if isinstance(record, KeyRecord) else party_level(record)


def _own(record: KeyRecord | PartyRecord) -> int | None:
    return record.budget_nano if isinstance(record, KeyRecord) else None
