"""Folding and recovery: from the journal into the book, once, whoever does it."""

import asyncio
import itertools
import pathlib
import shutil
import threading
import time

import pytest

from baton.cli import checks as cli_checks
from baton.config import Settings
from baton.ledger import fold
from baton.ledger.fold import Folder, fold_all, open_slot, recover_absent, recover_orphans
from baton.ledger.journal import Journal
from baton.ledger.slots import claim
from baton.stores import audit, backup
from baton.stores.base import KeyRecord, StoreUnavailable
from baton.stores.book import Store, book_path, journal_folder
from baton.stores.framing import BLOCK_BYTES
from baton.stores.journals import Fenced
from baton.stores.posting import Posting
from tests.bookkeeping import PRICE, TOLD, intent, ledger_of, new_key, new_store, outcome

DEADLINE_S = 10.0


async def until_folded(store: Store, key: KeyRecord) -> None:
    """One request; returns once it is in the book, without anybody's doing."""
    async with ledger_of(store) as ledger:
        hold = await ledger.hold(intent(key))
        await ledger.durable(ledger.settle(hold, outcome()))
        deadline_s = time.monotonic() + DEADLINE_S
        while not store.usage.requests():
            assert time.monotonic() < deadline_s
            await asyncio.sleep(0.02)


def test_folds_by_itself(tmp_path: pathlib.Path) -> None:
    """What was settled is in the book about a second later, without anybody's doing."""
    store = new_store(tmp_path)
    key = new_key(store)

    asyncio.run(until_folded(store, key))


def test_what_is_folded_may_go(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal of a process that lives is told so, each time that enough has come together."""
    monkeypatch.setattr(fold, "FOLD_S", 0.01)
    monkeypatch.setattr(fold, "PRUNE_AFTER_ROWS", 4)
    told: list[int] = []
    monkeypatch.setattr(Journal, "folded", lambda _, seq: told.append(seq))
    store = new_store(tmp_path)
    key = new_key(store)

    async def run() -> None:
        async with ledger_of(store) as ledger:
            deadline_s = time.monotonic() + DEADLINE_S
            for number in range(8):
                hold = await ledger.hold(intent(key, str(number)))
                await ledger.durable(ledger.settle(hold, outcome()))
                while len(store.usage.requests()) <= number:
                    assert time.monotonic() < deadline_s
                    await asyncio.sleep(0.01)
            while told[-1:] != [hold.end_ticket]:
                assert time.monotonic() < deadline_s
                await asyncio.sleep(0.01)

    asyncio.run(run())
    assert all(then - before >= 4 for before, then in itertools.pairwise([0, *told]))


def test_a_fault_of_ours_does_not_end_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next round folds what that one could not."""
    store = new_store(tmp_path)
    key = new_key(store)
    post, tries = Posting.post, 0

    def odd_at_first(self: Posting, at_most: int) -> tuple[int, int]:
        nonlocal tries
        tries += 1
        if tries == 2:  # the first is that of the start
            raise ValueError("odd")
        return post(self, at_most)

    monkeypatch.setattr(Posting, "post", odd_at_first)

    asyncio.run(until_folded(store, key))
    assert tries > 2


class Marks(Posting):
    """Nothing to post: each round the mark is ten rows further."""

    def __init__(self) -> None:
        self.seq, self.folded_s = 0, {0: 0.0}

    def post(self, _at_most: int) -> tuple[int, int]:
        self.seq += 10
        self.folded_s[self.seq] = time.monotonic()
        return 0, self.seq


def test_how_long_rows_have_waited_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first round that could not fold them to the one that can; nothing before or
    after."""
    monkeypatch.setattr(fold, "FOLD_S", 0.01)
    deadline_s, rows, away = time.monotonic() + DEADLINE_S, 10, True

    class Unsure(Marks):
        def post(self, at_most: int) -> tuple[int, int]:
            if away:
                raise StoreUnavailable("the book is away")
            return super().post(at_most)

    folder = Folder(Unsure(), lambda: rows, lambda _seq: None)
    assert 0 == folder.unfolded_s
    rows = 20
    while folder.unfolded_s < 1:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    away = False
    while folder.unfolded_s:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    folder.close()


@pytest.mark.parametrize("kept_s", [0.0, 0.3])
def test_what_is_folded_may_go_later(monkeypatch: pytest.MonkeyPatch, kept_s: float) -> None:
    """Not before its time, many rows at once, and up to the newest whose time has come."""
    monkeypatch.setattr(fold, "FOLD_S", 0.01)
    monkeypatch.setattr(fold, "PRUNE_AFTER_ROWS", 100)
    posting, given_up, enough = Marks(), [0], threading.Event()

    def folded(seq: int) -> None:
        assert time.monotonic() - posting.folded_s[seq] >= kept_s
        given_up.append(seq)
        if len(given_up) > 5:
            enough.set()

    folder = fold.Folder(posting, itertools.count().__next__, folded, kept_s)
    assert enough.wait(DEADLINE_S)
    folder.close()
    assert all(100 <= after - before for before, after in itertools.pairwise(given_up))


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


@pytest.mark.parametrize("most", [1, 2, 3, 5])
def test_many_rows_are_folded_bit_by_bit(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """All of them, also where the last transaction is as large as the others."""
    monkeypatch.setattr(fold, "ROWS_PER_FOLD_MAX", most)
    monkeypatch.setattr(fold, "FOLD_S", DEADLINE_S)  # at the end alone
    store = new_store(tmp_path)
    key = new_key(store)

    async def run() -> None:
        async with ledger_of(store) as ledger:
            for number in range(6):
                ledger.settle(await ledger.hold(intent(key, str(number))), outcome())

    asyncio.run(run())
    assert set("012345") == {row.request_id for row in store.usage.requests()}


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
                second.checkpoint(hold, 64, TOLD)
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


def test_what_was_leased_to_a_journal_that_is_gone_comes_back(tmp_path: pathlib.Path) -> None:
    """Its folder was moved away, or was another machine's; those that are here keep theirs, and
    where one of them cannot be read nobody knows which is gone."""
    store, folder = new_store(tmp_path), journal_folder(tmp_path)
    key = new_key(store, budget_nano=1_000)
    opened = [open_slot(store, claim(folder)) for _ in range(3)]
    for each in opened:
        store.accounts.lend(each.number, {key.account: 100}, each.held.epoch)
    leased = [store.accounts.elsewhere(each.number, key.account) for each in opened]
    assert [200] * 3 == leased
    (folder / "0").rename(tmp_path / "away")
    (folder / "1" / "1.log").rename(tmp_path / "1.log")
    (folder / "1" / "1.log").write_bytes(b"?" * BLOCK_BYTES + sound(tmp_path / "1.log"))
    assert 0 == recover_absent(store)
    assert 300 == store.accounts.get(key.account).leased_nano
    (tmp_path / "1.log").rename(folder / "1" / "1.log")
    assert 1 == recover_absent(store)
    assert 200 == store.accounts.get(key.account).leased_nano
    with pytest.raises(Fenced):
        store.accounts.lend(opened[0].number, {key.account: 100}, opened[0].held.epoch)
    assert 0 == recover_absent(store)
    for each in opened:
        each.close()


def sound(segment: pathlib.Path) -> bytes:
    """What is behind its first block."""
    return segment.read_bytes()[BLOCK_BYTES:]


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


def test_a_damaged_journal_is_left_alone(tmp_path: pathlib.Path) -> None:
    """Whoever starts takes the next slot, tells of it, and what was acknowledged stays as it is,
    to be read once the file is put back."""
    store = new_store(tmp_path)
    store.prices.set(PRICE, "test")
    key = new_key(store, budget_nano=10_000)

    async def settle_one(name: str) -> str:
        async with ledger_of(store) as ledger:
            hold = await ledger.hold(intent(key, name))
            await ledger.durable(ledger.settle(hold, outcome(4)))
            assert ledger._opened.slot is not None
            taken = ledger._opened.slot.name
            if name == "first":
                shutil.copytree(tmp_path / "journal" / "0", tmp_path / "dead")
        return taken

    assert "0" == asyncio.run(settle_one("first"))
    journal = tmp_path / "journal" / "0"
    shutil.rmtree(journal)
    shutil.copytree(tmp_path / "dead", journal)  # as if it had died
    sound = (journal / "1.log").read_bytes()
    broken = sound[:BLOCK_BYTES] + b"?" + sound[BLOCK_BYTES + 1 :]
    (journal / "1.log").write_bytes(broken)
    assert "1" == asyncio.run(settle_one("second"))
    assert broken == (journal / "1.log").read_bytes()
    told = cli_checks.store(Settings(home=str(tmp_path)), lambda: new_store(tmp_path))[0]
    assert "failed" == told.state
    assert "0/1.log is damaged at byte 4096" in told.message
    (journal / "1.log").write_bytes(sound)
    assert "0" == asyncio.run(settle_one("third"))
    assert {"first", "second", "third"} == {row.request_id for row in store.usage.requests()}
    assert [] == audit.faults(book_path(tmp_path))


def test_slot_keeps_its_number(tmp_path: pathlib.Path) -> None:
    """A journal is known by what is in it: reopened it is the same, made anew it is another."""
    store = new_store(tmp_path)
    numbers = []
    for _ in range(2):
        opened = open_slot(store, claim(journal_folder(tmp_path)))
        numbers.append(opened.number)
        opened.close()
    shutil.rmtree(journal_folder(tmp_path) / "0")
    opened = open_slot(store, claim(journal_folder(tmp_path)))
    numbers.append(opened.number)
    opened.close()
    assert [1, 1, 2] == numbers
