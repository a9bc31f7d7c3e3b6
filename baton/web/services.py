"""What the routes beside the completion endpoint need from the rest of Baton, as small Protocols.

`app.py` fills a `Services` once per worker; nothing here is built by the routes themselves.
"""

import datetime
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import msgspec

from baton.admission.gate import Caller
from baton.admission.rates import Left
from baton.config import Settings
from baton.engine.wire import Description, Tokens
from baton.errors import RequestError
from baton.ledger.audit import Audit
from baton.stores.accounts import Accounts
from baton.stores.base import AccountRecord, Catalogue, UsageRecord
from baton.stores.changes import Changes
from baton.stores.contents import Contents
from baton.stores.history import History
from baton.stores.keys import Keys
from baton.stores.parties import Parties
from baton.stores.prices import Prices
from baton.stores.refusals import RefusalLog
from baton.stores.traffic import Traffic
from baton.stores.upstreams import Upstreams
from baton.stores.usage import Dimension, Filter, Usage
from baton.telemetry.log import AccessLog
from baton.telemetry.metrics import Snapshot
from baton.telemetry.refused import Asked
from baton.upstreams.vocabularies import Vocabulary
from baton.web.turns import Turns

UsageGroup = Literal["key", "model", "upstream", "day", "organisation", "team", "user", "end_user"]


Headers = Sequence[tuple[bytes, bytes]]
"""As ASGI has them: names in lower case."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a caller stands at this moment."""

    balances: Mapping[str, AccountRecord]
    """Its own account, those of its budgets, and others that were asked for; those that are
    open."""
    left: Mapping[str, Left]
    """What its rates would let through, by the account of the level."""


class Gate(Protocol):
    """Who is asking. One extractor of credentials for all routes and the completion endpoint."""

    async def identify(self, headers: Headers, peer: str) -> Caller:
        """The caller. RequestError 401 without a valid key, 403 from where that may not be used.
        `peer` is the address at the other end of the connection."""
        ...

    async def sign_in(self, value: str, headers: Headers, peer: str) -> tuple[Caller, str]:
        """The caller with that key, and the token of a new session. Raises as `identify`."""
        ...

    async def signed_in(self, headers: Headers, peer: str) -> tuple[Caller, str]:
        """Whose session the cookies hold, and the mark that its pages show with all that they
        change. Raises as `identify`."""
        ...

    async def sign_out(self, headers: Headers) -> None:
        """End the session that the cookies hold, in every worker and node. Raises as `identify`,
        and StoreError."""
        ...

    def conceal(self, value: str, about: str) -> str:
        """For a cookie of whoever is to be shown it: any worker reveals it, for two minutes."""
        ...

    def revealed(self, sealed: str, about: str) -> str | None:
        """The value; None for what was not concealed about that, or too long ago."""
        ...

    async def standing(self, caller: Caller, further: Sequence[str] = ()) -> Standing:
        """With the balances of these further accounts."""
        ...


class UsageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which requests to sum up, and by what: whole days in UTC."""

    group_by: tuple[UsageGroup, ...]
    from_us: int
    until_us: int
    """Exclusive."""
    key_id: str | None = None
    model: str | None = None
    upstream: str | None = None
    party: str | None = None
    """The id of an organisation, team or user."""
    end_user: str | None = None

    def told(self) -> tuple[list[Dimension], Filter]:
        """In the store's words."""
        by: list[Dimension] = ["key_id" if word == "key" else word for word in self.group_by]
        return by, Filter(
            since=_day(self.from_us),
            until=_day(self.until_us - 1),
            key_id=self.key_id,
            model=self.model,
            upstream=self.upstream,
            party=self.party,
            end_user=self.end_user,
        )


def _day(at_us: int) -> datetime.date:
    return datetime.datetime.fromtimestamp(at_us / 1e6, datetime.UTC).date()


class Embedded(Protocol):
    """The model that runs inside Baton. Calls raise UpstreamError while the engine is down."""

    @property
    def model(self) -> str:
        """Its public name."""
        ...

    @property
    def created_s(self) -> int:
        """When the model came here, in seconds since 1970."""
        ...

    @property
    def description(self) -> Description | None:
        """What the engine last said of itself; None before it first did."""
        ...

    async def describe(self) -> Description: ...

    async def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> Tokens: ...

    async def detokenize(self, ids: list[int]) -> str: ...


Engine = Literal["ok", "loading", "down", "off"]
"""`loading`: it has not been there yet, and is waited for. `off`: no embedded model is
configured."""


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Whether this worker can answer completions, and if not, what is missing."""

    status: Literal["ready", "unready"]
    store: Literal["ok", "down"]
    engine: Engine
    upstreams: int
    """Configured ones."""
    draining: bool = False

    @property
    def ready(self) -> bool:
        return self.status == "ready"


def readiness(*, store: bool, engine: Engine, upstreams: int, draining: bool = False) -> Readiness:
    """Ready: the ledger can be written, nobody asked to stop, and the engine, where one is
    configured, runs, or died and has upstreams beside it. While its model is loaded for the first
    time the relay that is to be replaced can answer for it.

    Without an embedded model a Baton that has no upstreams is ready too: it can be reached to be
    given some.
    """
    answers = engine in ("ok", "off") or (engine == "down" and upstreams > 0)
    able = store and not draining and answers
    return Readiness(
        status="ready" if able else "unready",
        store="ok" if store else "down",
        engine=engine,
        upstreams=upstreams,
        draining=draining,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything that a route may use."""

    settings: Settings
    version: str
    gate: Gate
    keys: Keys
    parties: Parties
    accounts: Accounts
    """Balances."""
    upstreams: Upstreams
    prices: Prices
    changes: Changes
    usage: Callable[[UsageQuery], Sequence[UsageRecord]]
    """The ledger's sums. Blocks, as the stores do: routes call them in a thread."""
    ledger: Usage
    """Single requests as they stand."""
    contents: Contents
    """What was asked and answered, where a key opted in."""
    refusals: RefusalLog
    """Refused requests, which are on no ledger."""
    note_refusal: Callable[[str, RequestError, Callable[[], Asked]], None]
    """Note one: whose key it was ("": nobody's that is known), why, and what was asked."""
    traffic: Traffic
    """Sums over time, from roll-ups."""
    history: History
    """How upstreams fared over time."""
    audit: Callable[[], Audit]
    """Looks at the whole ledger; blocks for as long as that takes."""
    catalogue: Callable[[], Catalogue]
    """The snapshot that requests are planned with at this moment."""
    refresh: Callable[[], Awaitable[None]]
    """Load the configuration anew in this worker: awaited after each change made here."""
    embedded: Embedded | None
    vocabulary: Callable[[str], Vocabulary | None]
    """Of a model that is not embedded, where its operator gave one."""
    turns: Turns = field(default_factory=Turns)
    """Of long texts that are divided into tokens, or made of them."""
    readiness: Callable[[], Awaitable[Readiness]]
    draining: Callable[[], bool]
    """Whether this worker was asked to stop: what has no end of its own ends then."""
    numbers: Callable[[], Snapshot]
    """All workers' metrics, merged (`telemetry.publish.Publisher.merged`)."""
    access_log: AccessLog
    clock_us: Callable[[], int]
    mint_key: Callable[[], str]
    """A new key's value."""
    new_id: Callable[[str], str]
    """A new identifier that starts with the given word and an underscore."""
    dialects: Callable[[], Mapping[str, str]]
    """Names of the dialects that an upstream can speak, and what each is for."""
