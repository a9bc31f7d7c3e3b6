"""Hold → settled | released | interrupted: exactly once, to the nano-dollar."""

import asyncio
import pathlib
import resource
import signal
import time

import msgspec
import pytest

from baton.errors import RequestError
from baton.ledger.entries import Bound, CheckpointRow, Payer
from baton.ledger.holds import Outcome
from baton.ledger.settle import CHECKPOINT_S, Ledger
from baton.semantics.events import Usage
from baton.stores import audit, windows
from baton.stores.base import BudgetRecord, StoreUnavailable
from baton.stores.book import book_path
from tests.bookkeeping import PRICE, TOLD, intent, ledger_of, new_key, new_store, outcome


def test_settled_request_stands_in_the_book(tmp_path: pathlib.Path) -> None:
    """A settled request is in the book once, with its charge, its counts and its balance."""
    store = new_store(tmp_path)
    store.prices.set(PRICE, "test")
    key = new_key(store)

    async def run() -> None:
        async with ledger_of(store) as ledger:
            hold = await ledger.hold(intent(key))
            await ledger.durable(hold.ticket)
            ticket = ledger.settle(hold, outcome(4))
            assert ticket == ledger.settle(hold, outcome(9)), "a second end has no effect"
            await ledger.durable(ticket)

    asyncio.run(run())
    (row,) = store.usage.requests()
    expected = ("settled", 30, 18, 0, 10, 4, "u")
    actual = (
        *(row.state, row.hold, row.charge, row.overrun),
        *(row.prompt_tokens, row.completion_tokens, row.upstream),
    )
    assert expected == actual
    account = store.accounts.get(key.account)
    assert (18, 0) == (account.posted_nano, account.leased_nano)


def test_released_request_costs_nothing(tmp_path: pathlib.Path) -> None:
    """A release charges nothing, returns the lease, and tells why."""
    store = new_store(tmp_path)
    store.prices.set(PRICE, "test")
    key = new_key(store, budget_nano=30)

    async def run() -> None:
        async with ledger_of(store) as ledger:
            for number in range(3):
                hold = await ledger.hold(intent(key, f"r{number}"))
                await ledger.durable(ledger.release(hold, 502, "upstream_error"))

    asyncio.run(run())
    rows = [(r.state, r.charge, r.status, r.error_code) for r in store.usage.requests()]
    assert [("released", 0, 502, "upstream_error")] * 3 == rows


def test_budget_is_refused_before_anything_is_written(tmp_path: pathlib.Path) -> None:
    """Beyond the budget a hold is 429, once and for all, and leaves no trace."""
    store = new_store(tmp_path)
    store.prices.set(PRICE, "test")
    key = new_key(store, budget_nano=59)

    async def run() -> None:
        async with ledger_of(store) as ledger:
            hold = await ledger.hold(intent(key))
            with pytest.raises(RequestError) as refused:
                await ledger.hold(intent(key))
            assert (429, "insufficient_quota") == (refused.value.status, refused.value.code)
            ledger.settle(hold, outcome(4))
            await ledger.hold(intent(key))  # what the first did not need makes room

    asyncio.run(run())
    assert {"settled", "interrupted"} == {row.state for row in store.usage.requests()}


def test_what_requests_under_way_hold_is_not_used_up(tmp_path: pathlib.Path) -> None:
    """Refused for what others may cost at most, here or in another process, a caller is told to
    come back soon; for what is spent, or more than there ever was, that waiting is in vain."""
    store = new_store(tmp_path)
    store.prices.set(PRICE, "test")
    key = new_key(store, budget_nano=59)

    async def refusal(ledger: Ledger, max_tokens: int = 10) -> dict[str, str]:
        with pytest.raises(RequestError) as refused:
            await ledger.hold(intent(key, max_tokens=max_tokens))
        assert (429, "insufficient_quota") == (refused.value.status, refused.value.code)
        return dict(refused.value.headers)

    async def run() -> None:
        soon, never = {"retry-after": "5"}, {"x-should-retry": "false"}
        async with ledger_of(store) as ledger, ledger_of(store) as other:
            hold = await ledger.hold(intent(key))
            assert [soon, soon] == [await refusal(each) for each in (ledger, other)]
            assert never == await refusal(ledger, 100)
            ledger.settle(hold, outcome(4))  # 18 of 30
            lasting = await ledger.hold(intent(key))
            await ledger.durable(ledger.settle(lasting, outcome(10)))
            assert never == await refusal(ledger)

    asyncio.run(run())


def test_what_many_requests_hold_together_is_not_used_up(tmp_path: pathlib.Path) -> None:
    """One more might find room in what no one of them has alone."""
    store = new_store(tmp_path)
    store.prices.set(PRICE, "test")
    key = new_key(store, budget_nano=65)

    async def run() -> None:
        async with ledger_of(store) as ledger:
            for _ in range(3):
                await ledger.hold(intent(key, max_tokens=5))  # 20 each
            with pytest.raises(RequestError) as refused:
                await ledger.hold(intent(key))
            assert {"retry-after": "5"} == dict(refused.value.headers)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("day", "total", "rest_s", "told"),
    [
        (65, 65, 3600, {"retry-after": "5"}),
        (65, 99, 3600, {"retry-after": "5"}),
        (65, 99, 2, {"retry-after": "2"}),
        (65, 99, 0, {"retry-after": "5"}),
        (45, 65, 3600, {"retry-after": "3600", "x-should-retry": "false"}),
        (65, 45, 3600, {"x-should-retry": "false"}),
        (45, 45, 3600, {"x-should-retry": "false"}),
    ],
)
def test_what_is_short_for_longest_is_told(
    tmp_path: pathlib.Path, day: int, total: int, rest_s: int, told: dict[str, str]
) -> None:
    """Of two budgets that do not cover a request, the one that comes back last: nobody is to come
    in a moment, or tomorrow, where a budget in all is used up for good."""
    store = new_store(tmp_path)
    store.prices.set(PRICE, "test")
    spans = BudgetRecord(amount=day, span="day"), BudgetRecord(amount=total)
    key = new_key(store, budgets=spans)
    at_us = time.time_ns() // 1000
    names = [windows.account(key.account, each, at_us) for each in spans]
    bounds = dict(zip(names, (Bound("day", at_us + rest_s * 1_000_000), Bound("all")), strict=True))
    pays = Payer(key.id, key.account, tuple(names), tuple(names), key.name, bounds)

    async def run() -> None:
        async with ledger_of(store) as ledger:
            spent = await ledger.hold(intent(key, "a", payer=pays))
            await ledger.durable(ledger.settle(spent, outcome(10)))
            await ledger.hold(intent(key, "b", payer=pays, max_tokens=1))
            with pytest.raises(RequestError) as refused:  # 30 are spent and 12 held
                await ledger.hold(intent(key, "c", payer=pays, created_us=at_us))
            assert told == dict(refused.value.headers)

    asyncio.run(run())


def test_answer_beyond_its_hold_is_the_operators(tmp_path: pathlib.Path) -> None:
    """An upstream that says more than was asked for costs the caller the hold, and no more."""
    store = new_store(tmp_path)
    store.prices.set(PRICE, "test")
    key = new_key(store, budget_nano=100)

    async def run() -> None:
        async with ledger_of(store) as ledger:
            hold = await ledger.hold(intent(key))
            await ledger.durable(ledger.settle(hold, outcome(1_000)))

    asyncio.run(run())
    (row,) = store.usage.requests()
    assert (30, 1_980) == (row.charge, row.overrun)
    with store.database.reading() as connection:
        entries = dict(
            tuple(r) for r in connection.exec_driver_sql("SELECT account, amount_nano FROM entry")
        )
    assert {key.account: -30, "operator:overrun": -1_980, "revenue": 2_010} == entries


def test_cost_follows_the_upstreams_price(tmp_path: pathlib.Path) -> None:
    """The operator's cost is booked beside the charge, from that upstream's price; where one was
    lost, from what each attempt used."""
    store = new_store(tmp_path)
    store.prices.set(PRICE, "test")
    theirs = msgspec.structs.replace(PRICE, upstream="u", input_pico=100, output_pico=500)
    store.prices.set(theirs, "test")
    key = new_key(store)

    async def run() -> None:
        async with ledger_of(store) as ledger:
            ledger.settle(await ledger.hold(intent(key, "a")), outcome(4))
            spent = (("u", Usage(10, 4)), ("u", Usage(10_000, 0)))
            ledger.settle(await ledger.hold(intent(key, "b")), outcome(4, spent=spent))

    asyncio.run(run())
    costs = {row.request_id: row.cost for row in store.usage.requests()}
    assert {"a": 3, "b": 1_003} == costs


def test_nonsense_counts_cannot_break_the_books(tmp_path: pathlib.Path) -> None:
    """Negative and giant counts from an upstream are cut to what can be stored, and flagged."""
    store = new_store(tmp_path)
    store.prices.set(PRICE, "test")
    key = new_key(store)
    nonsense = [
        Usage(-5, 2**63, cached_tokens=-1, reasoning_tokens=2**70),
        Usage(2**80, -(2**80), cached_tokens=2**90),
    ]

    async def run() -> None:
        async with ledger_of(store) as ledger:
            for usage in nonsense:
                hold = await ledger.hold(intent(key))
                await ledger.durable(ledger.settle(hold, Outcome(usage=usage, upstream="u")))

    asyncio.run(run())
    assert [(30, True)] * 2 == [(row.charge, row.estimated) for row in store.usage.requests()]
    assert [] == audit.faults(book_path(tmp_path))


def test_a_price_of_a_wrong_unit_cannot_break_the_books(tmp_path: pathlib.Path) -> None:
    """Requests of a fee in nano-USD that was given as US dollars are refused, whatever the key may
    spend: the sums of three would be beyond what the book holds, and it would take no more."""
    store = new_store(tmp_path)
    store.prices.set(msgspec.structs.replace(PRICE, request_nano=4 * 10**18), "test")
    key = new_key(store)

    async def scenario() -> None:
        async with ledger_of(store) as ledger:
            for _ in range(3):
                with pytest.raises(RequestError, match=r"may cost \(1,000,000 US dollars\)"):
                    ledger.settle(await ledger.hold(intent(key)), outcome())

    asyncio.run(scenario())
    assert [] == audit.faults(book_path(tmp_path))
    store.close()


def test_checkpoints_come_every_so_many_tokens(tmp_path: pathlib.Path) -> None:
    """A running answer is written down each 64 tokens, not each token, after a second where it has
    any more, and never after its end."""
    store = new_store(tmp_path)
    key = new_key(store)

    async def run() -> list[int]:
        async with ledger_of(store) as ledger:
            hold = await ledger.hold(intent(key))
            written = [tokens for tokens in range(200) if ledger.checkpoint(hold, tokens, TOLD)]
            hold.checkpoint_s -= CHECKPOINT_S
            assert [False, True, False] == [
                ledger.checkpoint(hold, at, TOLD) for at in (192, 193, 194)
            ]
            ledger.settle(hold, outcome())
            assert not ledger.checkpoint(hold, 10_000, TOLD)
            return written

    assert [64, 128, 192] == asyncio.run(run())


def test_checkpoints_know_the_prompt(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the running answer does: recovery charges it, at most the hold."""
    store = new_store(tmp_path)
    store.prices.set(PRICE, "test")
    key = new_key(store)
    rows: list[CheckpointRow] = []

    async def run() -> None:
        async with ledger_of(store) as ledger:
            monkeypatch.setattr(ledger._journal, "checkpoint", rows.append)
            for most in (100, 50):
                hold = await ledger.hold(intent(key, max_tokens=most))
                ledger.checkpoint(hold, 64, TOLD)
                ledger.release(hold, 200)

    asyncio.run(run())
    worth = [(10, 64, 10 + 2 * 64), (10, 64, 10 + 2 * 50)]
    assert worth == [(row.prompt_tokens, row.completion_tokens, row.charge) for row in rows]


def test_full_disk_refuses_before_work(tmp_path: pathlib.Path) -> None:
    """Once a commit failed, the next hold waits for its own and is refused with 503; the budget is
    whole again when the disk is back."""
    store = new_store(tmp_path)
    store.prices.set(PRICE, "test")
    key = new_key(store, budget_nano=60)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    async def run() -> None:
        async with ledger_of(store) as ledger:
            ledger.settle(await ledger.hold(intent(key)), outcome(10))
            second = await ledger.hold(intent(key))
            await ledger.durable(second.ticket)
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
            ticket = ledger.settle(second, outcome(10, delivered=False))
            with pytest.raises(StoreUnavailable):
                await ledger.durable(ticket)
            for _ in range(3):
                with pytest.raises(RequestError) as refused:
                    await ledger.hold(intent(key))
                assert (503, "overloaded") == (refused.value.status, refused.value.code)
            assert ledger.failing
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            third = await ledger.hold(intent(key, "third"))
            await ledger.durable(ledger.settle(third, outcome(10)))

    try:
        asyncio.run(run())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    states = sorted((row.state, row.charge, row.status) for row in store.usage.requests())
    assert [("released", 0, 503), ("settled", 30, 200), ("settled", 30, 200)] == states
    assert [] == audit.faults(book_path(tmp_path))


def test_closed_ledger(tmp_path: pathlib.Path) -> None:
    """After the end a hold is 503, and an end is never durable: recovery has interrupted it."""
    store = new_store(tmp_path)
    key = new_key(store)

    async def run() -> None:
        async with ledger_of(store) as ledger:
            hold = await ledger.hold(intent(key))
        with pytest.raises(RequestError):
            await ledger.hold(intent(key))
        ticket = ledger.settle(hold, outcome())
        assert ticket == ledger.settle(hold, outcome())
        with pytest.raises(StoreUnavailable):
            await ledger.durable(ticket)

    asyncio.run(run())
    (row,) = store.usage.requests()
    assert "interrupted" == row.state
