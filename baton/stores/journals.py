"""Journals as the book knows them: their numbers, and who may write, lend and post for each now.

Theory of operation. A process enters its journal before it does anything for it; that gives it an
epoch, one higher than whoever had the journal before. Everything it does to the book carries the
epoch (`fence`), so that a process that was believed dead and is not cannot act for a journal that
somebody else has taken over or closed.

In a book that nodes share, a tenure also has a term. Its process renews it every few seconds, and
stops spending from its leases when it could not for a whole term. The book waits longer than that
(`Term.book_s`), so that the last request which was admitted within the term has ended; then the
journal counts as lost: its epoch moves on, and what was leased to it comes back. If its disk turns
up again, its rows are posted then: late, but not lost. They exceed what was leased at most by what
had not been posted when the process died. Times are the server's, so that clocks of nodes do not
matter. On SQLite there is no term: the kernel tells which processes live (ledger/slots.py),
and nobody has a journal that stands in such a book, or whose folder is not in its home.

Nodes with different master keys do not know each other's idempotency keys and sessions, and would
run and charge a request twice without a word: so the second one is refused while the first lives.
"""

import time
from collections.abc import Callable, Collection

import msgspec
import sqlalchemy
from sqlalchemy import BigInteger, bindparam, cast, func, select

from baton.stores.base import StoreError, StoreUnavailable, Unsealable
from baton.stores.database import Database
from baton.stores.journal_tables import shared_row, tenure
from baton.stores.tables import journal, lease

OTHER_SEAL = (
    "the nodes that run on this database have another master key: give all of them the same"
    " BATON_MASTER_KEY (where it was changed, stop them all first)"
)

_SHARED = select(tenure.c.journal).where(tenure.c.shared == 1)
_EPOCH = select(tenure.c.epoch).where(tenure.c.journal == bindparam("number")).with_for_update()


class Fenced(StoreUnavailable):
    """Another process has the journal now, or it counts as lost: begin anew."""


class Tenure(msgspec.Struct, frozen=True):
    """The right of a process to act for a journal."""

    number: int
    epoch: int


class Term(msgspec.Struct, frozen=True, kw_only=True):
    """How long a tenure holds without being renewed."""

    process_s: float
    """So long the process spends what it holds by lease."""
    book_s: float
    """So long the book counts it as spent."""


def enter(
    database: Database,
    identity: str,
    name: str,
    term: Term | None = None,
    *,
    shared: bool = False,
    seal: str | None = None,
) -> Tenure:
    """Take the journal with that identity over; a new one gets the next number. `seal` names the
    process's master key, and tells nothing of it.

    Raises Unsealable while processes live that have another one."""
    known = select(journal.c.number).where(journal.c.identity == identity)
    with database.writing() as connection:
        number = connection.scalar(known)
        if number is None:
            values = {"identity": identity, "name": name, "created_us": time.time_ns() // 1000}
            connection.execute(journal.insert().values(**values))
            number = connection.scalar(known)
        assert number is not None
        if seal is not None and _others(connection, int(number), seal):
            raise Unsealable(OTHER_SEAL)
        return _next_epoch(connection, int(number), term, shared=shared, seal=seal)


def folded_seq(database: Database, identity: str) -> int:
    """The seq up to which the journal with that identity is in the book; 0 for one unknown."""
    known = select(journal.c.folded_seq).where(journal.c.identity == identity)
    with database.reading() as connection:
        return int(connection.scalar(known) or 0)


def fence(connection: sqlalchemy.Connection, number: int, epoch: int) -> None:
    """Make sure that this is the journal's epoch, and stays it until the transaction ends.

    Raises Fenced."""
    present = connection.scalar(_EPOCH, {"number": number})
    if present != epoch:
        raise Fenced(f"journal {number} is in epoch {present}, this process in {epoch}")


def renew(database: Database, held: Tenure, term: Term) -> None:
    """Tell the book that its process lives. Raises Fenced, StoreUnavailable."""
    with database.writing(alone=False) as connection:
        fence(connection, held.number, held.epoch)
        _set_expiry(connection, held.number, now_us(connection) + round(term.book_s * 1e6))


def return_leases(database: Database, held: Tenure, *, leaving: bool = False) -> None:
    """Give back all that was leased to it: everything of it is posted. `leaving`: and nobody has to
    renew it any more."""
    with database.writing(alone=False) as connection:
        fence(connection, held.number, held.epoch)
        connection.execute(lease.delete().where(lease.c.journal == held.number))
        if leaving:
            _set_expiry(connection, held.number, None)


def give_up_lost(database: Database) -> dict[int, int]:
    """Close journals on disks that were not heard of for their whole term; returns what comes back
    to accounts, by journal, in the accounts' units."""
    with database.writing() as connection:
        return _given_up(connection, _expired(connection, shared=False))


def give_up_absent(database: Database, here: Callable[[], Collection[str]]) -> dict[int, int]:
    """The same, in a file that only processes of this machine use, of journals whose identity is
    not `here`. It is asked once it is known to whom something is leased."""
    lent = select(lease.c.journal).where(lease.c.granted_nano > 0)
    query = select(journal.c.number, journal.c.identity).where(journal.c.number.in_(lent))
    with database.writing() as connection:
        rows = connection.execute(query.where(journal.c.number.not_in(_SHARED)))
        found = {row.number: row.identity for row in rows}
        known = here() if found else ()
        return _given_up(connection, [n for n, identity in found.items() if identity not in known])


def take_over_lost(database: Database, term: Term) -> list[Tenure]:
    """Enter the journals within the book whose processes are gone, to close them properly."""
    with database.writing() as connection:
        return [
            _next_epoch(connection, number, term, shared=True)
            for number in _expired(connection, shared=True)
        ]


def take_over_left(database: Database) -> list[Tenure]:
    """Enter the journals within a book in a file that are not closed: it was copied from a server,
    and their processes are not here."""
    left = [select(table.c.journal) for table in (shared_row, lease)]
    query = select(tenure.c.journal).where(tenure.c.shared == 1)
    query = query.where(tenure.c.journal.in_(left[0]) | tenure.c.journal.in_(left[1]))
    with database.writing() as connection:
        numbers = list(connection.scalars(query.order_by(tenure.c.journal)))
        return [_next_epoch(connection, number, None, shared=True) for number in numbers]


def _given_up(connection: sqlalchemy.Connection, numbers: Collection[int]) -> dict[int, int]:
    returned = {}
    for number in numbers:
        total = select(func.coalesce(func.sum(lease.c.granted_nano), 0))
        returned[number] = int(connection.scalar(total.where(lease.c.journal == number)) or 0)
        connection.execute(lease.delete().where(lease.c.journal == number))
        _next_epoch(connection, number, None, shared=False)
    return returned


def _expired(connection: sqlalchemy.Connection, *, shared: bool) -> list[int]:
    late = tenure.c.expires_us < now_us(connection)
    query = select(tenure.c.journal).where(late, tenure.c.shared == int(shared))
    return list(connection.scalars(query.order_by(tenure.c.journal)))


def living(connection: sqlalchemy.Connection, *those: sqlalchemy.ColumnElement[bool]) -> bool:
    """Whether a process counts as alive that has a journal, by the terms of a book on a server; of
    `those` tenures where some are given."""
    alive = tenure.c.expires_us >= now_us(connection)
    return connection.scalar(select(tenure.c.journal).where(alive, *those).limit(1)) is not None


def refuse_living(connection: sqlalchemy.Connection) -> None:
    """StoreError while a process counts as alive. None can begin to before the transaction ends, if
    it is one that writes."""
    if living(connection):
        raise StoreError(
            "Baton runs on this book, or ended without saying so: stop it on all machines,"
            " or wait until the term of the one that was lost is over"
        )


def _others(connection: sqlalchemy.Connection, number: int, seal: str) -> bool:
    """Whether processes of other journals live that have another master key."""
    return living(connection, tenure.c.journal != number, tenure.c.seal != seal)


def _next_epoch(
    connection: sqlalchemy.Connection,
    number: int,
    term: Term | None,
    *,
    shared: bool,
    seal: str | None = None,
) -> Tenure:
    epoch = int(connection.scalar(_EPOCH, {"number": number}) or 0) + 1
    expires_us = None if term is None else now_us(connection) + round(term.book_s * 1e6)
    values = {"epoch": epoch, "expires_us": expires_us, "shared": int(shared), "seal": seal}
    changed = tenure.update().where(tenure.c.journal == number).values(**values)
    if connection.execute(changed).rowcount == 0:
        connection.execute(tenure.insert().values(journal=number, **values))
    return Tenure(number, epoch)


def _set_expiry(connection: sqlalchemy.Connection, number: int, at_us: int | None) -> None:
    mine = tenure.c.journal == number
    connection.execute(tenure.update().where(mine).values(expires_us=at_us))


def now_us(connection: sqlalchemy.Connection) -> int:
    """By the clock that all who use the book have in common."""
    if connection.dialect.name == "sqlite":
        return time.time_ns() // 1000
    clock = func.extract("epoch", func.clock_timestamp()) * 1_000_000
    return int(connection.scalar(select(cast(clock, BigInteger))) or 0)
