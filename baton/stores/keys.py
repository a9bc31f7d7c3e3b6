"""Keys in the book. Nothing here knows a key's value: only its digest comes in."""

import time

import msgspec
import sqlalchemy
from sqlalchemy import or_, select

from baton.stores.base import Duplicate, KeyRecord, Missing
from baton.stores.changes import Subject, note
from baton.stores.database import Database
from baton.stores.tables import account, key

CHANGEABLE = frozenset(KeyRecord.__struct_fields__) - frozenset(
    ("id", "digest", "head", "tail", "role", "created_us", "revoked_us")
)
FLAGS = ("strict", "deterministic", "parse_special")

_records = select(key, account.c.limit_nano.label("budget_nano")).join(
    account, account.c.id == "key:" + key.c.id
)


class Keys:
    """Create, find, change and revoke keys. Each change is one transaction with its log row."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, record: KeyRecord, actor: str) -> None:
        """Store a key and open its account. Duplicate when that id or that very key is there."""
        row = _row(record)
        budget = row.pop("budget_nano")
        try:
            with self._database.writing() as connection:
                connection.execute(key.insert().values(**row))
                connection.execute(account.insert().values(id=record.account, limit_nano=budget))
                note(connection, Subject("key", record.id, actor), "create", {"name": record.name})
        except sqlalchemy.exc.IntegrityError:
            raise Duplicate(f"the key {record.head}… is stored already") from None

    def by_digest(self, digest: bytes) -> KeyRecord | None:
        """The key with that SHA-256, also when it is revoked or expired."""
        with self._database.reading() as connection:
            row = connection.execute(_records.where(key.c.digest == digest)).one_or_none()
        return None if row is None else _record(row)

    def get(self, key_id: str) -> KeyRecord:
        """Raises Missing."""
        with self._database.reading() as connection:
            return _get(connection, key_id)

    def find(self, text: str) -> list[KeyRecord]:
        """Keys whose id or name is `text`, oldest first."""
        query = _records.where(or_(key.c.id == text, key.c.name == text)).order_by(key.c.created_us)
        with self._database.reading() as connection:
            return [_record(row) for row in connection.execute(query)]

    def all(self) -> list[KeyRecord]:
        """Every key, oldest first, revoked ones too."""
        with self._database.reading() as connection:
            rows = connection.execute(_records.order_by(key.c.created_us, key.c.id))
            return [_record(row) for row in rows]

    def update(self, key_id: str, actor: str, **changes: object) -> KeyRecord:
        """Change some of CHANGEABLE; returns the key as it is now. Raises Missing."""
        assert changes.keys() <= CHANGEABLE, changes
        with self._database.writing() as connection:
            present = _get(connection, key_id)
            changed = msgspec.convert(
                {**msgspec.structs.asdict(present), **changes}, KeyRecord, builtin_types=(bytes,)
            )
            row = _row(changed)
            budget = row.pop("budget_nano")
            connection.execute(key.update().where(key.c.id == key_id).values(**row))
            mine = account.c.id == changed.account
            connection.execute(account.update().where(mine).values(limit_nano=budget))
            note(connection, Subject("key", key_id, actor), "update", changes)
        return changed

    def revoke(self, key_id: str, actor: str) -> KeyRecord:
        """From now on it is refused, within 1 s in every worker. Revoking twice changes nothing."""
        with self._database.writing() as connection:
            present = _get(connection, key_id)
            if present.revoked_us is not None:
                return present
            at_us = time.time_ns() // 1000
            connection.execute(key.update().where(key.c.id == key_id).values(revoked_us=at_us))
            note(connection, Subject("key", key_id, actor), "revoke")
        return msgspec.structs.replace(present, revoked_us=at_us)


def _get(connection: sqlalchemy.Connection, key_id: str) -> KeyRecord:
    row = connection.execute(_records.where(key.c.id == key_id)).one_or_none()
    if row is None:
        raise Missing(f"there is no key {key_id!r}")
    return _record(row)


def _row(record: KeyRecord) -> dict[str, object]:
    fields = msgspec.structs.asdict(record)
    fields["models"] = msgspec.json.encode(record.models).decode()
    return {**fields, **{flag: int(fields[flag]) for flag in FLAGS}}


def _record(row: sqlalchemy.Row[tuple[object, ...]]) -> KeyRecord:
    fields = dict(row._mapping)
    fields["models"] = msgspec.json.decode(str(fields["models"]), type=tuple[str, ...])
    return KeyRecord(**{**fields, **{flag: bool(fields[flag]) for flag in FLAGS}})
