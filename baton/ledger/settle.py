"""The ledger as a request sees it: hold, checkpoint, settle or release, exactly once.

    hold = await ledger.hold(intent)         raises RequestError: 429 budget, 503 store
    await ledger.durable(hold.ticket)        before the first byte; raises StoreUnavailable
    ledger.checkpoint(hold, tokens)          as often as you like
    ticket = ledger.settle(hold, outcome)    exactly once; later calls change nothing
    await ledger.durable(ticket)             before the last byte; raises StoreUnavailable

`hold` does not suspend when the lease suffices. `settle` and `release` never suspend and cannot be
cancelled: call them in a `finally`. A hold is reserved, then settled, released or interrupted.

A hold of `hold_at_once` has no ticket and is not written before it is `BRIEF_S` old: of a request
that ends earlier the end says all that the hold did. Under load, where a commit leaves each
millisecond, most of them were written (docs/decisions/0045).
"""

import asyncio
import contextlib
import functools
import itertools
import math
import time
from collections.abc import Callable
from typing import Protocol

from baton import errors
from baton.errors import RequestError
from baton.ledger import prices
from baton.ledger.allowances import Allowances, plain, unpriced
from baton.ledger.entries import Bound, CheckpointRow, Intent, SettleRow, tokens_used
from baton.ledger.fold import (
    Folder,
    Opened,
    open_free,
    open_shared,
    recover_absent,
    recover_orphans,
)
from baton.ledger.holds import Ending, Hold, Outcome
from baton.ledger.journal import LOST, Journal
from baton.ledger.leases import Leases, need
from baton.ledger.prices import PriceBook
from baton.ledger.tenures import TEND_S, Renewal
from baton.semantics.events import Usage
from baton.semantics.usage import clamp
from baton.stores.base import PriceRecord, StoreUnavailable
from baton.stores.book import Store
from baton.telemetry import diary

CHECKPOINT_S = 1.0
BRIEF_S = 0.005
QUOTA_STATUS = 429
TOO_DEAR = f"what a single request may cost ({prices.HOLD_NANO_MAX // 10**9:,} US dollars)"


class Progress(Protocol):
    """A running answer, which is asked only when a checkpoint is written."""

    @property
    def usage(self) -> Usage: ...


class Ledger:
    """Leases, journal and prices of one process. Made by `open_ledger`; ended by `close`."""

    on_lost: Callable[[], None] = staticmethod(lambda: None)
    """Called once when the book has given this process's journal up: it must end."""

    def __init__(self, opened: Opened, leases: Leases, price_book: PriceBook) -> None:
        self.prices = price_book
        """Replaced whole when prices change; a hold keeps the price that it was made with."""
        self.checkpoint_tokens = 64
        self._reserved: set[Hold] = set()
        """Holds on limited accounts that have not ended."""
        self._brief: dict[Hold, None] = {}
        """Holds that are not written yet, the oldest first."""
        self._ageing: asyncio.TimerHandle | None = None
        self._opened, self._leases, self._allowances = opened, leases, Allowances(leases)
        self._journal = Journal(opened.file, opened.first_seq, self._waived)
        journal = self._journal
        self._folder = Folder(opened.posting, journal.written, journal.folded, opened.kept_s)
        self._renewal = Renewal(opened, leases)
        self._loop = asyncio.get_running_loop()
        self._tending = self._loop.create_task(self._tend())

    async def hold(self, intent: Intent, price: PriceRecord | None = None) -> Hold:
        """Admit a request for its worst case, at the price in force. Raises RequestError:
        quota_exceeded (429) when an account does not cover it, store_unavailable (503) when that
        cannot be known or written."""
        price = price or self.prices.customer(intent.model, intent.created_us)
        if price.free is not None:
            return await self._hold_allowed(intent, price)
        amount = _worst(intent, price)
        if amount > prices.HOLD_NANO_MAX:
            raise errors.quota_exceeded(TOO_DEAR)
        limited = intent.payer.limited
        if limited and not self._leases.take(limited, amount, intent.tokens_max):
            await self._acquire(intent, amount)
        hold = self._queued(intent, price, amount)
        if self._journal.failing:
            await self._probe(hold)
        return hold

    def hold_at_once(self, intent: Intent, price: PriceRecord) -> Hold | None:
        """The same hold where nothing has to be waited for or asked; None, and nothing done, where
        something has, or where it would be refused. `price` is the one in force. For answers that
        are sent as a whole: who waits for the end alone never waits for the hold."""
        if price.free is not None or self._journal.failing or self._journal.closing:
            return None
        amount, payer = _worst(intent, price), intent.payer
        if amount > prices.HOLD_NANO_MAX:
            return None
        if payer.money_alone:
            taken = self._leases.take_money(payer.limited[0], amount)
        else:
            taken = self._leases.take(payer.limited, amount, intent.tokens_max)
        if not taken:
            return None
        hold = Hold(intent, price, amount, time.monotonic())
        self._brief[hold] = None
        if payer.limited:
            self._reserved.add(hold)
        if self._ageing is None:
            self._ageing = self._loop.call_later(BRIEF_S, self._age)
        return hold

    def checkpoint(self, hold: Hold, completion_tokens: int, progress: Progress) -> bool:
        """Tell how far a running answer is; written after 64 tokens or a second, whichever comes
        first. Returns whether it was. Recovery charges the last one written, with its prompt as
        `progress` knows or guesses it."""
        fresh = completion_tokens - hold.checkpoint_tokens
        if hold.state != "reserved" or fresh <= 0:
            return False
        now_s = time.monotonic()
        if fresh < self.checkpoint_tokens and now_s - hold.checkpoint_s < CHECKPOINT_S:
            return False
        prompt_tokens = progress.usage.prompt_tokens
        charge = prices.tokens_charge(hold.price, prompt_tokens, 0, completion_tokens)
        charge = min(charge, hold.amount)
        self._write(hold)
        row = CheckpointRow(hold.ticket, prompt_tokens, completion_tokens, charge)
        self._journal.checkpoint(row)
        hold.checkpoint_tokens, hold.checkpoint_s = completion_tokens, now_s
        return True

    def settle(self, hold: Hold, outcome: Outcome, *, possible: bool = False) -> int:
        """End the hold; returns the ticket to wait for. A second call returns the same ticket.
        `possible`: the usage was found to be (`semantics.usage`)."""
        if hold.state != "reserved":
            return hold.end_ticket
        hold.state = outcome.state
        if not hold.ticket:
            del self._brief[hold]
            hold.ticket = self._journal.skip()
        hold.ending = ending = self._ending(hold, outcome, possible)
        if hold.intent.payer.limited:
            self._give_back(hold, ending)
        try:
            hold.end_ticket = self._journal.settle(ending)
        except StoreUnavailable:  # closed: recovery ends it at its last checkpoint
            hold.end_ticket = LOST
        return hold.end_ticket

    def release(self, hold: Hold, status: int, error_code: str | None = None) -> int:
        """End the hold without a charge: nothing was generated."""
        return self.settle(
            hold, Outcome(state="released", status=status, error_code=error_code, delivered=False)
        )

    def tell(self, ticket: int, told: Callable[[StoreUnavailable | None], None]) -> None:
        """`durable` for the end that `settle` has just returned the ticket of, without a task that
        waits: `told` gets None, or the error."""
        self._journal.tell(ticket, told)

    async def durable(self, ticket: int) -> None:
        """Return once the hold or end with that ticket is on disk. Raises StoreUnavailable: answer
        503, or break the stream off if it runs."""
        await self._journal.durable(ticket)

    @property
    def failing(self) -> bool:
        """Whether the journal's last commit failed: for /readyz."""
        return self._journal.failing

    @property
    def unfolded_s(self) -> int:
        """For how long ended requests have waited for the book, beyond the usual second."""
        return self._folder.unfolded_s

    async def close(self) -> None:
        """Write and fold everything, return the leases, free the slot."""
        self._tending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._tending
        self._renewal.close()
        for hold in list(self._brief):
            self._write(hold)
        if self._ageing is not None:
            self._ageing.cancel()
        await self._leases.close()
        await self._journal.close()
        await asyncio.to_thread(self._opened.end, self._folder)

    def _queued(self, intent: Intent, price: PriceRecord, amount: int) -> Hold:
        hold = Hold(intent, price, amount, time.monotonic())
        try:
            hold.ticket = self._journal.hold(hold)
        except StoreUnavailable:
            self._leases.finish(intent.payer.limited, amount, intent.tokens_max, 1)
            raise errors.store_unavailable() from None
        if intent.payer.limited:
            self._reserved.add(hold)
        return hold

    async def _hold_allowed(self, intent: Intent, price: PriceRecord) -> Hold:
        """Free, or charged: see allowances."""
        free = await self._allowances.within(intent, price)
        if free is not None:
            try:
                return await self.hold(free, unpriced(price))
            except RequestError as error:
                if error.status != QUOTA_STATUS:
                    raise
        return await self.hold(intent, plain(price))

    async def _acquire(self, intent: Intent, amount: int) -> None:
        try:
            short = await self._leases.acquire(intent.payer.limited, amount, intent.tokens_max)
        except StoreUnavailable:
            raise errors.store_unavailable() from None
        if short is not None:
            raise await self._refusal(intent, amount)

    async def _refusal(self, intent: Intent, amount: int) -> RequestError:
        """Tells of the account that the request has to wait for longest, of those that do not cover
        it: the last to be renewed of those that are used up, else of those that are only held."""
        payer, tokens = intent.payer, intent.tokens_max
        other = Bound(f"the budget of {payer.name}")
        waits = [
            (_wait_s(bound, intent.created_us), name, bound.name)
            for name in self._leases.short(payer.limited, amount, tokens)
            for bound in (payer.bounds.get(name, other),)
        ]
        waits.sort(reverse=True)
        for wait_s, name, title in waits:
            if not await self._may_free(name, need(name, amount, tokens)):
                return errors.quota_exceeded(title, None if wait_s == math.inf else wait_s)
        wait_s, _, title = waits[0]
        return errors.quota_reserved(title, min(TEND_S, wait_s or TEND_S))

    async def _may_free(self, name: str, amount: int) -> bool:
        """Whether so much of an account is there but for what requests under way hold of it, and
        other processes: they spend less, mostly, and give back what they do not use."""
        held = 0
        for hold in self._reserved:
            if name in hold.intent.payer.limited:
                held += need(name, hold.amount, hold.intent.tokens_max)
        try:
            return held + await self._leases.within_reach(name) >= amount
        except StoreUnavailable:  # then nobody knows
            return False

    def _give_back(self, hold: Hold, ending: Ending) -> None:
        """What the hold did not need may be spent again."""
        self._reserved.discard(hold)
        intent, unspent = hold.intent, hold.amount - ending.charge
        if intent.payer.money_alone:
            self._leases.put_back(intent.payer.limited[0], unspent)
            return
        tokens, released = intent.tokens_max - ending.tokens, hold.state == "released"
        self._leases.finish(intent.payer.limited, unspent, tokens, int(released))

    async def recall(self, subject: str) -> None:
        """The limits of a key or party changed: return what is held of its accounts and not spent,
        so that the next request is decided by the new ones."""
        await self._leases.give_back(functools.partial(self._leases.recalled, subject))

    async def _probe(self, hold: Hold) -> None:
        """The journal took no rows lately: find out before an upstream works in vain."""
        try:
            await self._journal.durable(hold.ticket)
        except StoreUnavailable:
            self.release(hold, 503, "store_unavailable")
            raise errors.store_unavailable() from None
        except asyncio.CancelledError:
            self.release(hold, 499, "cancelled")
            raise

    def _write(self, hold: Hold) -> None:
        """Have a hold written that is not yet."""
        if not hold.ticket:
            del self._brief[hold]
            try:
                hold.ticket = self._journal.hold(hold)
            except StoreUnavailable:  # closed
                hold.ticket = LOST

    def _age(self) -> None:
        late_s = time.monotonic() - BRIEF_S
        late = itertools.takewhile(lambda hold: hold.checkpoint_s <= late_s, self._brief)
        for hold in list(late):
            self._write(hold)
        self._ageing = self._loop.call_later(BRIEF_S, self._age) if self._brief else None

    def _ending(self, hold: Hold, outcome: Outcome, possible: bool) -> Ending:
        usage = outcome.usage
        if usage is not None and not possible:
            usage = clamp(usage)
        worth = 0
        if usage is not None and hold.price.version and outcome.state != "released":
            worth = min(prices.charge(usage, hold.price), prices.AMOUNT_NANO_MAX)
        return Ending(hold, outcome, usage, worth, self.prices)

    def _waived(self, row: SettleRow) -> None:
        """The charge of an end that was never written is given up: the lease has it again."""
        used = row.end.state != "released"
        self._leases.finish(row.limited, row.end.charge, tokens_used(row.end), int(used))

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(self._renewal.every_s)
            with diary.outliving("tending leases"):
                if await self._renewal.tend():
                    await self._leases.give_back(self._leases.idle)
            if self._renewal.lost:
                return self.on_lost()


async def open_ledger(store: Store, price_book: PriceBook) -> Ledger:
    """Take a slot, recover what its last owner and other dead processes left, and begin.

    Raises StoreError. Blocks the caller, not the loop."""
    opened = await asyncio.to_thread(_open, store)
    leases = Leases(store.accounts, opened.number, opened.held.epoch)
    return Ledger(opened, leases, price_book)


def _open(store: Store) -> Opened:
    opened = open_shared(store) if store.shared_journal else open_free(store)
    recover_orphans(store)
    recover_absent(store)
    return opened


def _worst(intent: Intent, price: PriceRecord) -> int:
    """nano-USD that the request is worth at most."""
    return prices.bound(price, intent.prompt_tokens_max, intent.completions, intent.max_tokens)


def _wait_s(bound: Bound, at_us: int) -> float:
    """From that moment until the account is renewed, which it may never be."""
    return math.inf if bound.frees_us is None else max(0.0, (bound.frees_us - at_us) / 1e6)
