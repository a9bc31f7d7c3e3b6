"""Hold → settled | released | interrupted: exactly once, to the nano-dollar."""

import asyncio
import pathlib

from tests.bookkeeping import PRICE, intent, ledger_of, new_key, new_store, outcome


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
