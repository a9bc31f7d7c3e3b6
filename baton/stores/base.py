"""What is stored, in the words of the domain, and the errors that every store raises.

Money: nano-USD integers. Prices: pico-USD per token integers. Times: microseconds since 1970 (UTC).
Configuration objects carry no secret in plain text except `UpstreamRecord.secret`, which is
decrypted when a worker loads its catalogue and never leaves memory (repr hides it).
"""

from typing import Annotated, Literal

import msgspec

from baton.errors import BatonError
from baton.semantics.events import Way
from baton.semantics.overrides import Overrides

Role = Literal["user", "admin", "billing", "team_admin"]
"""What a key may do beside asking: everything, read reports, or run its own team."""
PartyKind = Literal["organisation", "team", "user"]
Unit = Literal["nano_usd", "tokens"]
AllowanceUnit = Literal["tokens", "requests"]
Span = Literal["total", "day", "week", "month"]
PICO_MAX = 10**15
Pico = Annotated[int, msgspec.Meta(ge=0, le=PICO_MAX)]
"""Per token: up to 1,000 USD for one, so that no product of a request leaves 64 bits unnoticed."""


TIME_US_MAX = 253_402_300_799_999_999
"""The end of the year 9999: no calendar shows a later time. Nanoseconds are beyond it."""


class StoreError(BatonError):
    """The store cannot do that; the message says what and is safe to show to an operator."""


class Unsealable(StoreError):
    """A sealed secret does not open, or would not: the master key is not the one that it was sealed
    with, or that other nodes have."""


class StoreUnavailable(StoreError):
    """The store cannot be reached or written (disk full, I/O error, closed): try again later."""


class Uncertain(StoreUnavailable):
    """The store did not answer a commit: what was written may stand or not."""


class Duplicate(StoreError):
    """Something of that name, or that very key, is stored already."""


class Overtaken(StoreError):
    """It is not any more as whoever changes it saw it."""


class Missing(StoreError):
    """Nothing of that name is stored."""


class Unfit(StoreError):
    """That cannot be stored as it is; the message says why."""


class Unstorable(Unfit, StoreUnavailable):
    """A value that this database has no place for: PostgreSQL stores no NUL in a text. Who asks for
    somebody tells that; for all others it is a store that did not do it."""


class BudgetRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What may be used of one unit within each window. It counts from when it was set."""

    amount: int
    unit: Unit = "nano_usd"
    span: Span = "total"
    """`total` has one window without an end; a week begins on Monday."""
    zone: str = "UTC"
    """IANA name of the time zone in which days, weeks and months begin."""


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A caller's key; the key itself is never stored, only its SHA-256."""

    id: str
    name: str
    digest: bytes
    head: str
    """First characters, for people to recognise it by."""
    tail: str
    role: Role = "user"
    created_us: int
    expires_us: int | None = None
    revoked_us: int | None = None
    models: tuple[str, ...] = ()
    """Public names it may use; empty: all."""
    default_model: str | None = None
    requests_per_minute: int | None = None
    budget_nano: int | None = None
    """What it may spend in all; None: no limit."""
    strict: bool = False
    deterministic: bool = False
    parse_special: bool = True
    owner: str | None = None
    """The party that it belongs to, for good; None: nobody's."""
    tokens_per_minute: int | None = None
    requests_at_once: int | None = None
    networks: tuple[str, ...] = ()
    """Addresses or networks (CIDR) that it may be used from; empty: anywhere."""
    budgets: tuple[BudgetRecord, ...] = ()
    """Beside `budget_nano`."""
    keep_content_days: int = 0
    """For so many days what is asked and answered with it is kept, sealed; 0: never."""
    previous_digest: bytes | None = None
    """Of the value before the last rotation: valid until `previous_until_us`."""
    previous_until_us: int | None = None

    @property
    def account(self) -> str:
        """The account that its requests are charged to."""
        return f"key:{self.id}"


class PartyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An organisation, a team of one, or a user of either: what keys belong to. Its limits hold for
    all keys under it together."""

    id: str
    kind: PartyKind
    name: str
    """One of its kind under one parent."""
    parent: str = ""
    """Id of a user's team or organisation, or of a team's organisation; for good."""
    created_us: int = 0
    closed_us: int | None = None
    """From then on no key under it is valid."""
    expires_us: int | None = None
    models: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    requests_at_once: int | None = None
    budgets: tuple[BudgetRecord, ...] = ()


class UpstreamRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A configured place that answers. `models` maps public names to its own names."""

    name: str
    url: str
    dialect: str
    models: dict[str, str]
    secret: str | None = None
    more_secrets: tuple[str, ...] = ()
    """Further keys: requests take turns with all of them."""
    headers: dict[str, str] = {}
    """Added to every request; stored encrypted like the keys, since some are secrets."""
    proxy: str | None = None
    """http://host:port of an HTTP proxy that leads there (CONNECT)."""
    overrides: Overrides = Overrides()
    allow_private: bool = True
    """Whether its address may be loopback or private (never link-local or metadata)."""
    in_flight_max: int = 1024
    first_byte_timeout_s: float | None = None
    stall_timeout_s: float | None = None
    total_timeout_s: float | None = None
    hedge_after_s: float | None = None
    """Where it has not begun to answer by then, another upstream is asked as well; None: never."""
    probe_interval_s: float | None = None
    """How often it is asked whether it is there while no request tells; None: never."""
    priority: int = 0
    """Lower is tried first."""
    weight: int = 100
    fields: tuple[str, ...] = ()
    """Fields outside OpenAI's contract that it takes (top_k, min_p …)."""
    continuation: dict[str, Way] = {}
    """How a chat is had to continue a text, by the upstream's own model name ("*": all of them);
    what is not named here, the dialect knows."""
    fim: dict[str, str] = {}
    """The fill-in-the-middle template (`semantics/fim.py`) of a model, by the upstream's own name
    ("*": all of them), where Baton has to build the prompt and the name does not tell."""
    vocabularies: dict[str, str] = {}
    """The GGUF file whose vocabulary a model has, by the upstream's own name ("*": all of them)."""
    created_us: int = 0

    def __repr__(self) -> str:
        return f"<UpstreamRecord {self.name} {self.dialect} {self.url}>"


class PriceDetails(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prices of kinds of tokens, pico-USD each. None: as `input_pico` or `output_pico`."""

    cache_write_pico: Pico | None = None
    audio_input_pico: Pico | None = None
    image_input_pico: Pico | None = None
    audio_output_pico: Pico | None = None
    reasoning_pico: Pico | None = None


class Allowance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What each key may use of a model in each window (UTC) without a charge.

    A request is free as a whole where its worst case fits into what is left, else charged as a
    whole. What it did not use may be used by others."""

    amount: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    unit: AllowanceUnit = "tokens"
    span: Span = "month"


class PriceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a model costs from `effective_us` on: pico-USD per token (= micro-USD per million)."""

    version: int
    model: str
    upstream: str | None = None
    """None: the customer's price; a name: the operator's cost there."""
    effective_us: int
    input_pico: int = 0
    cached_input_pico: int | None = None
    """None: as `input_pico`."""
    output_pico: int = 0
    request_nano: int = 0
    details: PriceDetails | None = None
    """None where no kind of tokens has a price of its own."""
    markup_bp: int | None = None
    """A customer's price that follows a cost: so many basis points (10,000 is the cost itself) of
    what `markup_of` costs. The amounts above are what came of it, and what is charged."""
    markup_of: str | None = None
    """The upstream whose cost it follows."""
    free: Allowance | None = None
    """Of a customer's price alone."""


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """One consistent snapshot of the configuration that requests are planned with."""

    version: int
    """The number of the last change that it contains."""
    upstreams: dict[str, UpstreamRecord]
    prices: tuple[PriceRecord, ...]


class ChangeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the change log: what every worker polls, and the audit log."""

    seq: int
    at_us: int
    actor: str
    kind: str
    """key | organisation | team | user | upstream | price | content | session"""
    object_id: str
    action: str
    """create | update | rotate | revoke | close | delete | read | sign_out"""
    detail: str = ""
    """What changed, as JSON without secrets; "" where the action says it all."""


class AccountRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A balance: what may be spent, what is spent, what processes hold by lease."""

    id: str
    limit_nano: int | None
    posted_nano: int
    """Σ charges folded so far."""
    leased_nano: int
    """Granted to processes and not yet folded as charges or given back; counts as spent."""


class UsageRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over requests. What a report does not group by is "", as is a party that a key has
    not."""

    day: str = ""
    """YYYY-MM-DD, UTC."""
    key_id: str = ""
    model: str = ""
    upstream: str = ""
    organisation: str = ""
    """The id of the party, as of today: keys may move."""
    team: str = ""
    user: str = ""
    end_user: str = ""
    """What callers wrote in the request's `user`; requests without one are not in such sums."""
    requests: int
    failed: int
    """Those answered with a status of 400 or more, or interrupted."""
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    charge_nano: int
    cost_nano: int
    estimated: int = 0
    """Requests whose tokens nobody reported: Baton counted them."""

    @property
    def margin_nano(self) -> int:
        return self.charge_nano - self.cost_nano


class RequestRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One request as it stands on the ledger. Token counts are None where nobody reported them."""

    id: int
    request_id: str
    created_us: int
    key_id: str
    account: str
    scopes: str
    model: str
    upstream: str
    user: str | None
    stream: bool
    state: str
    """settled | released | interrupted"""
    hold: int
    charge: int
    overrun: int
    """What the answer was worth beyond the hold: the operator bears it."""
    cost: int
    price_version: int
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None
    reasoning_tokens: int | None
    audio_prompt_tokens: int | None
    image_prompt_tokens: int | None
    audio_completion_tokens: int | None
    cache_write_tokens: int | None
    estimated: bool
    queue_us: int | None
    hold_us: int | None
    first_byte_us: int | None
    last_byte_us: int | None
    status: int
    error_code: str | None
    finish_reason: str | None
    fills: str
    handoffs: int
    attempts: int
    cost_version: int | None = None
    """The price of `cost`; None: its attempts name theirs, or nobody wrote it down."""


class AttemptRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One of several attempts at a request, and what it cost the operator."""

    request: int
    n: int
    """From 1, in order."""
    upstream: str
    cost: int
    price_version: int
    """0: no cost was set."""
    prompt_tokens: int
    cached_tokens: int | None
    completion_tokens: int
    reasoning_tokens: int | None
    audio_prompt_tokens: int | None
    image_prompt_tokens: int | None
    audio_completion_tokens: int | None
    cache_write_tokens: int | None
    estimated: bool
