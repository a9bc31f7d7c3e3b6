"""Posting: balances, leases, entries and days move together with the mark."""

import itertools
import pathlib
from typing import Any

import msgspec

from baton.ledger.costs import of_attempts
from baton.ledger.entries import AttemptRow, EndRow, HoldRow, SettleRow
from baton.ledger.journal_log import JournalLog
from baton.ledger.log_rows import LogRows
from baton.ledger.prices import PriceBook
from baton.semantics.events import Usage
from baton.stores import audit, journals
from baton.stores.book import Store
from baton.stores.posting import Posting
from baton.stores.sums import DAY_US
from baton.stores.usage import Filter
from tests.bookkeeping import book_of, new_key, new_store
from tests.collecting import left_to_the_collector


def settle(seq: int, account: str, charge: int, **end: Any) -> tuple[int, SettleRow]:
    hold = HoldRow(f"r{seq}", seq * DAY_US, "k", account, "", "m", None, False, 100, 1)
    fields: dict[str, Any] = {"state": "settled", "charge": charge, "upstream": "u", **end}
    return seq, SettleRow(seq, hold, EndRow(**fields))


def posting_at(store: Store, file: JournalLog) -> Posting:
    held = journals.enter(store.database, file.identity, "0")
    return Posting(store.database, LogRows(file, held.number), held)


def test_batches_add_up(tmp_path: pathlib.Path) -> None:
    """Posted in batches of any size, the sums are those of all rows; each batch moves the mark."""
    store = new_store(tmp_path)
    account = new_key(store).account
    file = JournalLog(tmp_path / "0")
    file.append([], [], [settle(n, account, n, cost=2, completion_tokens=3) for n in range(1, 26)])
    posting = posting_at(store, file)
    steps = [posting.post(10) for _ in range(4)]
    assert [(10, 10), (10, 20), (5, 25), (0, 25)] == steps
    assert 25 * 26 // 2 == store.accounts.get(account).posted_nano
    (total,) = store.usage.sums()
    assert (25, 325, 50, 75) == (
        *(total.requests, total.charge_nano),
        *(total.cost_nano, total.completion_tokens),
    )
    assert 25 == len(store.usage.sums(["day"]))
    assert [] == audit.faults(book_of(store))
    posting.close()
    file.close()


def test_days_are_utc(tmp_path: pathlib.Path) -> None:
    """A request belongs to the day on which it was created, UTC."""
    store = new_store(tmp_path)
    account = new_key(store).account
    file = JournalLog(tmp_path / "0")
    file.append([], [], [settle(1, account, 5), settle(2, account, 6, status=500)])
    posting = posting_at(store, file)
    posting.post(10)
    days = [
        (row.day, row.requests, row.failed, row.charge_nano) for row in store.usage.sums(["day"])
    ]
    assert [("1970-01-02", 1, 0, 5), ("1970-01-03", 1, 1, 6)] == days
    posting.close()
    file.close()


def test_charges_move_from_the_lease_to_the_balance(tmp_path: pathlib.Path) -> None:
    """What is leased and posted together does not change when a charge is posted."""
    store = new_store(tmp_path)
    account = new_key(store, budget_nano=100).account
    file = JournalLog(tmp_path / "0")
    posting = posting_at(store, file)
    store.accounts.lend(posting.number, {account: 100})
    file.append([], [], [settle(1, account, 30)])
    posting.post(10)
    record = store.accounts.get(account)
    assert (30, 70) == (record.posted_nano, record.leased_nano)
    journals.return_leases(store.database, posting._held)
    assert 0 == store.accounts.get(account).leased_nano
    posting.close()
    file.close()


def test_further_scopes_count_too(tmp_path: pathlib.Path) -> None:
    """A charge counts in every scope of its request, and is paid by one account."""
    store = new_store(tmp_path)
    payer, team = new_key(store, "payer").account, new_key(store, "team").account
    file = JournalLog(tmp_path / "0")
    hold = HoldRow("r", 1, "k", payer, team, "m", None, False, 100, 1)
    file.append([], [], [(1, SettleRow(1, hold, EndRow(state="settled", charge=9)))])
    posting = posting_at(store, file)
    posting.post(10)
    assert [9, 9] == [store.accounts.get(name).posted_nano for name in (payer, team)]
    with store.database.reading() as connection:
        entries = dict(
            tuple(r) for r in connection.exec_driver_sql("SELECT account, amount_nano FROM entry")
        )
    assert {payer: -9, "revenue": 9} == entries
    assert [] == audit.faults(book_of(store))
    posting.close()
    file.close()


def attempts(*upstreams: str) -> tuple[AttemptRow, ...]:
    return of_attempts(PriceBook(), "m", 1, [(name, Usage(3, 1, 2)) for name in upstreams]).spent


def test_attempts_follow_their_request(tmp_path: pathlib.Path) -> None:
    """Of each end that counts, in order; those of a second end of the same hold lead nowhere."""
    store = new_store(tmp_path)
    account = new_key(store).account
    file = JournalLog(tmp_path / "0")
    seq, row = settle(1, account, 5)
    first = msgspec.structs.replace(row, spent=attempts("u", "v"))
    second = msgspec.structs.replace(row, spent=attempts("w"))
    file.append([], [], [(seq, first), settle(2, account, 6), (3, second)])
    posting = posting_at(store, file)
    assert (2, 2) == posting.post(10)
    by_name = {each.request_id: each.id for each in store.usage.requests()}
    told = [
        (each.n, each.upstream, each.cached_tokens) for each in store.usage.attempts(by_name["r1"])
    ]
    assert [(1, "u", 2), (2, "v", 2)] == told
    assert [] == store.usage.attempts(by_name["r2"])
    posting.close()
    file.close()


def test_reports_filter(tmp_path: pathlib.Path) -> None:
    """Sums count what the filter lets through."""
    store = new_store(tmp_path)
    account = new_key(store).account
    file = JournalLog(tmp_path / "0")
    file.append([], [], [settle(1, account, 5), settle(2, account, 6, upstream="v")])
    posting = posting_at(store, file)
    posting.post(10)
    assert [6] == [row.charge_nano for row in store.usage.sums(only=Filter(upstream="v"))]
    posting.close()
    file.close()


def test_a_fold_leaves_nothing_to_the_collector(tmp_path: pathlib.Path) -> None:
    """One comes each second: what it left in cycles would pile up for minutes."""
    store = new_store(tmp_path)
    account = new_key(store, budget_nano=10**6).account
    file = JournalLog(tmp_path / "0")
    posting, numbers = posting_at(store, file), itertools.count(1)

    def fold() -> None:
        file.append([], [], [settle(next(numbers), account, 1)])
        assert 1 == posting.post(10)[0]

    assert 0 == left_to_the_collector(fold)
    posting.close()
    file.close()
