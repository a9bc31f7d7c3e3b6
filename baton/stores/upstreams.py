"""Upstreams in the book: one JSON document each, and what is secret of it sealed beside it.

Sealed is the provider key as it stands, or, where there are further keys or headers, all of them as
JSON behind a NUL, which no key begins with.
"""

from collections.abc import Mapping

import msgspec
import sqlalchemy
from sqlalchemy import select

from baton.stores.base import Duplicate, Missing, Unsealable, UpstreamRecord
from baton.stores.changes import Subject, note, refuse_overtaken
from baton.stores.database import Database
from baton.stores.tables import upstream
from baton.stores.vault import Vault


class _Secrets(msgspec.Struct, frozen=True, omit_defaults=True):
    """What of a record is sealed."""

    secret: str | None = None
    more_secrets: tuple[str, ...] = ()
    headers: dict[str, str] = {}


SEVERAL = "\0"
SECRET_FIELDS = _Secrets.__struct_fields__


class Upstreams:
    """Add, list, change and remove upstreams. `secret` is opened only where it is asked for."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database, self._vault = database, vault

    def add(self, record: UpstreamRecord, actor: str) -> None:
        """Raises Duplicate when the name is taken."""
        try:
            with self._database.writing() as connection:
                connection.execute(upstream.insert().values(**self._row(record)))
                note(connection, Subject("upstream", record.name, actor), "create", _open(record))
        except sqlalchemy.exc.IntegrityError:
            raise Duplicate(f"there is an upstream {record.name!r} already") from None

    def all(self, *, secrets: bool = False) -> list[UpstreamRecord]:
        """By name. With `secrets`, each with its provider key in plain text."""
        with self._database.reading() as connection:
            return self.within(connection, secrets=secrets)

    def within(
        self, connection: sqlalchemy.Connection, *, secrets: bool = False
    ) -> list[UpstreamRecord]:
        rows = connection.execute(select(upstream).order_by(upstream.c.name))
        return [self._record(row, secrets) for row in rows]

    def get(self, name: str, *, secrets: bool = False) -> UpstreamRecord:
        """Raises Missing."""
        with self._database.reading() as connection:
            return self._get(connection, name, secrets)

    def update(
        self,
        name: str,
        actor: str,
        seen: Mapping[str, object] | None = None,
        /,
        **changes: object,
    ) -> UpstreamRecord:
        """Change any field but `name`; `secret=None` forgets the provider key. Raises Missing, and
        Overtaken where one of them is not as it was `seen` any more."""
        assert changes.keys() <= set(UpstreamRecord.__struct_fields__) - {"name"}, changes.keys()
        with self._database.writing() as connection:
            present = self._get(connection, name, secrets=True)
            refuse_overtaken(present, changes, seen)
            fields = {**msgspec.structs.asdict(present), **changes}
            changed = msgspec.convert(fields, UpstreamRecord)
            mine = upstream.c.name == name
            connection.execute(upstream.update().where(mine).values(**self._row(changed)))
            told = {
                field: "changed" if field in SECRET_FIELDS else value
                for field, value in changes.items()
            }
            note(connection, Subject("upstream", name, actor), "update", told)
        return changed

    def remove(self, name: str, actor: str) -> None:
        """Raises Missing."""
        with self._database.writing() as connection:
            gone = connection.execute(upstream.delete().where(upstream.c.name == name)).rowcount
            if gone != 1:
                raise Missing(f"there is no upstream {name!r}")
            note(connection, Subject("upstream", name, actor), "delete")

    def _get(self, connection: sqlalchemy.Connection, name: str, secrets: bool) -> UpstreamRecord:
        row = connection.execute(select(upstream).where(upstream.c.name == name)).one_or_none()
        if row is None:
            raise Missing(f"there is no upstream {name!r}")
        return self._record(row, secrets)

    def _row(self, record: UpstreamRecord) -> dict[str, object]:
        sealed = _as_text(record)
        return {
            "name": record.name,
            "document": msgspec.json.encode(_open(record)).decode(),
            "secret": None if sealed is None else self._vault.seal(_row_id(record.name), sealed),
            "created_us": record.created_us,
        }

    def _record(self, row: sqlalchemy.Row[tuple[object, ...]], secrets: bool) -> UpstreamRecord:
        record = msgspec.json.decode(str(row.document), type=UpstreamRecord)
        if not secrets or row.secret is None:
            return record
        found = _from_text(self._vault.open(_row_id(record.name), row.secret))
        return msgspec.structs.replace(record, **msgspec.structs.asdict(found))


def reseal(connection: sqlalchemy.Connection, before: Vault, after: Vault) -> int:
    """Seal what is secret under `after`, where it is not yet; returns how many upstreams had to be.

    Raises Unsealable where one opens with neither."""
    sealed = select(upstream.c.name, upstream.c.secret).where(upstream.c.secret.is_not(None))
    done = 0
    for name, secret in connection.execute(sealed).all():
        try:
            text = before.open(_row_id(name), secret)
        except Unsealable:
            after.open(_row_id(name), secret)
            continue
        mine = upstream.update().where(upstream.c.name == name)
        connection.execute(mine.values(secret=after.seal(_row_id(name), text)))
        done += 1
    return done


def _open(record: UpstreamRecord) -> UpstreamRecord:
    return msgspec.structs.replace(record, secret=None, more_secrets=(), headers={})


def _as_text(record: UpstreamRecord) -> str | None:
    """What is to be sealed; None for nothing."""
    if not record.more_secrets and not record.headers:
        return record.secret
    found = _Secrets(record.secret, record.more_secrets, record.headers)
    return SEVERAL + msgspec.json.encode(found).decode()


def _from_text(text: str) -> _Secrets:
    if not text.startswith(SEVERAL):
        return _Secrets(text)
    return msgspec.json.decode(text.removeprefix(SEVERAL), type=_Secrets)


def _row_id(name: str) -> str:
    return f"upstream:{name}"
