"""What was answered under an `Idempotency-Key`, so that asking again changes nothing.

A row is `running` while its process works on it, `answered` once the whole answer is kept and
`charged` once its charge is durable, too. In that order: an answer that was kept but not charged
can be told by its request on the ledger, and one that was charged is always kept. A process renews
its rows; one that stopped doing so is dead, and the next caller takes its row over.

Neither keys nor requests are stored, only keyed digests; answers are sealed (vault.Seal).
"""

from typing import Any, Literal

import msgspec
import sqlalchemy
from sqlalchemy import func, select

from baton.stores import journals
from baton.stores.database import Database
from baton.stores.kept_tables import idempotency
from baton.stores.tables import request
from baton.stores.vault import Seal

PRUNED_ROWS_MAX = 200
"""Rows that one transaction removes: each may have a large answer."""

Verdict = Literal["mine", "busy", "mismatch", "not_kept"]


class Place(msgspec.Struct, frozen=True):
    """One caller's key: where its answer is kept."""

    key_id: str
    digest: bytes

    @property
    def about(self) -> bytes:
        return self.key_id.encode() + b"\0" + self.digest


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """Who wants to answer what, and for how long that is believed. Times since 1970."""

    place: Place
    fingerprint: bytes
    owner: str
    now_us: int
    lease_us: int
    """How long the owner counts as alive without renewing."""
    kept_us: int
    """How long the answer is kept."""


class Idempotency:
    """Kept answers, of all processes. Every method raises StoreUnavailable."""

    def __init__(self, database: Database, seal: Seal) -> None:
        self._database, self.seal = database, seal

    def behind_us(self, now_us: int) -> int:
        """How far a clock that says so is behind that of all who use the book: 0 in a file, which
        is of one machine."""
        if not self._database.on_server:
            return 0
        with self._database.reading() as connection:
            return journals.now_us(connection) - now_us

    def begin(self, claim: Claim) -> Verdict | bytes:
        """Claim the place, or tell why not: the kept answer; "busy": another process works on it;
        "mismatch": it was used for another request; "not_kept": answered, but too large."""
        try:
            with self._database.writing() as connection:
                return self._begin(connection, claim)
        except sqlalchemy.exc.IntegrityError:
            return "busy"  # another process was first

    def keep(self, place: Place, owner: str, request_id: str, answer: bytes, at_most: int) -> bool:
        """Keep the answer, if the caller's kept answers are at most so many bytes with it; else
        only that there was one. False when the owner has lost the place."""
        with self._database.writing() as connection:
            total = select(func.coalesce(func.sum(idempotency.c.answer_bytes), 0))
            used = connection.scalar(total.where(idempotency.c.key_id == place.key_id)) or 0
            kept = self.seal.seal(place.about, answer) if used + len(answer) <= at_most else None
            changed = idempotency.update().where(_at(place), _of(owner, "running"))
            values = {
                "state": "answered",
                "request_id": request_id,
                "answer": kept,
                "answer_bytes": len(kept or b""),
            }
            return connection.execute(changed.values(**values)).rowcount == 1

    def charged(self, place: Place, owner: str) -> None:
        """The charge of the kept answer is durable."""
        with self._database.writing() as connection:
            changed = idempotency.update().where(_at(place), _of(owner, "answered"))
            connection.execute(changed.values(state="charged"))

    def drop(self, place: Place, owner: str) -> None:
        """There is no answer: the key may be used again."""
        mine = idempotency.c.owner == owner
        with self._database.writing() as connection:
            gone = idempotency.delete().where(_at(place), mine, idempotency.c.state != "charged")
            connection.execute(gone)

    def renew(self, owner: str, until_us: int) -> None:
        """The owner lives, and works on all that it claimed."""
        mine = (idempotency.c.owner == owner) & (idempotency.c.state != "charged")
        with self._database.writing() as connection:
            connection.execute(idempotency.update().where(mine).values(lease_us=until_us))

    def prune(self, now_us: int) -> int:
        """Remove what need not be kept any longer; returns how many."""
        columns = (idempotency.c.key_id, idempotency.c.digest)
        old = select(*columns).where(idempotency.c.expires_us <= now_us).limit(PRUNED_ROWS_MAX)
        removed = 0
        while True:
            with self._database.writing() as connection:
                places = [Place(*row) for row in connection.execute(old)]
                for place in places:
                    connection.execute(idempotency.delete().where(_at(place)))
            removed += len(places)
            if len(places) < PRUNED_ROWS_MAX:
                return removed

    def _begin(self, connection: sqlalchemy.Connection, claim: Claim) -> Verdict | bytes:
        row = connection.execute(select(idempotency).where(_at(claim.place))).one_or_none()
        if row is None or row.expires_us <= claim.now_us:
            return _take(connection, claim)
        if row.fingerprint != claim.fingerprint:
            return "mismatch"
        if row.state == "charged":
            return self._kept(claim.place, row.answer)
        if row.lease_us > claim.now_us:
            return "busy"
        if row.state == "running":
            return _take(connection, claim)
        return self._bereft(connection, claim, row)

    def _bereft(
        self, connection: sqlalchemy.Connection, claim: Claim, row: sqlalchemy.Row[Any]
    ) -> Verdict | bytes:
        """Answered by a process that died: whether it was charged, the ledger knows, as soon as
        the dead one's journal is folded."""
        known = select(request.c.state).where(request.c.request_id == row.request_id)
        state = connection.scalar(known)
        if state is None:
            return "busy"
        if state != "settled":
            return _take(connection, claim)
        connection.execute(idempotency.update().where(_at(claim.place)).values(state="charged"))
        return self._kept(claim.place, row.answer)

    def _kept(self, place: Place, answer: bytes | None) -> Verdict | bytes:
        return "not_kept" if answer is None else self.seal.open(place.about, answer)


def _at(place: Place) -> sqlalchemy.ColumnElement[bool]:
    return (idempotency.c.key_id == place.key_id) & (idempotency.c.digest == place.digest)


def _of(owner: str, state: str) -> sqlalchemy.ColumnElement[bool]:
    return (idempotency.c.owner == owner) & (idempotency.c.state == state)


def _take(connection: sqlalchemy.Connection, claim: Claim) -> Verdict:
    connection.execute(idempotency.delete().where(_at(claim.place)))
    connection.execute(
        idempotency.insert().values(
            key_id=claim.place.key_id,
            digest=claim.place.digest,
            fingerprint=claim.fingerprint,
            state="running",
            owner=claim.owner,
            lease_us=claim.now_us + claim.lease_us,
            expires_us=claim.now_us + claim.kept_us,
            answer_bytes=0,
        )
    )
    return "mine"
