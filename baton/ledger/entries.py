"""Rows of the journal: what a hold and its end look like. Immutable, without behaviour.

Field order is the order of the book's columns (table `request`), and of the values in a journal,
where rows are arrays: a field may be added at the end only, with a default, and none may go. Money
is nano-USD, prices are named by version, times are microseconds; `*_us` timings count from
`created_us`.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

Number = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""What a column takes."""
State = Literal["settled", "released", "interrupted"]


class HoldRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A request that may spend up to `hold`: durable before the first byte of its answer."""

    request_id: str
    created_us: Number
    key_id: str
    account: str
    """Who pays: one account."""
    scopes: str
    """Further accounts whose limits count it (comma-separated); "" for none."""
    model: str
    user: str | None
    stream: bool
    hold: Number
    price_version: Number

    @property
    def row(self) -> "HoldRow":
        """Itself: what the journal queues may become a row only when it is asked for."""
        return self

    def stored(self) -> tuple[object, bool]:
        """Itself; whether it can be read again is to be tried."""
        return self, False


class EndRow(msgspec.Struct, frozen=True, kw_only=True, gc=False, array_like=True):
    """How a request ended. Token counts are None where nobody reported them."""

    upstream: str = ""
    state: State
    charge: Number = 0
    """At most the hold."""
    overrun: Number = 0
    """What the answer was worth beyond the hold: the operator bears it."""
    cost: Number = 0
    """What the operator owes upstreams, for all attempts."""
    prompt_tokens: Number | None = None
    cached_tokens: Number | None = None
    completion_tokens: Number | None = None
    reasoning_tokens: Number | None = None
    audio_prompt_tokens: Number | None = None
    image_prompt_tokens: Number | None = None
    audio_completion_tokens: Number | None = None
    cache_write_tokens: Number | None = None
    estimated: bool = False
    queue_us: Number | None = None
    hold_us: Number | None = None
    first_byte_us: Number | None = None
    last_byte_us: Number | None = None
    status: Number = 200
    error_code: str | None = None
    finish_reason: str | None = None
    fills: str = ""
    handoffs: Number = 0
    attempts: Number = 1
    cost_version: Number | None = None
    """The price that `cost` was made by, 0 where none was set. None: the attempts' rows name
    theirs, or an earlier Baton wrote this row."""


class AttemptRow(msgspec.Struct, frozen=True, kw_only=True, gc=False, array_like=True):
    """What one of several attempts at a request used, and what the operator owes for it."""

    upstream: str
    cost: Number
    price_version: Number
    """0: no cost was set."""
    prompt_tokens: Number
    cached_tokens: Number | None
    completion_tokens: Number
    reasoning_tokens: Number | None
    audio_prompt_tokens: Number | None
    image_prompt_tokens: Number | None
    audio_completion_tokens: Number | None
    cache_write_tokens: Number | None
    estimated: bool


class SettleRow(msgspec.Struct, frozen=True):
    """The end of one hold. Stands alone: folding never needs the hold's own row."""

    hold_seq: Number
    """Ticket of the hold: with it a second end of the same hold is recognised and ignored."""
    hold: HoldRow
    end: EndRow
    delivered: bool = True
    """Whether the caller had any byte of the answer. If not, and this row cannot be written, the
    request is answered 503 and what is written later is a release without a charge."""
    limited: tuple[str, ...] = ()
    """Accounts whose leases it spent from; not stored."""
    spent: tuple[AttemptRow, ...] = ()
    """One for each attempt where there were several; else the end tells all."""

    @property
    def row(self) -> "SettleRow":
        """Itself."""
        return self

    def stored(self, seq: int) -> tuple[tuple[object, ...], bool]:
        """Its values, as a log has them; whether they can be read again is to be tried."""
        return (seq, self.hold_seq, self.hold, self.end, self.spent), False


class CheckpointRow(msgspec.Struct, frozen=True, array_like=True):
    """How far a running answer is: what it is charged if its process dies now."""

    hold_seq: Number
    prompt_tokens: Number
    completion_tokens: Number
    charge: Number


HOLD_COLUMNS = HoldRow.__struct_fields__
END_COLUMNS = EndRow.__struct_fields__
ATTEMPT_COLUMNS = AttemptRow.__struct_fields__
REQUEST_COLUMNS = (*HOLD_COLUMNS, *END_COLUMNS)
"""Columns of a settle row and, after its id, of the book's `request` table."""


class Bound(msgspec.Struct, frozen=True):
    """A limited account, as an error tells of it."""

    name: str
    frees_us: int | None = None
    """When its window ends; None: it has no window."""


class Payer(msgspec.Struct, frozen=True):
    """On whose account a request goes."""

    key_id: str
    account: str
    limited: tuple[str, ...] = ()
    """Accounts with a limit (the paying one may be among them): each needs a lease."""
    scopes: tuple[str, ...] = ()
    """Accounts beside the paying one that count the charge."""
    name: str = ""
    """What to call it in an error."""
    bounds: Mapping[str, Bound] = {}
    """The limited accounts, where there is more to tell of them."""
    money_alone: bool = False
    """Whether one account is limited, and that in nano-USD, as of most."""


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a request when it is admitted."""

    request_id: str
    payer: Payer
    model: str
    """Public name."""
    prompt_tokens_max: int
    """Σ over prompts (and suffix) of an upper bound: prices.tokens_upper."""
    completions: int
    """prompts × max(n, best_of, fill candidates)."""
    max_tokens: int
    user: str | None = None
    stream: bool = False
    created_us: int

    @property
    def tokens_max(self) -> int:
        """What it counts against token quotas at most."""
        return self.prompt_tokens_max + self.completions * self.max_tokens


def tokens_used(end: EndRow) -> int:
    """What a request counts against token quotas: the prompt and all that was generated."""
    if end.state == "released":
        return 0
    return (end.prompt_tokens or 0) + (end.completion_tokens or 0)


class Timings(msgspec.Struct, frozen=True):
    """Microseconds after `created_us`; None for what did not happen."""

    queue_us: int | None = None
    """Until its upstream took it up, where it had to wait for that: after the hold."""
    hold_us: int | None = None
    first_byte_us: int | None = None
    last_byte_us: int | None = None
