"""Folding and recovery: from the journal into the book, once, whoever does it."""

import asyncio
import pathlib
import shutil
import time

from baton.ledger.fold import fold_all, open_slot, recover_orphans
from baton.ledger.slots import claim
from baton.stores import audit, backup
from baton.stores.book import Store, book_path, journal_folder
from tests.bookkeeping import PRICE, intent, ledger_of, new_key, new_store, outcome

DEADLINE_S = 10.0


def test_folds_by_itself(tmp_path: pathlib.Path) -> None:
    """What was settled is in the book about a second later, without anybody's doing."""
    store = new_store(tmp_path)
    key = new_key(store)

    async def run() -> None:
        async with ledger_of(store) as ledger:
            hold = await ledger.hold(intent(key))
            await ledger.durable(ledger.settle(hold, outcome()))
            deadline_s = time.monotonic() + DEADLINE_S
            while not store.usage.requests():
                assert time.monotonic() < deadline_s
                await asyncio.sleep(0.02)

    asyncio.run(run())


def test_folding_twice_changes_nothing(tmp_path: pathlib.Path) -> None:
    """The mark moves with what it stands for: a second fold finds nothing to do."""
    store = new_store(tmp_path)
    store.prices.set(PRICE, "test")
    key = new_key(store)

    async def run() -> None:
        async with ledger_of(store) as ledger:
            hold = await ledger.hold(intent(key))
            await ledger.durable(ledger.settle(hold, outcome(4)))
            posting = ledger._opened.posting
            assert fold_all(posting) == fold_all(posting)

    asyncio.run(run())
    assert 18 == store.accounts.get(key.account).posted_nano
    assert 1 == len(store.usage.requests())


def test_orphans_are_recovered(tmp_path: pathlib.Path) -> None:
    """A slot whose process is gone is closed and folded by whoever starts next."""
    store = new_store(tmp_path)
    store.prices.set(PRICE, "test")
    key = new_key(store, budget_nano=1_000)

    async def leave_open() -> None:
        async with ledger_of(store):
            async with ledger_of(store) as second:
                hold = await second.hold(intent(key))
                await second.durable(hold.ticket)
                second.checkpoint(hold, 64)
                copied = shutil.copytree(tmp_path, tmp_path.with_name("copy"))
            assert copied.exists()

    asyncio.run(leave_open())
    copy = new_store(tmp_path.with_name("copy"))
    assert 30 <= copy.accounts.get(key.account).leased_nano
    assert 2 == recover_orphans(copy)
    (row,) = copy.usage.requests()
    assert "interrupted" == row.state
    assert 0 == copy.accounts.get(key.account).leased_nano
    assert 0 == recover_orphans_of_living(copy)


def recover_orphans_of_living(store: Store) -> int:
    """While their slots are held, journals are left alone."""
    held = [claim(journal_folder(store.home)) for _ in range(2)]
    try:
        return recover_orphans(store)
    finally:
        for slot in held:
            slot.release()


def test_restored_backup_counts_once(tmp_path: pathlib.Path) -> None:
    """A request that was open in the journal's copy and folded in the book's is not doubled, and
    new requests are numbered beyond what the book knows."""
    home, target = tmp_path / "home", tmp_path / "restored"
    home.mkdir()
    store = new_store(home)
    store.prices.set(PRICE, "test")
    key = new_key(store)

    async def run() -> None:
        async with ledger_of(store) as ledger:
            hold = await ledger.hold(intent(key, "both"))
            await ledger.durable(hold.ticket)
            await asyncio.to_thread(backup.backup, home, target)  # the journal as it is now …
            for number in range(5):
                later = await ledger.hold(intent(key, f"later-{number}"))
                ledger.settle(later, outcome(4))
            await ledger.durable(ledger.settle(hold, outcome(4)))

    asyncio.run(run())
    store.close()
    shutil.copy(book_path(home), book_path(target))  # … and the book as it is at the end
    restored = new_store(target)

    async def go_on() -> None:
        async with ledger_of(restored) as ledger:
            hold = await ledger.hold(intent(key, "new"))
            await ledger.durable(ledger.settle(hold, outcome(4)))

    asyncio.run(go_on())
    rows = {row.request_id: row.state for row in restored.usage.requests()}
    expected = {f"later-{n}": "settled" for n in range(5)} | {"both": "settled", "new": "settled"}
    assert expected == rows
    assert [] == audit.faults(book_path(target))


def test_slot_keeps_its_number(tmp_path: pathlib.Path) -> None:
    """A journal is known by what is in it: reopened it is the same, made anew it is another."""
    store = new_store(tmp_path)
    numbers = []
    for _ in range(2):
        opened = open_slot(store, claim(journal_folder(tmp_path)))
        numbers.append(opened.number)
        opened.close()
    for path in journal_folder(tmp_path).glob("0.db*"):
        path.unlink()
    opened = open_slot(store, claim(journal_folder(tmp_path)))
    numbers.append(opened.number)
    opened.close()
    assert [1, 1, 2] == numbers
