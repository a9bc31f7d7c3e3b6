"""The change log: every change of configuration is one row, written in the same transaction.

Workers poll it to drop what they cached; operators read it as the audit log.
"""

import time
from collections.abc import Collection, Mapping

import msgspec
import sqlalchemy
from sqlalchemy import bindparam, func, select

from baton.stores.base import ChangeRecord, Overtaken
from baton.stores.database import Database
from baton.stores.tables import change

POLLED_CHANGES_MAX = 1_000
SESSION = "session"
"""Kind of a change that ends one session of the console; its object is the session's key."""
SIGN_OUT = "sign_out"
_SINCE = (
    select(change)
    .where(change.c.seq > bindparam("seq"))
    .order_by(change.c.seq)
    .limit(bindparam("at_most"))
)


class Changes:
    """Reads the log. Writing is `note`, inside the transaction of the change itself; the end of a
    session changes nothing else."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def since(self, seq: int, at_most: int = POLLED_CHANGES_MAX) -> list[ChangeRecord]:
        """Changes after `seq`, oldest first."""
        given = {"seq": seq, "at_most": at_most}
        with self._database.reading() as connection:
            return [ChangeRecord(**row._mapping) for row in connection.execute(_SINCE, given)]

    def newest_first(
        self, before: int | None = None, at_most: int = POLLED_CHANGES_MAX, **fitting: str
    ) -> list[ChangeRecord]:
        """Changes of these columns' values, those before `before`, newest first."""
        conditions = [change.c[name] == value for name, value in fitting.items()]
        if before is not None:
            conditions.append(change.c.seq < before)
        query = select(change).where(*conditions).order_by(change.c.seq.desc()).limit(at_most)
        with self._database.reading() as connection:
            return [ChangeRecord(**row._mapping) for row in connection.execute(query)]

    def end_session(self, key_id: str, session: str, actor: str) -> None:
        """Note that the key's session is over, though its token would last longer."""
        with self._database.writing() as connection:
            note(connection, Subject(SESSION, key_id, actor), SIGN_OUT, {SESSION: session})

    def session_ended(self, key_id: str, session: str) -> bool:
        """Whether that was noted. Asked where a process does not know the session yet."""
        ends = (
            (change.c.kind == SESSION)
            & (change.c.object_id == key_id)
            & (change.c.detail == _detail({SESSION: session}))
        )
        with self._database.reading() as connection:
            return connection.scalar(select(change.c.seq).where(ends).limit(1)) is not None

    def latest(self) -> int:
        with self._database.reading() as connection:
            return newest(connection)


def newest(connection: sqlalchemy.Connection) -> int:
    """Number of the last change that this transaction sees; 0 before the first."""
    return int(connection.scalar(select(func.coalesce(func.max(change.c.seq), 0))) or 0)


class Subject(msgspec.Struct, frozen=True):
    """What a change is about and who made it."""

    kind: str
    object_id: str
    actor: str


def note(
    connection: sqlalchemy.Connection, subject: Subject, action: str, detail: object = None
) -> None:
    """Write the change down. `detail` must hold no secret."""
    text = "" if detail is None else _detail(detail)
    connection.execute(
        change.insert().values(
            at_us=time.time_ns() // 1000,
            actor=subject.actor,
            kind=subject.kind,
            object_id=subject.object_id,
            action=action,
            detail=text,
        )
    )


def _detail(told: object) -> str:
    return msgspec.json.encode(told, enc_hook=_as_text).decode()


def differences(
    before: msgspec.Struct, after: msgspec.Struct, hidden: Collection[str] = ()
) -> dict[str, object]:
    """`{"before": …, "after": …}`: the fields that differ, for a row of the log. Of a hidden one
    only that it changed."""
    told: dict[str, dict[str, object]] = {"before": {}, "after": {}}
    for name in before.__struct_fields__:
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            told["before"][name] = "hidden" if name in hidden else old
            told["after"][name] = "hidden" if name in hidden else new
    return dict(told)


def refuse_overtaken(
    present: msgspec.Struct, changes: Mapping[str, object], seen: Mapping[str, object] | None
) -> None:
    """Raises Overtaken where another has changed one of these fields since it was as `seen` (as in
    JSON). Who makes the same change overtakes nobody."""
    for name in changes.keys() & (seen or {}).keys():
        now = msgspec.json.encode(getattr(present, name))
        if now not in map(msgspec.json.encode, ((seen or {})[name], changes[name])):
            raise Overtaken(f"'{name}' was changed meanwhile: look at it again, then change it")


def _as_text(value: object) -> str:
    return repr(value)
