"""Old requests leave the book for a file; everything that they sum up to stays."""

import asyncio
import contextlib
import datetime
import gzip
import json
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy
from sqlalchemy import select

from baton.ledger import audit
from baton.semantics.events import Usage
from baton.stores import archive, journals
from baton.stores.base import StoreError, StoreUnavailable
from baton.stores.book import Store
from baton.stores.database import Database
from baton.stores.sums import DAY_US
from baton.stores.tables import account, notice
from baton.stores.usage import EPOCH
from tests.bookkeeping import PRICE, intent, ledger_of, new_key, new_store, outcome
from tests.stores.test_contents import heard

LOST = (("u", Usage(10, 1)), ("v", Usage(11, 3)))
TODAY = EPOCH + datetime.timedelta(days=10)


def spent(store: Store, first: int, last: int) -> None:
    """One request a day, from day `first` up to `last`."""
    [key] = store.keys.all() or [new_key(store, budget_nano=10**9)]

    async def run() -> None:
        async with ledger_of(store) as ledger:
            for day in range(first, last):
                wanted = intent(key, f"r{day}", created_us=day * DAY_US, user="u")
                ledger.settle(await ledger.hold(wanted), outcome(4, spent=LOST if day == 2 else ()))

    asyncio.run(run())


def test_old_requests_leave(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those before the day are in the file, whole, the others stay; reports, balances and the
    audit are as before, also when more is archived later."""
    monkeypatch.setattr(archive, "PAGE_ROWS", 2)
    store = new_store(tmp_path)
    store.prices.set(PRICE, "test")
    spent(store, 1, 10)
    before, account = store.usage.sums(["day", "model"]), store.keys.all()[0].account
    balance = store.accounts.get(account)
    day = EPOCH + datetime.timedelta(days=6)
    done = archive.archive(store.database, day, TODAY, tmp_path / "a.gz")
    assert (5, 5 * 18) == (done.requests, done.charge_nano)
    assert ["r9", "r8", "r7", "r6"] == [row.request_id for row in store.usage.requests()]
    with gzip.open(tmp_path / "a.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]
    assert ["r1", "r2", "r3", "r4", "r5"] == [row["request_id"] for row in rows]
    assert {(18, "u", 4)} == {
        (row["charge"], row["user"], row["completion_tokens"]) for row in rows
    }
    second = [(each["n"], each["upstream"]) for each in rows[1]["spent"]]
    assert [(1, "u"), (2, "v")] == second
    assert ["spent" in row for row in rows] == [False, True, False, False, False]
    assert [] == store.usage.attempts(rows[1]["id"]), "they left with their request"
    spent(store, 3, 5)  # late ones, of a journal that came back
    archive.archive(store.database, day, TODAY, tmp_path / "b.gz")
    assert [] == audit.run(store).faults
    assert balance.posted_nano + 2 * 18 == store.accounts.get(account).posted_nano
    assert len(before) == len(store.usage.sums(["day", "model"]))


def test_a_file_of_no_requests(tmp_path: pathlib.Path) -> None:
    """Is one that can be read as all others: a script that archives each night meets such days."""
    store, file = new_store(tmp_path), tmp_path / "a.gz"
    assert 0 == archive.archive(store.database, EPOCH, TODAY, file).requests
    assert (True, b"") == (file.stat().st_size > 0, gzip.decompress(file.read_bytes()))


def test_contents_leave_with_their_requests(tmp_path: pathlib.Path) -> None:
    """And are in no file: what is sealed in the book would be in clear there."""
    store = new_store(tmp_path)
    store.prices.set(PRICE, "test")
    spent(store, 1, 4)
    [key] = store.keys.all()
    store.keys.update(key.id, "test", keep_content_days=3)
    store.contents.keep([heard(key, f"r{day}") for day in (1, 2, 3)])
    day = EPOCH + datetime.timedelta(days=3)
    assert 2 == archive.archive(store.database, day, TODAY, tmp_path / "a.gz").contents
    kept = [name for name in ("r1", "r2", "r3") if store.contents.about(name, key.id, 0)]
    assert ["r3"] == kept
    assert b"canary" not in gzip.decompress((tmp_path / "a.gz").read_bytes())


def test_what_is_not_archived(tmp_path: pathlib.Path) -> None:
    """Nothing young, and nothing into a file that is there."""
    store = new_store(tmp_path)
    store.prices.set(PRICE, "test")
    spent(store, 1, 3)
    with pytest.raises(StoreError, match="1970-01-09 or earlier"):
        archive.archive(
            store.database, TODAY - datetime.timedelta(days=1), TODAY, tmp_path / "a.gz"
        )
    (tmp_path / "a.gz").write_bytes(b"precious")
    with pytest.raises(StoreError, match="cannot be made"):
        archive.archive(
            store.database, EPOCH + datetime.timedelta(days=5), TODAY, tmp_path / "a.gz"
        )
    assert 2 == len(store.usage.requests())


class Overtaken(Database):
    """A book of which somebody else removes requests just before this one does."""

    other: Callable[[], object] | None = None

    @contextlib.contextmanager
    def writing(self, *, alone: bool = True) -> Iterator[sqlalchemy.Connection]:
        other, self.other = self.other, None
        if other is not None:
            other()
        with super().writing(alone=alone) as connection:
            yield connection


def test_two_at_once(tmp_path: pathlib.Path) -> None:
    """The one that comes late is told whose the requests are, and changes nothing."""
    store = new_store(tmp_path)
    store.prices.set(PRICE, "test")
    spent(store, 1, 5)
    before, day = store.usage.sums(["day"]), EPOCH + datetime.timedelta(days=6)
    late = Overtaken(store.database.place)
    late.other = lambda: archive.archive(store.database, day, TODAY, tmp_path / "a.gz")
    with pytest.raises(StoreError, match="another prune is at work"):
        archive.archive(late, day, TODAY, tmp_path / "b.gz")
    late.close()
    assert ([], before) == (store.usage.requests(), store.usage.sums(["day"]))
    assert [] == audit.run(store).faults
    assert ["a.gz"] == [each.name for each in tmp_path.glob("*.gz")], "none is in two files"


def test_the_book_takes_no_more(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stays in the book is in no file, whose pieces are whole; the error tells what is. Where
    nothing was moved there is no file in the way of the next try."""
    monkeypatch.setattr(archive, "PAGE_ROWS", 2)
    store = new_store(tmp_path)
    store.prices.set(PRICE, "test")
    spent(store, 1, 6)
    broken, day = Overtaken(store.database.place), EPOCH + datetime.timedelta(days=6)

    def refuse() -> None:
        raise StoreUnavailable("the disk is full")

    broken.other = refuse
    with pytest.raises(StoreError, match="the disk is full; none has moved"):
        archive.archive(broken, day, TODAY, tmp_path / "a.gz")
    assert [] == list(tmp_path.glob("*.gz"))
    broken.other = lambda: setattr(broken, "other", refuse)  # the second page
    with pytest.raises(StoreError, match=r"the disk is full; 2 requests are in .*a\.gz"):
        archive.archive(broken, day, TODAY, tmp_path / "a.gz")
    broken.close()
    archive.archive(store.database, day, TODAY, tmp_path / "b.gz")
    files = [gzip.decompress((tmp_path / name).read_bytes()) for name in ("a.gz", "b.gz")]
    rows = [[json.loads(line)["request_id"] for line in each.splitlines()] for each in files]
    assert [["r1", "r2"], ["r3", "r4", "r5"]] == rows
    assert [] == audit.run(store).faults


def test_the_book_is_away(tmp_path: pathlib.Path) -> None:
    """From the first question on: there is no file in the way of the next try."""
    away, day = Database(tmp_path / "gone" / "baton.db"), EPOCH + datetime.timedelta(days=6)
    with pytest.raises(StoreError, match="none has moved"):
        archive.archive(away, day, TODAY, tmp_path / "a.gz")
    away.close()
    assert [] == list(tmp_path.glob("*.gz"))


def test_a_folder_to_be_written_to_alone() -> None:
    """One that its writer may not list takes the file, too."""
    nobody = 65534
    with tempfile.TemporaryDirectory() as folder:
        if is_root := os.geteuid() == 0:
            os.chown(folder, nobody, nobody)
        os.chmod(folder, 0o300)
        if is_root:
            os.seteuid(nobody)
        try:
            os.close(archive._new(pathlib.Path(folder) / "a.gz"))
        finally:
            if is_root:
                os.seteuid(0)
            os.chmod(folder, 0o700)
        assert ["a.gz"] == os.listdir(folder)


def test_windows_that_are_over_leave(tmp_path: pathlib.Path) -> None:
    """Their balances go, with what was noticed of them; those under way, those that somebody may
    still spend from and those without an end stay. The audit is content."""
    store = new_store(tmp_path)
    names = [
        "team:t/day@1970-01-04",
        "tokens:key:k/week@1970-W01",  # to the 4th
        "requests:free/key:k/m/day@1970-01-03",
        "key:k/day@1970-01-05",
        "team:t/month@1970-01",
        "key:k/day@1970-01-02",
        "team:t/total",
        "key:k",
    ]
    held = journals.enter(store.database, "one", "0")
    with store.database.writing() as connection:
        for name in names:
            opened = {"id": name, "limit_nano": 9, "posted_nano": 0}
            connection.execute(account.insert().values(**opened))
        told = {"percent": 50, "body": "", "created_us": 1, "delivered_us": 2}
        connection.execute(notice.insert().values(account=names[0], **told))
    store.accounts.lend(held.number, {names[5]: 1})
    day = EPOCH + datetime.timedelta(days=5)  # the 6th
    done = archive.archive(store.database, day, TODAY, tmp_path / "a.gz")
    assert (0, 3) == (done.requests, done.windows)
    assert set(names[3:]) == set(store.accounts.some(names))
    with store.database.reading() as connection:
        assert None is connection.scalar(select(notice.c.id))
    assert [] == audit.run(store).faults
    store.close()
