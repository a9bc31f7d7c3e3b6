"""What a request may spend, and how that ended: a hold, its outcome, and the rows of both. Pure.

A `Hold` is reserved, then settled, released or interrupted, once. Both it and its `Ending` wait in
the journal's queue as they are; the writer takes their values, many at a time.
"""

from typing import Any, Literal

import msgspec

from baton.ledger import costs
from baton.ledger.costs import NO_COST, Cost
from baton.ledger.entries import END_COLUMNS, EndRow, HoldRow, Intent, SettleRow, State, Timings
from baton.ledger.prices import PriceBook
from baton.semantics.events import Usage
from baton.stores.base import PriceRecord


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a request ended. What it is charged follows from `usage`, the hold's price and amount."""

    state: State = "settled"
    """`released` charges nothing; `interrupted` charges what `usage` says was generated."""
    usage: Usage | None = None
    """Of the logical request, whatever the attempts; None: nothing was generated."""
    upstream: str = ""
    spent: tuple[tuple[str, Usage], ...] = ()
    """What each attempt used, by upstream, where one was lost; empty: `usage` at `upstream`."""
    status: int = 200
    error_code: str | None = None
    finish_reason: str | None = None
    fills: str = ""
    asked: bool = True
    """Whether an upstream was: nothing is owed for an answer that needed none."""
    handoffs: int = 0
    attempts: int = 1
    timings: Timings = Timings()
    delivered: bool = True
    """Whether the caller had any byte of the answer before this. A non-streamed answer: False."""


class Hold:
    """What a request may spend. `state` changes once, from "reserved" to a terminal one."""

    ticket = end_ticket = checkpoint_tokens = 0
    state: Literal["reserved", "settled", "released", "interrupted"] = "reserved"
    ending: "Ending | None" = None
    """How it ended, once it did."""

    def __init__(self, intent: Intent, price: PriceRecord, amount: int, now_s: float) -> None:
        self.intent, self.price, self.amount = intent, price, amount
        self.checkpoint_s = now_s

    @property
    def row(self) -> HoldRow:
        """As a journal in tables has it, or the head of a log's segment."""
        return _row(self.intent, self.amount, self.price)

    def stored(self) -> tuple[object, bool]:
        """See `batch.QueuedHold`, and `Ending.stored`."""
        numbers = self.intent.created_us | self.amount | self.price.version
        return _held(self.intent, self.amount, self.price), not numbers >> 63

    @property
    def end(self) -> EndRow | None:
        """How it stands on the ledger, once it ended: charge, cost and the counts."""
        return None if self.ending is None else self.ending.end

    def __repr__(self) -> str:
        return f"<Hold {self.intent.request_id} {self.state} {self.amount} nano-USD>"


class Ending:
    """The end of a hold: decided on the loop, made a row by the writer, many at once: what an
    attempt cost the operator is worked out only then, at the prices of the moment of the end."""

    def __init__(
        self, hold: Hold, outcome: Outcome, usage: Usage | None, worth: int, book: PriceBook
    ) -> None:
        # Not the hold itself, which knows its ending: a ring of objects a request would be left to
        # the collector of garbage.
        self._intent, self._price, self._amount = hold.intent, hold.price, hold.amount
        self._outcome, self._usage, self._worth = outcome, usage, worth
        self._book, self.hold_seq = book, hold.ticket
        amount = hold.amount
        self.charge = worth if worth < amount else amount

    @property
    def tokens(self) -> int:
        """As `entries.tokens_used` counts them."""
        usage = self._usage
        if usage is None or self._outcome.state == "released":
            return 0
        return usage.prompt_tokens + usage.completion_tokens

    @property
    def end(self) -> EndRow:
        """How it stands on the ledger."""
        return _end_row(self._end(self._cost()))

    @property
    def row(self) -> SettleRow:
        """As a journal in tables has it, or as it is kept when it could not be written."""
        cost, held = self._cost(), _row(self._intent, self._amount, self._price)
        limited, delivered = self._intent.payer.limited, self._outcome.delivered
        return SettleRow(
            self.hold_seq, held, _end_row(self._end(cost)), delivered, limited, cost.spent
        )

    def stored(self, seq: int) -> tuple[tuple[object, ...], bool]:
        """See `batch.QueuedEnd`. No row is made of it: of what a plain request cost the journal's
        writer, rows were the larger part. Its texts are texts by their types, and no detail of a
        usage exceeds its totals; a number beyond 63 bits, or below 0, shows in the union of all."""
        cost, usage, intent = self._cost(), self._usage, self._intent
        numbers = seq | intent.created_us | self._amount | self._worth | cost.amount
        if usage is not None:
            numbers |= usage.prompt_tokens | usage.completion_tokens
        held = _held(intent, self._amount, self._price)
        values = (seq, self.hold_seq, held, self._end(cost), cost.spent)
        return values, not (numbers >> 63 or cost.spent)

    def _end(self, cost: Cost) -> tuple[object, ...]:
        """The values of an EndRow, in its order."""
        outcome, timings = self._outcome, self._outcome.timings
        counts: Usage | _Uncounted = self._usage or UNCOUNTED
        return (
            outcome.upstream,
            outcome.state,
            self.charge,
            self._worth - self.charge,
            cost.amount,
            counts.prompt_tokens,
            counts.cached_tokens,
            counts.completion_tokens,
            counts.reasoning_tokens,
            counts.audio_prompt_tokens,
            counts.image_prompt_tokens,
            counts.audio_completion_tokens,
            counts.cache_write_tokens,
            counts.estimated,
            timings.queue_us,
            timings.hold_us,
            timings.first_byte_us,
            timings.last_byte_us,
            outcome.status,
            outcome.error_code,
            outcome.finish_reason,
            outcome.fills,
            outcome.handoffs,
            outcome.attempts,
            cost.version,
        )

    def _cost(self) -> Cost:
        intent, outcome, usage = self._intent, self._outcome, self._usage
        book, model, at_us = self._book, intent.model, intent.created_us
        if outcome.spent:
            return costs.of_attempts(book, model, at_us, outcome.spent)
        if usage is None or not outcome.asked:
            return NO_COST
        price = book.cost(model, outcome.upstream, at_us)
        return Cost(costs.amount(usage, price), price.version) if price.version else NO_COST


def _row(intent: Intent, amount: int, price: PriceRecord) -> HoldRow:
    return HoldRow(*_held(intent, amount, price))


def _held(
    intent: Intent, amount: int, price: PriceRecord
) -> tuple[str, int, str, str, str, str, str | None, bool, int, int]:
    """The values of a HoldRow, in its order."""
    payer = intent.payer
    return (
        intent.request_id,
        intent.created_us,
        payer.key_id,
        payer.account,
        ",".join(payer.scopes) if payer.scopes else "",
        intent.model,
        intent.user,
        intent.stream,
        amount,
        price.version,
    )


def _end_row(values: tuple[object, ...]) -> EndRow:
    named: dict[str, Any] = dict(zip(END_COLUMNS, values, strict=True))
    return EndRow(**named)


class _Uncounted(msgspec.Struct, frozen=True):
    """In place of a Usage where there is none: every count is unknown."""

    prompt_tokens: None = None
    cached_tokens: None = None
    completion_tokens: None = None
    reasoning_tokens: None = None
    audio_prompt_tokens: None = None
    image_prompt_tokens: None = None
    audio_completion_tokens: None = None
    cache_write_tokens: None = None
    estimated: bool = False


UNCOUNTED = _Uncounted()
