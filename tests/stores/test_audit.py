"""The audit finds what is wrong: each rule is broken once."""

import asyncio
import contextlib
import pathlib
import sqlite3

import pytest

from baton.stores.audit import faults
from baton.stores.book import book_path
from tests.bookkeeping import PRICE, intent, ledger_of, new_key, new_store, outcome

BREAKS = {
    "the entries of": "UPDATE entry SET amount_nano = amount_nano * 2",
    "the entries of fold": "UPDATE entry SET amount_nano = amount_nano + 1"
    " WHERE account = 'revenue'",
    "the balance of": "UPDATE account SET posted_nano = posted_nano + 1",
    "the day": "UPDATE usage_day SET charge = charge + 1",
    "2 requests were folded": "UPDATE fold SET requests = requests + 1",
    "the sums of 1 users and days": "UPDATE usage_user SET requests = 0",
    "the sums of 1 users and days are not what their requests say: k": "UPDATE usage_user"
    " SET charge = charge + 1",
    "the sums of 2 users and days": "UPDATE usage_user SET \"user\" = 'v'",
    "of 1 requests the charge was made": "UPDATE request SET state = 'released'",
    "of 1 requests the overrun": "UPDATE request SET overrun = 1",
    "the file is damaged": "UPDATE request SET charge = hold + 1",  # a constraint of the table
}


@pytest.fixture
def book(tmp_path: pathlib.Path) -> pathlib.Path:
    store = new_store(tmp_path)
    store.prices.set(PRICE, "test")
    key = new_key(store)

    async def run() -> None:
        async with ledger_of(store) as ledger:
            ledger.settle(await ledger.hold(intent(key, user="u")), outcome(4))

    asyncio.run(run())
    store.close()
    return book_path(tmp_path)


@pytest.mark.parametrize("sentence", BREAKS)
def test_broken_rule_is_told(book: pathlib.Path, sentence: str) -> None:
    """A right book has no faults; one that was tampered with has that one."""
    assert [] == faults(book)
    with contextlib.closing(sqlite3.connect(book)) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(BREAKS[sentence])
    assert any(fault.startswith(sentence) for fault in faults(book)), faults(book)


def test_damaged_file_is_told(book: pathlib.Path) -> None:
    """Bytes that are no database any more are a fault, not an exception."""
    data = bytearray(book.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    book.write_bytes(data)
    assert any("damaged" in fault for fault in faults(book))
