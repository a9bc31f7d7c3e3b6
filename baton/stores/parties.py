"""Organisations, teams and users in the book: who keys belong to, with limits of their own.

Every question may be asked `within` a party: then there is nothing but that party and what is
under it, so that who runs one team cannot reach, or even find, another's.
"""

import time
import unicodedata
from collections.abc import Iterable, Mapping

import msgspec
import sqlalchemy
from sqlalchemy import select

from baton.stores import budgets
from baton.stores.base import BudgetRecord, Duplicate, Missing, PartyKind, PartyRecord, Unfit
from baton.stores.changes import Subject, differences, note, refuse_overtaken
from baton.stores.database import Database
from baton.stores.tables import party

CHANGEABLE = frozenset(PartyRecord.__struct_fields__) - frozenset(
    ("id", "kind", "parent", "created_us", "closed_us")
)
LISTS = ("models", "networks")
PARENTS: dict[PartyKind, tuple[PartyKind, ...]] = {
    "organisation": (),
    "team": ("organisation",),
    "user": ("team", "organisation"),
}
"""What a party of a kind belongs to."""
PLACES: dict[PartyKind, str] = {
    "organisation": "an organisation belongs to nobody",
    "team": "a team belongs to an organisation",
    "user": "a user belongs to a team or an organisation",
}


class Parties:
    """Create, find, change and close parties. Each change is one transaction with its log row."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, record: PartyRecord, actor: str, within: str | None = None) -> None:
        """Store a party. Duplicate when its parent has one of that kind and name, Missing without
        its parent, Unfit when that is of the wrong kind or closed, or for the name."""
        check_name(record.name)
        try:
            with self._database.writing() as connection:
                if within is not None:
                    _reached(connection, record.parent, within)
                _check_parent(connection, record)
                connection.execute(party.insert().values(**_row(record)))
                budgets.put(connection, subject(record), record.budgets)
                note(connection, _named(record, actor), "create", _told(record))
        except sqlalchemy.exc.IntegrityError:
            raise Duplicate(f"there is a {record.kind} named {record.name!r} already") from None

    def get(
        self, party_id: str, within: str | None = None, kind: PartyKind | None = None
    ) -> PartyRecord:
        """Raises Missing, also for what is not within that party, or of another kind."""
        with self._database.reading() as connection:
            found = _reached(connection, party_id, within)[0]
        if kind not in (None, found.kind):
            raise Missing(f"there is no {kind} {party_id!r}")
        return found

    def find(self, text: str, kind: PartyKind | None = None) -> list[PartyRecord]:
        """Parties whose id or name is `text`, oldest first."""
        named = (party.c.id == text) | (party.c.name == text)
        with self._database.reading() as connection:
            return _all(connection, named if kind is None else named & (party.c.kind == kind))

    def all(self, kind: PartyKind | None = None, within: str | None = None) -> list[PartyRecord]:
        """Every party (of a kind), oldest first, closed ones too."""
        with self._database.reading() as connection:
            found = _all(connection)
        reach = None if within is None else _under(found, within)
        return [
            each
            for each in found
            if kind in (None, each.kind) and (reach is None or each.id in reach)
        ]

    def reach(self, within: str) -> frozenset[str]:
        """The ids of a party and all under it."""
        with self._database.reading() as connection:
            return _under(_all(connection), within)

    def lineage(self, party_id: str) -> tuple[PartyRecord, ...]:
        """The party and those that it belongs to, nearest first. Raises Missing."""
        with self._database.reading() as connection:
            return lineage(connection, party_id)

    def update(
        self,
        party_id: str,
        actor: str,
        within: str | None = None,
        seen: Mapping[str, object] | None = None,
        /,
        **changes: object,
    ) -> PartyRecord:
        """Change some of CHANGEABLE; returns the party as it is now. Raises Missing, Duplicate,
        Unfit for a new name, and Overtaken where one of them is not as it was `seen` any more."""
        assert changes.keys() <= CHANGEABLE, changes
        try:
            with self._database.writing() as connection:
                present = _reached(connection, party_id, within)[0]
                refuse_overtaken(present, changes, seen)
                fields = {**msgspec.structs.asdict(present), **changes}
                changed = msgspec.convert(fields, PartyRecord)
                if changed.name != present.name:
                    check_name(changed.name)
                _put(connection, changed)
                if changed.budgets != present.budgets:
                    budgets.put(connection, subject(changed), changed.budgets)
                told = differences(present, changed)
                note(connection, _named(changed, actor), "update", told)
        except sqlalchemy.exc.IntegrityError:
            raise Duplicate(f"there is one named {changes.get('name')!r} already") from None
        return changed

    def close(self, party_id: str, actor: str, within: str | None = None) -> PartyRecord:
        """From now on no key under it is valid, within 1 s in every worker. Closing twice changes
        nothing. Raises Missing."""
        with self._database.writing() as connection:
            present = _reached(connection, party_id, within)[0]
            if present.closed_us is not None:
                return present
            closed = msgspec.structs.replace(present, closed_us=time.time_ns() // 1000)
            _put(connection, closed)
            note(connection, _named(closed, actor), "close", differences(present, closed))
        return closed


def check_name(name: str) -> None:
    """Unfit for a new one that a path could not be made of: names from the organisation down, with
    '/' between them. Two accounts would have one path. What is there from before is left alone."""
    if "/" in name:
        raise Unfit("there is no '/' in the name of an account, as that is between those of a path")
    if any(unicodedata.category(each) in ("Cc", "Zl", "Zp") for each in name):
        raise Unfit("there are no control characters in the name of an account")


def subject(record: PartyRecord) -> str:
    """Its name in budgets and accounts."""
    return f"{record.kind}:{record.id}"


def lineage(connection: sqlalchemy.Connection, party_id: str) -> tuple[PartyRecord, ...]:
    """The party and those that it belongs to, nearest first. Raises Missing."""
    found: tuple[PartyRecord, ...] = ()
    while party_id:
        rows = _all(connection, party.c.id == party_id)
        if not rows:
            raise Missing(f"there is no party {party_id!r}")
        found += (rows[0],)
        party_id = rows[0].parent
    return found


def _reached(
    connection: sqlalchemy.Connection, party_id: str, within: str | None
) -> tuple[PartyRecord, ...]:
    """As `lineage`; what is not within that party is not there."""
    found = lineage(connection, party_id)
    if within is not None and within not in [each.id for each in found]:
        raise Missing(f"there is no party {party_id!r}")
    return found


def _check_parent(connection: sqlalchemy.Connection, record: PartyRecord) -> None:
    kinds = PARENTS[record.kind]
    if not kinds:
        if record.parent:
            raise Unfit(PLACES[record.kind])
        return
    if not record.parent:
        raise Unfit(PLACES[record.kind])
    parents = lineage(connection, record.parent)
    if parents[0].kind not in kinds:
        raise Unfit(PLACES[record.kind])
    if any(each.closed_us is not None for each in parents):
        raise Unfit(f"{record.parent} is closed")


def _all(
    connection: sqlalchemy.Connection, condition: sqlalchemy.ColumnElement[bool] | None = None
) -> list[PartyRecord]:
    query = select(party).order_by(party.c.created_us, party.c.id)
    rows = list(connection.execute(query if condition is None else query.where(condition)))
    subjects = [f"{row.kind}:{row.id}" for row in rows] if condition is not None else None
    budgeted = budgets.within(connection, subjects) if rows else {}
    return [_record(row, budgeted) for row in rows]


def _under(parties: Iterable[PartyRecord], within: str) -> frozenset[str]:
    """A party's id and those of all under it; children may be listed before their parents."""
    parents = {each.id: each.parent for each in parties}

    def reached(party_id: str) -> bool:
        while party_id and party_id != within:
            party_id = parents.get(party_id, "")
        return party_id == within

    return frozenset(each for each in parents if reached(each))


def _put(connection: sqlalchemy.Connection, record: PartyRecord) -> None:
    connection.execute(party.update().where(party.c.id == record.id).values(**_row(record)))


def _row(record: PartyRecord) -> dict[str, object]:
    fields = msgspec.structs.asdict(record)
    del fields["budgets"]
    return fields | {name: msgspec.json.encode(fields[name]).decode() for name in LISTS}


def _record(
    row: sqlalchemy.Row[tuple[object, ...]], budgeted: dict[str, tuple[BudgetRecord, ...]]
) -> PartyRecord:
    fields = dict(row._mapping)
    lists = {name: msgspec.json.decode(str(fields[name]), type=tuple[str, ...]) for name in LISTS}
    mine = budgeted.get(f"{row.kind}:{row.id}", ())
    return PartyRecord(**{**fields, **lists, "budgets": mine})


def _named(record: PartyRecord, actor: str) -> Subject:
    return Subject(record.kind, record.id, actor)


def _told(record: PartyRecord) -> dict[str, object]:
    """What a new party is, for the log: all that is not at its default."""
    return differences(PartyRecord(id="", kind=record.kind, name=""), record)
