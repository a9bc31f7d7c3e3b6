"""The audit works every charge out anew: right books pass, each wrong figure is found.

Where the ledger's invariants are proved:
- I1 conservation, I5 entries: here and tests/stores/test_audit.py (each rule broken once),
  tests/ledger/test_settle_machine.py after every step;
- I2 cap, I7 several scopes: tests/ledger/test_leases.py, test_leases_race.py;
- I3 one end: tests/ledger/test_settle.py, test_settle_machine.py;
- I4 acknowledged is durable: tests/ledger/test_journal_kill.py, tests/faults/test_kill9.py;
- I6 recomputable, charge ≤ hold: here and tests/ledger/test_prices.py;
- I8 leases of dead processes: tests/ledger/test_leases_race.py;
- I9 windows: tests/stores/test_windows.py;
- I10 the caller's usage: tests/semantics/test_usage.py, tests/test_relay.py;
- I11 idempotency: tests/test_once.py, tests/stores/test_idempotency.py;
- I12 liveness: tests/ledger/test_fold.py, and `unfolded` here.
"""

import asyncio
import contextlib
import pathlib
import sqlite3
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from baton.ledger import audit, prices
from baton.ledger.holds import Outcome
from baton.semantics.events import Usage
from baton.stores.allowances import WITHIN
from baton.stores.base import PriceDetails, PriceRecord
from baton.stores.book import Store, book_path
from tests.bookkeeping import POSTGRES, PRICE, TOLD, intent, ledger_of, new_key, new_store, outcome

KINDS = PriceRecord(
    version=0,
    model="kinds",
    effective_us=1,
    input_pico=1_000,
    output_pico=2_000,
    details=PriceDetails(reasoning_pico=9_000),
)
counts = st.integers(0, 200)
usages = st.builds(
    Usage,
    prompt_tokens=counts,
    completion_tokens=counts,
    cached_tokens=st.none() | counts,
    reasoning_tokens=st.none() | counts,
)
ends = st.tuples(
    st.sampled_from(["m", "kinds", "unpriced"]),
    st.sampled_from(["settled", "released", "interrupted"]),
    st.none() | usages,
)


def spent(home: pathlib.Path, found: list[tuple[str, Any, Usage | None]]) -> Store:
    """A book in which these requests ended."""
    store = new_store(home)
    if not store.keys.all():
        new_key(store)
        for price in (PRICE, KINDS):
            store.prices.set(price, "test")
    [key] = store.keys.all()

    async def run() -> None:
        async with ledger_of(store) as ledger:
            for number, (model, state, usage) in enumerate(found):
                hold = await ledger.hold(intent(key, f"r{number}", model=model))
                ledger.settle(hold, Outcome(state=state, usage=usage, upstream="u"))

    asyncio.run(run())
    return store


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(ends, max_size=12))
def test_whatever_was_settled_is_right(
    tmp_path_factory: pytest.TempPathFactory, found: list[tuple[str, Any, Usage | None]]
) -> None:
    """Any ends at any prices, overrun among them: the audit comes to the same amounts."""
    store = spent(tmp_path_factory.mktemp("home"), found)
    done = audit.run(store)
    assert [] == done.faults
    assert (len(found), 0) == (done.requests, done.unfolded)
    assert sum(row.charge for row in store.usage.requests()) == done.charge_nano
    store.close()


COST = PriceRecord(
    version=0, model="m", upstream="u", effective_us=1, input_pico=700, output_pico=100
)
COST_ELSEWHERE = PriceRecord(
    version=0,
    model="m",
    upstream="v",
    effective_us=1,
    input_pico=300,
    details=PriceDetails(reasoning_pico=50),
)


def handed_over(home: pathlib.Path) -> Store:
    """A request with one attempt, and one that was lost at u and finished at v."""
    store = new_store(home)
    store.prices.set_all([PRICE, COST, COST_ELSEWHERE], "test")
    key = new_key(store)
    spent = (("u", Usage(10, 2)), ("v", Usage(12, 3, reasoning_tokens=2)))

    async def run() -> None:
        async with ledger_of(store) as ledger:
            ledger.settle(await ledger.hold(intent(key, "r0")), outcome(4))
            how = outcome(5, upstream="v", spent=spent, attempts=2, handoffs=1)
            ledger.settle(await ledger.hold(intent(key, "r1")), how)

    asyncio.run(run())
    return store


def test_attempts_are_on_the_ledger(tmp_path: pathlib.Path) -> None:
    """Each with its upstream, usage, cost and the price of it; the caller pays the logical usage
    once; the audit comes to the same."""
    store = handed_over(tmp_path)
    assert [] == audit.run(store).faults
    second, first = sorted(store.usage.requests(), key=lambda row: row.request_id, reverse=True)
    assert (7, 2, []) == (first.cost, first.cost_version, store.usage.attempts(first.id))
    assert (20, None) == (second.charge, second.cost_version)
    rows = store.usage.attempts(second.id)
    told = [(each.n, each.upstream, each.cost, each.price_version) for each in rows]
    assert [(1, "u", 7, 2), (2, "v", 4, 3)] == told
    assert (7 + 4, 2) == (second.cost, rows[1].reasoning_tokens)
    store.close()


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ("request SET cost = cost + 1 WHERE request_id = 'r0'", "r0"),
        ("request SET cost = cost + 1 WHERE request_id = 'r1'", "r1"),
        ("request SET cost_version = 3 WHERE request_id = 'r0'", "r0"),
        ("attempt SET prompt_tokens = prompt_tokens + 9 WHERE n = 1", "r1"),
        ("attempt SET reasoning_tokens = 0, prompt_tokens = 9 WHERE n = 2", "r1"),
        ("attempt SET cost = cost + 1 WHERE n = 1", "r1"),
    ],
)
def test_a_wrong_cost_is_found(tmp_path: pathlib.Path, change: str, name: str) -> None:
    """By the tokens and the price of the request, or of each attempt."""
    handed_over(tmp_path).close()
    with contextlib.closing(sqlite3.connect(book_path(tmp_path))) as connection, connection:
        connection.execute(f"UPDATE {change}")
    found = audit.run(new_store(tmp_path)).faults
    assert f"1 costs are not what tokens and price make: {name}" in found


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("DELETE FROM request WHERE request_id = 'r1'", "1 costs are not what tokens and price"),
        (
            "UPDATE attempt SET price_version = 99 WHERE n = 1",
            "requests were costed by the price 99",
        ),
        (
            f"UPDATE request SET scopes = '{WITHIN}' WHERE request_id = 'r0'",
            "1 requests were free at a price without an allowance",
        ),
    ],
)
def test_what_a_row_refers_to_is_there(tmp_path: pathlib.Path, change: str, fault: str) -> None:
    """An attempt's request and price, and the allowance that a request was free by."""
    handed_over(tmp_path).close()
    with contextlib.closing(sqlite3.connect(book_path(tmp_path))) as connection, connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute(change)
    store = new_store(tmp_path)
    assert fault in [each[: len(fault)] for each in audit.run(store).faults]
    store.close()


def test_a_cost_whose_price_nobody_wrote_down(tmp_path: pathlib.Path) -> None:
    """A row of an earlier Baton is left as it is; one that names a missing price is told."""
    handed_over(tmp_path).close()
    for version, fault in (("NULL", []), ("99", ["requests were costed by the price 99"])):
        with contextlib.closing(sqlite3.connect(book_path(tmp_path))) as connection, connection:
            connection.execute(f"UPDATE request SET cost_version = {version} WHERE cost = 7")
        store = new_store(tmp_path)
        found = [each.partition(",")[0] for each in audit.run(store).faults]
        assert fault == [each for each in found if "99" in each]
        assert (version == "NULL") == (not found)
        store.close()


TAMPERED = [
    "charge = charge - 1",
    "completion_tokens = completion_tokens + 1",
    "cached_tokens = 5, price_version = price_version + 1",
    "price_version = 0",
    "overrun = 1",
]


@pytest.mark.parametrize("model", ["m", "kinds"])
@pytest.mark.parametrize("change", TAMPERED)
def test_a_changed_row_is_found(tmp_path: pathlib.Path, model: str, change: str) -> None:
    """By its own figures alone, whatever the sums say."""
    usage = Usage(prompt_tokens=10, completion_tokens=4, reasoning_tokens=2)
    spent(tmp_path, [(model, "settled", usage), (model, "settled", usage)]).close()
    with contextlib.closing(sqlite3.connect(book_path(tmp_path))) as connection, connection:
        connection.execute(f"UPDATE request SET {change} WHERE request_id = 'r1'")
    done = audit.run(new_store(tmp_path))
    [fault] = [fault for fault in done.faults if "tokens and price" in fault]
    assert "1 charges are not what tokens and price make: r1" == fault


@pytest.mark.parametrize("on_server", [False, True])
def test_products_beyond_64_bits(
    tmp_path: pathlib.Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    on_server: bool,
) -> None:
    """At the highest price that can be set a million tokens are right, too."""
    if on_server:
        monkeypatch.setenv(POSTGRES, request.getfixturevalue("cluster").url("postgres"))
    store = new_store(tmp_path)
    highest = msgspec.structs.replace(PRICE, input_pico=10**15, output_pico=10**15 - 7)
    store.prices.set(highest, "test")
    store.prices.set(msgspec.structs.replace(highest, upstream="u"), "test")
    new_key(store)
    store = spent(tmp_path, [("m", "settled", Usage(10**6, 10**6, 1))])
    found = audit.run(store)
    assert ([], 1) == (found.faults, found.requests)
    assert 20 * 10**12 == found.charge_nano
    store.close()


def test_costs_of_a_wrong_unit(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upstream's fee in nano-USD that was given as US dollars is noted as a million of these,
    each time: else three of them sum up to more than the book holds. What an earlier Baton noted
    whole of one is right as well."""
    store = new_store(tmp_path)
    fee = msgspec.structs.replace(PRICE, upstream="u", request_nano=4 * 10**18)
    store.prices.set_all([PRICE, fee], "test")
    key = new_key(store)

    async def spend(*names: str) -> None:
        async with ledger_of(store) as ledger:
            for name in names:
                ledger.settle(await ledger.hold(intent(key, name)), outcome())

    with monkeypatch.context() as earlier:
        earlier.setattr(prices, "HOLD_NANO_MAX", prices.AMOUNT_NANO_MAX)
        asyncio.run(spend("r0"))
    asyncio.run(spend("r1", "r2", "r3"))
    found = audit.run(store)
    assert ([], 4 * 10**18 + 30 + 3 * 10**15) == (found.faults, found.cost_nano)
    store.close()


def test_a_price_that_is_gone(tmp_path: pathlib.Path) -> None:
    """A row that names a version which nobody has cannot be worked out."""
    spent(tmp_path, [("m", "settled", Usage(1, 1))]).close()
    with contextlib.closing(sqlite3.connect(book_path(tmp_path))) as connection, connection:
        connection.execute("UPDATE request SET price_version = 99")
    found = audit.run(new_store(tmp_path)).faults
    assert "requests were charged by the price 99, which is not there" in found


def test_what_recovery_charged_is_right(tmp_path: pathlib.Path) -> None:
    """A request that was cut at a checkpoint is charged for the tokens that its row names."""
    store = spent(tmp_path, [])
    [key] = store.keys.all()

    async def run() -> None:
        async with ledger_of(store) as ledger:
            for name in ("with", "without"):
                hold = await ledger.hold(intent(key, name, max_tokens=500))
                if name == "with":
                    ledger.checkpoint(hold, 100, TOLD)
                await ledger.durable(hold.ticket)

    asyncio.run(run())
    done = audit.run(store)
    assert ([], 2, 210) == (done.faults, done.interrupted, done.charge_nano)


def test_unfolded_and_over_limit(tmp_path: pathlib.Path) -> None:
    """What a living process has not folded yet is counted, not blamed; left by a dead one it is a
    fault. A lowered limit is told."""
    store = new_store(tmp_path)
    store.prices.set(PRICE, "test")
    key = new_key(store, budget_nano=1_000)

    async def run() -> audit.Audit:
        async with ledger_of(store) as ledger:
            await ledger.durable(ledger.settle(await ledger.hold(intent(key)), outcome(4)))
            assert [] == (await asyncio.to_thread(audit.run, store)).over_limit
            with contextlib.closing(sqlite3.connect(book_path(tmp_path))) as connection:
                connection.execute("UPDATE account SET limit_nano = 5")
                connection.commit()
            return await asyncio.to_thread(audit.run, store)

    during = asyncio.run(run())
    assert ([], [key.account]) == (during.faults, during.over_limit)
    assert 1 == during.unfolded + during.requests
    with contextlib.closing(sqlite3.connect(book_path(tmp_path))) as connection, connection:
        connection.execute("UPDATE journal SET folded_seq = 0")
    found = audit.run(store).faults
    assert "1 requests of the journal 0 are not folded" in found
    with (tmp_path / "journal" / "0" / "1.log").open("r+b") as file:
        file.write(b"no journal")
    found = audit.run(store).faults
    assert any(fault.startswith("the journal 0 cannot be read") for fault in found)
