"""The schema moved on purpose: back and up again with a used book, and what that drops."""

import asyncio
import datetime
import pathlib
from collections.abc import Iterator

import msgspec
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import text

from baton.ledger import audit
from baton.stores import archive, migrate, schema
from baton.stores.base import KeyRecord, PartyRecord, StoreError
from baton.stores.book import Store
from baton.stores.moves import configuration
from baton.stores.sums import DAY_US
from baton.stores.usage import EPOCH
from tests.bookkeeping import PRICE, book_of, intent, ledger_of, new_key, new_store, outcome
from tests.stores.test_contents import heard
from tests.stores.test_moved import COSTS, LOST_AT_U, LOST_TWICE
from tests.stores.test_refusals import refusal

ALL_DROPPED = {
    "refused requests": 1,
    "changes of upstreams' states": 1,
    "kept contents": 1,
    "keys that keep contents": 1,
    "attempts with a cost": 10,
    "notices of budgets": 1,
}
"""Of the store below, where nothing was pruned."""


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[Store]:
    """With charges and costs, lost attempts, a kept content, a notice, an upstream's change and a
    refused request."""
    made = new_store(tmp_path)
    made.prices.set_all([PRICE, *COSTS], "test")
    key = new_key(made, budget_nano=10_000)
    made.keys.update(key.id, "test", keep_content_days=3)
    made.contents.keep([heard(key)])
    made.refusals.add([refusal("refused", 1)])
    with made.database.writing() as connection:
        connection.execute(
            text(
                "INSERT INTO upstream_change(at_us, upstream, worker, state, reason)"
                " VALUES (1, 'u', '0', 'ejected', 'failures')"
            )
        )
        connection.execute(
            text(
                "INSERT INTO notice(account, percent, body, created_us)"
                f" VALUES ('{key.account}', 50, '{{}}', 1)"
            )
        )
    spend(made, key, "a", (3, 9))
    yield made
    made.close()


def spend(store: Store, key: KeyRecord, name: str, on: tuple[int, ...]) -> None:
    """Three requests a day: whole, with one lost attempt, and with two."""

    async def run() -> None:
        async with ledger_of(store) as ledger:
            for day in on:
                for n, (ended, spent) in enumerate(
                    (("u", ()), ("v", LOST_AT_U), ("u", LOST_TWICE))
                ):
                    wanted = intent(key, f"{name}{day}-{n}", created_us=day * DAY_US)
                    how = outcome(5, upstream=ended, spent=spent)
                    ledger.settle(await ledger.hold(wanted), how)

    asyncio.run(run())


def audited(store: Store) -> dict[str, object]:
    found = msgspec.structs.asdict(audit.run(store))
    del found["seconds"]
    return found


@pytest.mark.parametrize("target", schema.known())
def test_back_and_up_and_on(store: Store, target: str) -> None:
    """What is dropped is told first, and only that: balances, charges and costs are right again
    right after it, and with what comes then."""
    book, before, [key] = book_of(store), audited(store), store.keys.all()
    assert ([], 6) == (before["faults"], before["requests"])
    gone = [loss.what for loss in schema.LOSSES if loss.revision > target]
    expected = {what: count for what, count in ALL_DROPPED.items() if what in gone}
    if expected:
        with pytest.raises(StoreError, match="--yes drops them") as refused:
            schema.go(book, target, agreed=False)
        assert all(f"{what} ({count})" in str(refused.value) for what, count in expected.items())
        assert migrate.HEAD == migrate.revision(book)
    assert expected == schema.go(book, target, agreed=bool(expected))
    assert target == migrate.revision(book)
    assert {} == schema.go(book, target, agreed=False)
    assert {} == schema.go(book, migrate.HEAD, agreed=False)
    assert before == audited(store)
    spend(store, key, "b", (9, 10))
    after = audited(store)
    assert ([], 12) == (after["faults"], after["requests"])


def test_step_by_step(store: Store) -> None:
    """Every way down is one of its own, and up, too."""
    book, before = book_of(store), audited(store)
    for target in [*reversed(schema.known()), *schema.known()]:
        schema.go(book, target, agreed=True)
        assert target == migrate.revision(book)
    assert before == audited(store)


def test_pruned_requests(store: Store, tmp_path: pathlib.Path) -> None:
    """Of them there are only sums: those that are dropped are told, and those that balances are
    held against are not dropped."""
    today = EPOCH + datetime.timedelta(days=20)
    archive.archive(store.database, EPOCH + datetime.timedelta(days=5), today, tmp_path / "a.gz")
    book, before = book_of(store), audited(store)
    told = schema.go(book, "0006", agreed=True)
    assert 0 < told["costs of lost attempts on days of pruned requests"]
    assert 0 < told["sums of traffic on days of pruned requests"]
    for target in ("0005", "0004"):
        with pytest.raises(StoreError, match="no place for sums of pruned requests"):
            schema.go(book, target, agreed=True)
    assert "0006" == migrate.revision(book)
    migrate.bring_up(book)
    assert before == audited(store)


def test_what_money_and_rights_hang_on(store: Store) -> None:
    """It is never dropped, whoever agrees: free allowances, owners, budgets."""
    team = PartyRecord(id="t", kind="organisation", name="t", parent="", created_us=1)
    store.parties.add(team, "test")
    book = book_of(store)
    with pytest.raises(StoreError, match="organisations, teams and users, of which the book has 1"):
        schema.go(book, "0002", agreed=True)
    with store.database.writing() as connection:
        connection.execute(text("UPDATE price SET free_amount = 1, free_unit = 'tokens'"))
    with pytest.raises(StoreError, match="prices with a free allowance"):
        schema.go(book, "0005", agreed=True)
    assert migrate.HEAD == migrate.revision(book)


def test_what_cannot_be_moved(store: Store, tmp_path: pathlib.Path) -> None:
    """No such schema, no book, and one of a newer Baton, which is told how it goes back."""
    book = book_of(store)
    for nonsense in ("10", "base", "9999", "", "0000"):
        with pytest.raises(StoreError, match="is no schema of this Baton's"):
            schema.go(book, nonsense, agreed=True)
    with pytest.raises(StoreError, match="the first start makes the tables"):
        schema.go(tmp_path / "none" / "baton.db", "0010", agreed=True)
    with store.database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match=f"migrate --to {migrate.HEAD}` there"):
        schema.go(book, "0010", agreed=True)


def test_not_while_a_process_lives(store: Store) -> None:
    """Of a book that nodes share it is the term that tells; of a file, the lock of a journal."""

    async def run() -> None:
        async with ledger_of(store):
            if store.database.on_server:
                with pytest.raises(StoreError, match="stop it on all machines"):
                    await asyncio.to_thread(schema.go, book_of(store), "0010", agreed=True)

    asyncio.run(run())
    assert migrate.HEAD == migrate.revision(book_of(store))


def test_every_migration_says_what_its_way_back_drops() -> None:
    """Or that it is nothing; and every one can be named."""
    scripts = ScriptDirectory.from_config(configuration()).walk_revisions()
    revisions = {script.revision for script in scripts}
    told = {loss.revision for loss in schema.LOSSES}
    assert revisions == told | schema.NOTHING
    assert not told & schema.NOTHING
    assert sorted(revisions) == schema.known()
