"""Backup while it runs, and the check that it can be restored."""

import asyncio
import itertools
import pathlib

import pytest

from baton.ledger.journal_log import JournalLog
from baton.ledger.settle import Ledger
from baton.stores.backup import backup, check
from baton.stores.base import KeyRecord, StoreError, UpstreamRecord
from baton.stores.book import Store, book_path
from baton.stores.framing import BLOCK_BYTES
from baton.stores.segments import Damaged
from tests.bookkeeping import PRICE, intent, ledger_of, new_key, new_store, outcome


async def backed_up_under_load(store: Store, key: KeyRecord, target: pathlib.Path) -> set[str]:
    """Requests that were settled before the backup began, while others went on."""
    before: set[str] = set()
    enough, done = asyncio.Event(), asyncio.Event()

    async def load(ledger: Ledger) -> None:
        for number in itertools.count():
            hold = await ledger.hold(intent(key, f"r{number}"))
            await ledger.durable(ledger.settle(hold, outcome(4)))
            if not enough.is_set():
                before.add(f"r{number}")
            if len(before) == 20:
                enough.set()
            if done.is_set():
                return

    async with ledger_of(store) as ledger, asyncio.TaskGroup() as tasks:
        tasks.create_task(load(ledger))
        await enough.wait()
        names = await asyncio.to_thread(backup, store.home, target)
        done.set()
    assert ["baton.db", "journal/0/1.log", "master.key"] == names
    return before


def test_backup_of_a_running_home_restores(tmp_path: pathlib.Path) -> None:
    """Copied under load, the copy opens: every request that was settled before is there, once."""
    home, target = tmp_path / "home", tmp_path / "copy"
    home.mkdir()
    store = new_store(home)
    store.prices.set(PRICE, "test")
    secret = UpstreamRecord(name="u", url="http://u", dialect="openai", models={}, secret="sk-x")
    store.upstreams.add(secret, "test")
    key = new_key(store, budget_nano=10**9)
    before = asyncio.run(backed_up_under_load(store, key, target))
    assert [] == check(target)
    for path in (book_path(target), target / "master.key", target / "journal" / "0" / "1.log"):
        assert 0o600 == path.stat().st_mode & 0o777
    restored = new_store(target)

    async def reopen() -> None:
        async with ledger_of(restored):
            pass

    asyncio.run(reopen())
    rows = {row.request_id: row.charge for row in restored.usage.requests()}
    assert {name: 18 for name in before} == {name: rows.get(name) for name in before}
    assert [] == check(target)
    assert "sk-x" == restored.upstreams.get("u", secrets=True).secret


def test_targets_that_do_not_do(tmp_path: pathlib.Path) -> None:
    """A folder with something in it is not written into; a home without a book has no backup."""
    home = tmp_path / "home"
    home.mkdir()
    with pytest.raises(StoreError, match="no book"):
        backup(home, tmp_path / "copy")
    new_store(home).close()
    with pytest.raises(StoreError, match="not empty"):
        backup(home, home)
    assert "master.key" not in backup(home, tmp_path / "copy", master_key=False)


def test_check_tells_what_is_wrong(tmp_path: pathlib.Path) -> None:
    """No book, a damaged journal, a schema that is not known: each is a sentence."""
    assert ["there is no book in"] == [fault[:19] for fault in check(tmp_path)]
    home = tmp_path / "home"
    home.mkdir()
    new_store(home).close()
    (home / "journal").mkdir()
    journal = JournalLog(home / "journal" / "7")
    for now_us in range(3):
        journal.open_epoch(now_us)
    journal.close()
    backup(home, tmp_path / "copy")
    copied = tmp_path / "copy" / "journal" / "7" / "1.log"
    content = bytearray(copied.read_bytes())
    content[2 * BLOCK_BYTES + 30] ^= 1
    copied.write_bytes(content)
    assert any("7/1.log is damaged at byte 8192" in fault for fault in check(tmp_path / "copy"))
    (tmp_path / "copy" / "journal" / "6.db").touch()
    assert any("6.db is the journal of an earlier" in each for each in check(tmp_path / "copy"))


def test_a_damaged_journal_is_not_copied(tmp_path: pathlib.Path) -> None:
    """A backup that could not be restored is told while its original is still there."""
    folder = tmp_path / "home" / "journal"
    folder.mkdir(parents=True)
    new_store(tmp_path / "home").close()
    journal = JournalLog(folder / "0")
    for now_us in range(3):
        journal.open_epoch(now_us)
    journal.close()
    with (folder / "0" / "1.log").open("r+b") as file:
        file.seek(BLOCK_BYTES + 30)
        file.write(b"?")
    with pytest.raises(Damaged):
        backup(tmp_path / "home", tmp_path / "copy")
