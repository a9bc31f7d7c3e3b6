"""Organisations, teams and users in the TOML file of `apply`, and what differs from the store.

    [[account]]
    kind = "organisation"
    name = "Acme"
    budgets = ["50/month@Asia/Shanghai"]     # USD; quotas = ["1000000/day"] are tokens

    [[account]]
    kind = "team"
    name = "Core"
    parent = "Acme"                          # a user's: "Acme/Core"

An account is meant by its path, the names from its organisation down; a key names its `owner` so,
and its `owner_kind` where accounts of two kinds have that path.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from baton.cli import limits
from baton.cli.checked import party_fields
from baton.cli.main import CommandError
from baton.cli.output import moment_us, when
from baton.stores.base import BudgetRecord, PartyKind, PartyRecord, Unfit
from baton.stores.parties import PARENTS, check_name

KINDS: tuple[PartyKind, ...] = ("organisation", "team", "user")
FIELDS = (
    "expires_us",
    "models",
    "networks",
    "requests_per_minute",
    "tokens_per_minute",
    "requests_at_once",
    "budgets",
)


class AccountEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An organisation, a team or a user. What is left out is unlimited."""

    kind: PartyKind
    name: str
    parent: str = ""
    expires: str | None = None
    models: list[str] = []
    networks: list[str] = []
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    requests_at_once: int | None = None
    budgets: list[str] = []
    quotas: list[str] = []

    @property
    def path(self) -> str:
        return f"{self.parent}/{self.name}" if self.parent else self.name


class Known(NamedTuple):
    """An account that is there."""

    kind: PartyKind
    id: str


class AccountChange(msgspec.Struct, frozen=True, kw_only=True):
    """What to do with one account; `fields` of a new one name its parent by its path."""

    action: Literal["create", "update", "close"]
    path: str
    id: str = ""
    fields: dict[str, Any] = {}


def paths(parties: Iterable[PartyRecord]) -> dict[str, str]:
    """By id, the names from the organisation down."""
    by_id = {record.id: record for record in parties}

    def path(record: PartyRecord) -> str:
        above = by_id.get(record.parent)
        return record.name if above is None else f"{path(above)}/{record.name}"

    return {party_id: path(record) for party_id, record in by_id.items()}


def by_path(parties: Iterable[PartyRecord]) -> dict[str, list[Known]]:
    """Accounts that are not closed: two of different kinds may have one path."""
    known = list(parties)
    names, found = paths(known), defaultdict[str, list[Known]](list)
    for record in known:
        if record.closed_us is None:
            found[names[record.id]].append(Known(record.kind, record.id))
    return found


def meant(ids: Mapping[str, list[Known]], path: str, kinds: Collection[PartyKind]) -> str:
    """The account of that path, of one of these kinds; CommandError when there is none, or two."""
    found = [each.id for each in ids.get(path, []) if each.kind in kinds]
    if len(found) != 1:
        raise CommandError(f"there is {'more than one' if found else 'no'} account {path!r}")
    return found[0]


def place_of(fields: Mapping[str, Any], ids: Mapping[str, list[Known]]) -> str:
    """Which account a new account, or key, belongs to; "" for nobody's. Raises as `meant`."""
    if "kind" in fields:
        path, kinds = fields["parent"], PARENTS[fields["kind"]] or KINDS
    else:
        kind = fields.get("owner_kind")
        path, kinds = fields["owner"], KINDS if kind is None else (kind,)
    return meant(ids, path, kinds) if path else ""


def account_changes(
    wanted: Iterable[AccountEntry], present: list[PartyRecord], now_us: int, *, prune: bool
) -> Iterator[AccountChange]:
    """What to do, parents first. `prune` closes accounts that the file does not name."""
    names = paths(present)
    there = {(record.kind, names[record.id]): record for record in present}
    for entry in sorted(wanted, key=lambda entry: KINDS.index(entry.kind)):
        record = there.pop((entry.kind, entry.path), None)
        fields = _fields(entry, now_us)
        if record is None:
            _check_name(entry)
            made = {**fields, "name": entry.name, "kind": entry.kind, "parent": entry.parent}
            yield AccountChange(action="create", path=entry.path, fields=made)
            continue
        if record.closed_us is not None:
            raise CommandError(f"account {entry.path}: it was closed, and never comes back")
        differing = {each: fields[each] for each in FIELDS if fields[each] != getattr(record, each)}
        if differing:
            yield AccountChange(action="update", path=entry.path, id=record.id, fields=differing)
    for (_, path), record in there.items() if prune else ():
        if record.closed_us is None:
            yield AccountChange(action="close", path=path, id=record.id)


def living(parties: Iterable[PartyRecord]) -> list[PartyRecord]:
    """Those that are not closed, nor under one that is; what others belong to first."""
    by_id = {record.id: record for record in parties}

    def open_(record: PartyRecord) -> bool:
        above = by_id.get(record.parent)
        return record.closed_us is None and (above is None or open_(above))

    return sorted(filter(open_, by_id.values()), key=lambda record: KINDS.index(record.kind))


def entries(parties: list[PartyRecord]) -> list[AccountEntry]:
    """What would make the living ones."""
    names = paths(parties)
    return [_entry(record, names.get(record.parent, "")) for record in living(parties)]


def texts(budgets: Iterable[BudgetRecord]) -> Mapping[str, list[str]]:
    """Budgets as the file writes them."""
    found: dict[str, list[str]] = {"budgets": [], "quotas": []}
    for each in budgets:
        words = limits.written(each).removeprefix("$").replace(" tokens", "")
        found["budgets" if each.unit == "nano_usd" else "quotas"].append(words)
    return found


def ordered(budgets: Iterable[BudgetRecord]) -> tuple[BudgetRecord, ...]:
    """As the store lists them."""
    return tuple(sorted(budgets, key=lambda each: (each.unit, each.span)))


def _check_name(entry: AccountEntry) -> None:
    try:
        check_name(entry.name)
    except Unfit as error:
        raise CommandError(f"account {entry.path}: {error}") from None


def _entry(record: PartyRecord, parent: str) -> AccountEntry:
    return AccountEntry(
        kind=record.kind,
        name=record.name,
        parent=parent,
        expires=when(record.expires_us, exact=True),
        models=list(record.models),
        networks=list(record.networks),
        requests_per_minute=record.requests_per_minute,
        tokens_per_minute=record.tokens_per_minute,
        requests_at_once=record.requests_at_once,
        **texts(record.budgets),
    )


def _fields(entry: AccountEntry, now_us: int) -> dict[str, Any]:
    fields = {name: getattr(entry, name) for name in entry.__struct_fields__}
    for name in ("kind", "parent", "expires", "budgets", "quotas"):
        del fields[name]
    fields["expires_us"] = None if entry.expires is None else moment_us(entry.expires, now_us)
    fields["budgets"] = limits.budgets(entry.budgets, entry.quotas)
    checked = party_fields(fields)
    return {**checked, "budgets": ordered(limits.budgets(entry.budgets, entry.quotas))}
