"""Keys in the book. Nothing here knows a key's value: only its digest comes in."""

import time
from collections.abc import Collection, Iterable, Mapping

import msgspec
import sqlalchemy
from sqlalchemy import or_, select

from baton.stores import budgets, contents, parties
from baton.stores.base import BudgetRecord, Duplicate, KeyRecord, Missing, Overtaken, Unfit
from baton.stores.changes import Subject, differences, note, refuse_overtaken
from baton.stores.database import Database
from baton.stores.tables import account, key

FIXED = frozenset(
    (
        "id",
        "digest",
        "head",
        "tail",
        "role",
        "created_us",
        "revoked_us",
        "owner",
        "previous_digest",
        "previous_until_us",
    )
)
CHANGEABLE = frozenset(KeyRecord.__struct_fields__) - FIXED
FLAGS = ("strict", "deterministic", "parse_special")
LISTS = ("models", "networks")
HIDDEN = ("digest", "previous_digest")
"""Never written in the log."""

_records = select(key, account.c.limit_nano.label("budget_nano")).join(
    account, account.c.id == "key:" + key.c.id
)


class Keys:
    """Create, find, change and revoke keys. Each change is one transaction with its log row.

    `owners`, where given, are parties: of keys that belong to none of them there is nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, record: KeyRecord, actor: str) -> None:
        """Store a key and open its account. Duplicate when that id or that very key is there,
        Missing when its owner is not."""
        self.add_all([record], actor)

    def add_all(self, records: Iterable[KeyRecord], actor: str) -> None:
        """As `add`, in one transaction: all of them or none."""
        with self._database.writing() as connection:
            for record in records:
                try:
                    _add(connection, record, actor)
                except sqlalchemy.exc.IntegrityError:
                    raise Duplicate(f"the key {record.head}… is stored already") from None

    def by_digest(self, digest: bytes) -> KeyRecord | None:
        """The key with that SHA-256, also when it is revoked or expired; a rotated key also by its
        previous one, for as long as that is kept."""
        mine = or_(key.c.digest == digest, key.c.previous_digest == digest)
        with self._database.reading() as connection:
            found = _all(connection, mine)
        return min(found, key=lambda record: record.digest != digest, default=None)

    def get(self, key_id: str, owners: Collection[str] | None = None) -> KeyRecord:
        """Raises Missing."""
        with self._database.reading() as connection:
            return _get(connection, key_id, owners)

    def find(self, text: str) -> list[KeyRecord]:
        """Keys whose id or name is `text`, oldest first."""
        with self._database.reading() as connection:
            return _all(connection, or_(key.c.id == text, key.c.name == text))

    def all(self, owners: Collection[str] | None = None) -> list[KeyRecord]:
        """Every key, oldest first, revoked ones too."""
        with self._database.reading() as connection:
            return _all(connection, None if owners is None else key.c.owner.in_(owners))

    def update(
        self,
        key_id: str,
        actor: str,
        owners: Collection[str] | None = None,
        seen: Mapping[str, object] | None = None,
        /,
        **changes: object,
    ) -> KeyRecord:
        """Change some of CHANGEABLE; returns the key as it is now. Raises Missing; Overtaken where
        one of them is not as it was `seen` any more; Unfit for a default model that the key may not
        use, also where another has just taken it away.

        What was kept of a key that keeps no content any more is removed."""
        assert changes.keys() <= CHANGEABLE, changes
        with self._database.writing() as connection:
            present = _get(connection, key_id, owners)
            refuse_overtaken(present, changes, seen)
            fields = {**msgspec.structs.asdict(present), **changes}
            changed = msgspec.convert(fields, KeyRecord, builtin_types=(bytes,))
            if changes.keys() & {"models", "default_model"}:
                _check_default(changed)
            mine = account.c.id == changed.account
            connection.execute(account.update().where(mine).values(limit_nano=changed.budget_nano))
            if changed.budgets != present.budgets:
                budgets.put(connection, changed.account, changed.budgets)
            _put(connection, present, changed, Subject("key", key_id, actor), "update")
        if present.keep_content_days and not changed.keep_content_days:
            contents.forget(self._database, key_id)
        return changed

    def rotate(self, fresh: KeyRecord, actor: str) -> KeyRecord:
        """Give a key the new digest, head and tail of `fresh`; its present value, which
        `fresh.previous_digest` names, stays valid until `fresh.previous_until_us`, one before that
        no longer. Raises Missing, Duplicate when that value is stored already, and Overtaken when
        the present value is another by now: the one that was seen would end at once."""
        try:
            with self._database.writing() as connection:
                present = _get(connection, fresh.id, None)
                if present.revoked_us is not None:
                    raise Unfit(f"{fresh.id} was revoked, and a revoked key never comes back")
                if present.digest != fresh.previous_digest:
                    raise Overtaken(f"{fresh.id} has a new value by now")
                changed = msgspec.structs.replace(
                    present,
                    digest=fresh.digest,
                    head=fresh.head,
                    tail=fresh.tail,
                    previous_digest=fresh.previous_digest,
                    previous_until_us=fresh.previous_until_us,
                )
                _put(connection, present, changed, Subject("key", fresh.id, actor), "rotate")
        except sqlalchemy.exc.IntegrityError:
            raise Duplicate(f"the key {fresh.head}… is stored already") from None
        return changed

    def revoke(self, key_id: str, actor: str, owners: Collection[str] | None = None) -> KeyRecord:
        """From now on it is refused, within 1 s in every worker. Revoking twice changes nothing."""
        with self._database.writing() as connection:
            present = _get(connection, key_id, owners)
            if present.revoked_us is not None:
                return present
            revoked = msgspec.structs.replace(present, revoked_us=time.time_ns() // 1000)
            _put(connection, present, revoked, Subject("key", key_id, actor), "revoke")
        return revoked


def _check_default(record: KeyRecord) -> None:
    if record.models and record.default_model not in (None, *record.models):
        raise Unfit("the default model is not among the key's models")


def _add(connection: sqlalchemy.Connection, record: KeyRecord, actor: str) -> None:
    row = _row(record)
    budget = row.pop("budget_nano")
    if record.owner is not None:
        parties.lineage(connection, record.owner)
    connection.execute(key.insert().values(**row))
    connection.execute(account.insert().values(id=record.account, limit_nano=budget))
    budgets.put(connection, record.account, record.budgets)
    told = differences(_nothing(record), record, HIDDEN)
    note(connection, Subject("key", record.id, actor), "create", told)


def _get(
    connection: sqlalchemy.Connection, key_id: str, owners: Collection[str] | None
) -> KeyRecord:
    found = _all(connection, key.c.id == key_id)
    if not found or (owners is not None and found[0].owner not in owners):
        raise Missing(f"there is no key {key_id!r}")
    return found[0]


def _all(
    connection: sqlalchemy.Connection, condition: sqlalchemy.ColumnElement[bool] | None
) -> list[KeyRecord]:
    query = _records.order_by(key.c.created_us, key.c.id)
    rows = list(connection.execute(query if condition is None else query.where(condition)))
    subjects = [f"key:{row.id}" for row in rows] if condition is not None else None
    budgeted = budgets.within(connection, subjects) if rows else {}
    return [_record(row, budgeted.get(f"key:{row.id}", ())) for row in rows]


def _put(
    connection: sqlalchemy.Connection,
    present: KeyRecord,
    changed: KeyRecord,
    subject: Subject,
    action: str,
) -> None:
    row = _row(changed)
    del row["budget_nano"]
    connection.execute(key.update().where(key.c.id == changed.id).values(**row))
    note(connection, subject, action, differences(present, changed, HIDDEN))


def _nothing(record: KeyRecord) -> KeyRecord:
    """A key with nothing set: what a new one is compared with in the log."""
    return KeyRecord(id=record.id, name="", digest=record.digest, head="", tail="", created_us=0)


def _row(record: KeyRecord) -> dict[str, object]:
    fields = msgspec.structs.asdict(record)
    del fields["budgets"]
    lists = {name: msgspec.json.encode(fields[name]).decode() for name in LISTS}
    return {**fields, **lists, **{flag: int(fields[flag]) for flag in FLAGS}}


def _record(
    row: sqlalchemy.Row[tuple[object, ...]], budgeted: tuple[BudgetRecord, ...]
) -> KeyRecord:
    fields = dict(row._mapping)
    lists = {name: msgspec.json.decode(str(fields[name]), type=tuple[str, ...]) for name in LISTS}
    flags = {flag: bool(fields[flag]) for flag in FLAGS}
    return KeyRecord(**{**fields, **lists, **flags, "budgets": budgeted})
