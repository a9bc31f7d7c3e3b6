"""Free allowances: so much is free and not a token more, whatever ends how; the audit agrees."""

import asyncio
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from baton.admission import levels
from baton.errors import RequestError
from baton.ledger import audit
from baton.ledger.allowances import ASK_AGAIN_S, Allowances, plain, unpriced
from baton.ledger.entries import Payer
from baton.ledger.holds import Outcome
from baton.ledger.leases import Leases
from baton.ledger.prices import PriceBook
from baton.ledger.settle import Ledger
from baton.semantics.events import Usage
from baton.stores import allowances, journals
from baton.stores.base import Allowance, BudgetRecord, KeyRecord, PriceDetails
from baton.stores.book import Store
from baton.stores.windows import account
from tests.bookkeeping import PRICE, TOLD, intent, ledger_of, new_key, new_store, outcome

THREE = Allowance(amount=3, unit="requests", span="day")
TOKENS = Allowance(amount=50, span="month")
End = tuple[str, Any, int]
ends = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.sampled_from(["settled", "released", "interrupted"]),
        st.integers(0, 10),
    ),
    max_size=14,
)


def book(home: pathlib.Path, free: Allowance, **options: Any) -> tuple[Store, KeyRecord]:
    store = new_store(home)
    store.prices.set(msgspec.structs.replace(PRICE, free=free), "test")
    return store, new_key(store, "a", **options)


async def ask(ledger: Ledger, key: KeyRecord, name: str, how: Outcome, **more: Any) -> None:
    hold = await ledger.hold(intent(key, name, **more))
    await ledger.durable(ledger.settle(hold, how))


def charges(store: Store) -> list[int]:
    rows = sorted(store.usage.requests(), key=lambda row: row.id)
    return [row.charge for row in rows]


def used(store: Store, key: KeyRecord, free: Allowance) -> tuple[int, int]:
    """What was used of the allowance, and what is lent of it."""
    name = allowances.name(key.account, "m", free, time.time_ns() // 1000)
    record = store.accounts.get(name)
    return record.posted_nano, record.leased_nano


def test_so_many_requests_are_free(tmp_path: pathlib.Path) -> None:
    """The first three of the day, those that came to nothing not counted; then each is charged in
    full. Free ones hold nothing, so that a key without money has them too."""
    store, key = book(tmp_path, THREE, budget_nano=40)

    async def run() -> None:
        async with ledger_of(store) as ledger:
            first = await ledger.hold(intent(key, "r0"))
            assert (0, 1) == (first.amount, first.price.version)
            ledger.release(first, 502)
            for number in range(1, 5):
                await ask(ledger, key, f"r{number}", outcome(4))
            with pytest.raises(RequestError, match="budget"):
                await ledger.hold(intent(key, "r5"))

    asyncio.run(run())
    assert [0, 0, 0, 0, 18] == charges(store)
    assert (3, 0) == used(store, key, THREE)
    assert [] == audit.run(store).faults
    store.close()


def test_so_many_tokens_are_free(tmp_path: pathlib.Path) -> None:
    """A request is free where its worst case (20 tokens) fits in what is left of 50: 14 used, 14
    used, then 22 are left, then 8: charged as a whole."""
    store, key = book(tmp_path, TOKENS)

    async def run() -> None:
        async with ledger_of(store) as ledger:
            for number in range(4):
                await ask(ledger, key, f"r{number}", outcome(4))
            await ask(
                ledger, key, "small", Outcome(usage=Usage(3, 1)), max_tokens=1, prompt_tokens_max=7
            )

    asyncio.run(run())
    assert [0, 0, 0, 18, 0] == charges(store)
    assert (46, 0) == used(store, key, TOKENS)
    assert [] == audit.run(store).faults
    store.close()


def test_a_key_with_a_budget_gets_back_what_it_did_not_use(tmp_path: pathlib.Path) -> None:
    """A lone budget in money is given back by a way of its own; what a free request did not need of
    the allowance beside it is free again all the same: three requests of 14 fit into 50."""
    store, key = book(tmp_path, TOKENS, budget_nano=1_000)
    payer, _ = levels.payer(key, levels.levels(key, []), time.time_ns() // 1000)
    assert payer.money_alone

    async def run() -> None:
        async with ledger_of(store) as ledger:
            for number in range(4):
                await ask(ledger, key, f"r{number}", outcome(4), payer=payer)

    asyncio.run(run())
    assert [0, 0, 0, 18] == charges(store)
    assert (42, 0) == used(store, key, TOKENS)
    assert [] == audit.run(store).faults
    store.close()


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    found=ends,
    free=st.builds(
        Allowance,
        amount=st.integers(0, 90),
        unit=st.sampled_from(["tokens", "requests"]),
        span=st.sampled_from(["total", "month"]),
    ),
)
def test_never_more_than_the_allowance(
    tmp_path_factory: pytest.TempPathFactory, found: list[End], free: Allowance
) -> None:
    """Whatever ends how, in two processes: each key has at most its allowance, and it is the sum of
    its free requests; all others are charged in full; nothing stays lent."""
    store, first = book(tmp_path_factory.mktemp("home"), free)
    keys = {"a": first, "b": new_key(store, "b")}

    async def run() -> None:
        async with ledger_of(store) as one, ledger_of(store) as two:
            for number, (who, state, tokens) in enumerate(found):
                how = outcome(tokens, state=state)
                await ask((one, two)[number % 2], keys[who], f"{who}{number}", how)

    asyncio.run(run())
    assert [] == audit.run(store).faults
    rows = store.usage.requests()
    assert len(found) == len(rows)
    for key in keys.values():
        mine = [row for row in rows if row.key_id == key.id and row.state != "released"]
        freed = [row for row in mine if allowances.is_free(row.scopes)]
        tokens = [(row.prompt_tokens or 0) + (row.completion_tokens or 0) for row in freed]
        count = sum(tokens) if free.unit == "tokens" else len(freed)
        assert count <= free.amount
        if freed:
            assert (count, 0) == used(store, key, free)
        for row in mine:
            worth = (row.prompt_tokens or 0) + 2 * (row.completion_tokens or 0)
            assert row.charge == (0 if row in freed else worth)
    store.close()


def test_a_quota_counts_what_is_free(tmp_path: pathlib.Path) -> None:
    """An allowance lifts no other limit: the key's own quota of tokens refuses, and what was taken
    of the allowance meanwhile is there again."""
    store, key = book(tmp_path, THREE, budgets=(BudgetRecord(amount=30, unit="tokens"),))
    quota = account(key.account, key.budgets[0], 0)
    payer = Payer(key.id, key.account, (quota,), (quota,), key.name)

    async def run() -> None:
        async with ledger_of(store) as ledger:
            await ask(ledger, key, "r0", outcome(4), payer=payer)
            with pytest.raises(RequestError, match="budget"):
                await ledger.hold(intent(key, "r1", payer=payer))

    asyncio.run(run())
    assert [0] == charges(store)
    assert (1, 0) == used(store, key, THREE)
    assert 14 == store.accounts.get(quota).posted_nano
    assert [] == audit.run(store).faults
    store.close()


def test_what_a_crash_leaves(tmp_path: pathlib.Path) -> None:
    """A free request that was cut at a checkpoint is free still, and counts."""
    store, key = book(tmp_path, Allowance(amount=1_000))

    async def run() -> None:
        async with ledger_of(store) as ledger:
            hold = await ledger.hold(intent(key, "cut", max_tokens=500))
            ledger.checkpoint(hold, 100, TOLD)
            await ledger.durable(hold.ticket)

    asyncio.run(run())
    assert [("interrupted", 0)] == [(row.state, row.charge) for row in store.usage.requests()]
    assert (110, 0) == used(store, key, Allowance(amount=1_000))
    assert [] == audit.run(store).faults
    store.close()


def test_free_without_an_allowance_is_found(tmp_path: pathlib.Path) -> None:
    """A row that says it was free at a price that allows nothing; one that was charged as well."""
    store, key = book(tmp_path, THREE)

    async def run() -> None:
        async with ledger_of(store) as ledger:
            await ask(ledger, key, "r", outcome(4))

    asyncio.run(run())
    for change, fault in (
        ("request SET charge = hold + 1, hold = hold + 1", "tokens and price make: r"),
        ("price SET free_amount = NULL", "free at a price without an allowance"),
    ):
        with store.database.writing() as connection:
            connection.exec_driver_sql(f"UPDATE {change}")
        assert any(fault in each for each in audit.run(store).faults)
    store.close()


def asked(store: Store, free: Allowance, wants: Sequence[tuple[float, int]]) -> list[bool]:
    """Whether each is free, of requests at those seconds with so many tokens."""
    key = new_key(store, "asking")
    held = journals.enter(store.database, "asking", "9")
    now = [0.0]

    async def run() -> list[bool]:
        leases = Leases(store.accounts, held.number)
        given = Allowances(leases, lambda: now[0])
        price = msgspec.structs.replace(store.prices.all()[-1], free=free)
        found = []
        for at_s, tokens in wants:
            now[0] = at_s
            wanted = intent(key, max_tokens=tokens, prompt_tokens_max=0)
            found.append(await given.within(wanted, price) is not None)
        return found

    return asyncio.run(run())


def test_the_book_is_not_asked_each_time(tmp_path: pathlib.Path) -> None:
    """What fell short is not asked for again for a while, what is smaller is."""
    store, _ = book(tmp_path, Allowance(amount=10))
    later = ASK_AGAIN_S + 1
    wants = [(0.0, 30), (1.0, 30), (1.0, 10), (1.0, 30), (later, 30)]
    assert [False, False, True, False, False] == asked(store, Allowance(amount=10), wants)
    store.prices.set(msgspec.structs.replace(PRICE, free=Allowance(amount=90)), "test")
    store.close()


@pytest.mark.parametrize(
    ("free", "wants"),
    [
        (Allowance(amount=10), [(1.0, 8, False), (1.0, 7, True)]),
        (Allowance(amount=10), [(1.0, 9, False), (ASK_AGAIN_S + 1, 8, True)]),
        (
            Allowance(amount=1, unit="requests"),
            [(1.0, 8, False), (1.0, 1, False), (ASK_AGAIN_S + 1, 8, True)],
        ),
    ],
)
def test_what_comes_back_is_noticed_later(
    tmp_path: pathlib.Path, free: Allowance, wants: list[tuple[float, int, bool]]
) -> None:
    """Another process gave back what fell short here; who needs less asks at once."""
    store, key = book(tmp_path, free)
    now = [0.0]

    async def run() -> None:
        journal = [journals.enter(store.database, name, "9").number for name in ("one", "two")]
        mine, theirs = (Leases(store.accounts, number) for number in journal)
        given = Allowances(mine, lambda: now[0])
        price = store.prices.all()[-1]

        async def is_free(tokens: int) -> bool:
            wanted = intent(key, max_tokens=tokens, prompt_tokens_max=0)
            return await given.within(wanted, price) is not None

        name = allowances.name(key.account, "m", free, time.time_ns() // 1000)
        assert await theirs.acquire((name,), 0, 10) is None
        assert not await is_free(8)
        theirs.finish((name,), 0, 10, 1)
        await theirs.give_back(lambda: theirs.recalled(key.id))
        for at_s, tokens, expected in wants:
            now[0] = at_s
            assert expected == await is_free(tokens), (at_s, tokens)

    asyncio.run(run())
    store.close()


def test_a_new_allowance_is_asked_for_at_once(tmp_path: pathlib.Path) -> None:
    """That the one before fell short says nothing of it."""
    store, key = book(tmp_path, THREE)

    async def run() -> None:
        async with ledger_of(store) as ledger:
            for number in range(4):
                await ask(ledger, key, f"r{number}", outcome(4))
            more = msgspec.structs.replace(THREE, amount=5)
            store.prices.set(msgspec.structs.replace(PRICE, effective_us=0, free=more), "test")
            ledger.prices = PriceBook(store.prices.all())
            await ask(ledger, key, "r4", outcome(4))

    asyncio.run(run())
    assert [0, 0, 0, 18, 0] == charges(store)
    assert [] == audit.run(store).faults
    store.close()


def test_without_the_book_requests_are_charged(tmp_path: pathlib.Path) -> None:
    """Nobody knows what is left: nothing is given away."""
    store, key = book(tmp_path, THREE)

    async def run() -> None:
        held = journals.enter(store.database, "asking", "9")
        leases = Leases(store.accounts, held.number)
        leases.lapsed = True
        price = store.prices.all()[-1]
        assert await Allowances(leases).within(intent(key), price) is None

    asyncio.run(run())
    store.close()


def test_prices_of_both_kinds() -> None:
    """What is free costs nothing of anything, at the same version; what is charged, all."""
    price = msgspec.structs.replace(
        PRICE, version=7, free=THREE, request_nano=5, details=PriceDetails(reasoning_pico=1)
    )
    nothing = unpriced(price)
    assert (7, 0, 0, 0, None, None) == (
        *(nothing.version, nothing.input_pico, nothing.output_pico, nothing.request_nano),
        *(nothing.details, nothing.free),
    )
    assert msgspec.structs.replace(price, free=None) == plain(price)
