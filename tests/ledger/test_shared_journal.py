"""A journal within the book: the same promises as a file's, and fenced."""

import asyncio
import pathlib
import time

import msgspec
import pytest

from baton.config import Settings
from baton.ledger import audit as ledger_audit
from baton.ledger.costs import of_attempts
from baton.ledger.entries import CheckpointRow, EndRow, HoldRow, SettleRow
from baton.ledger.fold import open_shared, recover_lost
from baton.ledger.prices import PriceBook
from baton.ledger.shared_journal import SharedJournal, SharedRows, new_identity
from baton.semantics.events import Usage
from baton.stores import audit, backup, journals
from baton.stores.book import Store, open_store
from baton.stores.carried import SEQ_BITS, of
from baton.stores.journal_tables import shared_row
from baton.stores.journals import Fenced, Term
from tests.bookkeeping import PRICE, intent, ledger_of, new_key, outcome, settings
from tests.servers import Postgres

LONG = Term(process_s=60.0, book_s=120.0)
OVER = Term(process_s=60.0, book_s=-1.0)


@pytest.fixture
def store(tmp_path: pathlib.Path, cluster: Postgres) -> Store:
    given = settings(tmp_path, database_url=cluster.database(), journal="shared")
    opened = open_store(given)
    opened.prices.set(PRICE, "test")
    return opened


def hold(seq: int) -> tuple[int, HoldRow]:
    return seq, HoldRow(f"r{seq}", 1, "k", "a", "", "m", None, True, 30, 1)


def end(seq: int, hold_seq: int, charge: int = 5) -> tuple[int, SettleRow]:
    return seq, SettleRow(hold_seq, hold(hold_seq)[1], EndRow(state="settled", charge=charge))


def test_open_holds_are_interrupted_once(store: Store) -> None:
    """What was not ended is charged at its last checkpoint, within its hold; what was, is left."""
    held = journals.enter(store.database, new_identity(), "shared", LONG, shared=True)
    journal = SharedJournal(store.database, held)
    journal.append([hold(1), hold(2), hold(3)], [], [end(4, 1)])
    journal.append([], [CheckpointRow(2, 3, 4, 11), CheckpointRow(2, 3, 5, 12)], [end(5, 1, 9)])
    journal.append([], [CheckpointRow(3, 3, 5, 99)], [])
    assert (7, 2) == journal.open_epoch(1)
    assert (7, 0) == journal.open_epoch(1)
    rows = SharedRows(store.database, held.number).after(0, 10)
    first_id = held.number << SEQ_BITS
    found = [(row[0], *of("id", "request_id", "stream")(row)) for row in rows]
    assert [(3 + n, first_id | n, f"r{n}", 1) for n in (1, 2, 3)] == found
    assert not journal.prune(5)
    assert [6] == [row[0] for row in SharedRows(store.database, held.number).after(0, 10)]
    store.close()


def test_attempts_come_with_their_end(store: Store) -> None:
    """What a fold reads of them is of the ends that it just read."""
    held = journals.enter(store.database, new_identity(), "shared", LONG, shared=True)
    lost = of_attempts(PriceBook(), "m", 1, [("u", Usage(3, 1)), ("v", Usage(4, 2))]).spent
    ended = [(seq, msgspec.structs.replace(row, spent=lost)) for seq, row in (end(2, 1), end(4, 3))]
    SharedJournal(store.database, held).append([hold(1), hold(3)], [], ended)
    rows = SharedRows(store.database, held.number)
    assert [2, 4] == [row[0] for row in rows.after(0, 10)]
    found = [row[:4] for row in rows.attempts(0, 2)]
    first = held.number << SEQ_BITS | 1
    assert [(2, first, 1, "u"), (2, first, 2, "v")] == found
    assert [4, 4] == [row[0] for row in rows.attempts(2, 4)]
    store.close()


def test_attempts_reach_the_book(store: Store) -> None:
    """Folded from there like the requests that they belong to; the audit is content."""
    key, lost = new_key(store), (("u", Usage(10, 2)), ("v", Usage(12, 3, estimated=True)))

    async def run() -> None:
        async with ledger_of(store) as ledger:
            ledger.settle(await ledger.hold(intent(key, "r")), outcome(4, spent=lost))

    asyncio.run(run())
    (row,) = store.usage.requests()
    told = [(each.upstream, each.estimated) for each in store.usage.attempts(row.id)]
    assert [("u", False), ("v", True)] == told
    assert [] == ledger_audit.run(store).faults
    store.close()


def test_whoever_was_given_up_acknowledges_nothing(store: Store) -> None:
    """Once somebody has taken the journal over, its process can write nothing more."""
    held = journals.enter(store.database, new_identity(), "shared", OVER, shared=True)
    journal = SharedJournal(store.database, held)
    journal.append([hold(1)], [], [])
    assert 1 == recover_lost(store)
    with pytest.raises(Fenced):
        journal.append([], [], [end(2, 1)])
    (row,) = store.usage.requests()
    assert ("interrupted", 0) == (row.state, row.charge)
    assert [] == audit.faults(store.database.place)
    store.close()


def test_a_node_that_died_is_closed_by_another(store: Store) -> None:
    """Its open request is interrupted, what it had ended is charged, and its lease comes back."""
    key = new_key(store, budget_nano=1_000)

    async def die() -> None:
        opened = await asyncio.to_thread(open_shared, store)
        store.accounts.lend(opened.number, {key.account: 100}, opened.held.epoch)
        opened.file.append([hold(1), hold(2)], [], [end(3, 1)])
        journals.renew(store.database, opened.held, OVER)

    async def live() -> None:
        async with ledger_of(store) as ledger:
            ended = await ledger.hold(intent(key))
            await ledger.durable(ledger.settle(ended, outcome()))
            deadline = time.monotonic() + 20
            while store.accounts.get(key.account).leased_nano >= 100:
                await ledger._renewal.tend()
                assert time.monotonic() < deadline

    asyncio.run(die())
    asyncio.run(live())
    states = sorted((row.request_id, row.state) for row in store.usage.requests())
    assert [("r", "settled"), ("r1", "settled"), ("r2", "interrupted")] == states
    assert 0 == store.accounts.get(key.account).leased_nano
    store.close()


def test_rows_of_another_version_stop_nobody(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """A lost journal with a row that this Baton cannot read is left as it is, and told of by the
    audit; the other lost ones are closed all the same, and their leases come back."""
    key = new_key(store, budget_nano=1_000)
    for strange in (b"\x81\xa4what\x01", b"\xc1", None):
        held = journals.enter(store.database, new_identity(), "shared", OVER, shared=True)
        store.accounts.lend(held.number, {key.account: 100}, held.epoch)
        SharedJournal(store.database, held).append([hold(1), hold(2)], [], [end(3, 1)])
        if strange is not None:
            with store.database.writing() as connection:
                mine = shared_row.c.journal == held.number
                connection.execute(shared_row.update().where(mine).values(row=strange))
    before = ledger_audit.run(store)
    assert 1 == before.unfolded
    assert 1 == recover_lost(store)
    assert 2 == caplog.messages.count("a lost journal is damaged and left alone")
    after = ledger_audit.run(store)
    assert (2, 0) == (after.requests, after.unfolded)
    told = [fault for fault in after.faults if "in the book is none of this Baton's" in fault]
    assert 2 == len(told)
    assert "the journal 1 cannot be read: its row 3" in told[0]
    assert 200 == store.accounts.get(key.account).leased_nano
    store.close()


def test_a_backup_of_it_goes_on_in_a_file(store: Store, tmp_path: pathlib.Path) -> None:
    """Restored into a home without a server, what was ended is charged, what was open is
    interrupted, and what was leased comes back; once, and beside what runs there."""
    key = new_key(store, budget_nano=1_000)
    held = journals.enter(store.database, new_identity(), "shared", LONG, shared=True)
    other = journals.enter(store.database, new_identity(), "0", LONG)
    for each in (held, other):
        store.accounts.lend(each.number, {key.account: 100}, each.epoch)
    SharedJournal(store.database, held).append([hold(1), hold(2)], [], [end(3, 1)])
    backup.backup(tmp_path, tmp_path / "copy", book=store.database.place)
    store.close()
    backup.restore(tmp_path / "copy", tmp_path / "restored")
    restored = open_store(Settings(home=str(tmp_path / "restored")))
    assert 200 == restored.accounts.get(key.account).leased_nano

    async def go_on() -> None:
        async with ledger_of(restored) as first, ledger_of(restored) as second:
            for number, ledger in enumerate((first, second)):
                ended = await ledger.hold(intent(key, f"new{number}"))
                await ledger.durable(ledger.settle(ended, outcome()))

    asyncio.run(go_on())
    states = sorted((row.request_id, row.state) for row in restored.usage.requests())
    new = [("new0", "settled"), ("new1", "settled")]
    assert [*new, ("r1", "settled"), ("r2", "interrupted")] == states
    assert 0 == restored.accounts.get(key.account).leased_nano
    assert 0 == ledger_audit.run(restored).unfolded
    assert [] == audit.faults(restored.database.place)
    restored.close()
