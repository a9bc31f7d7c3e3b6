"""Who asks, and whether now. Cached keys are recognised without waiting; others cost one look-up.

    credential(headers) -> what the caller showed            the one extractor for all routes
    await gate.signed_in(cookies) -> Caller, mark            a page's visitor (sessions.py); 401
    await gate.sign_out(cookies)                             its session ends in all processes
    gate.known(authorization) -> Caller | None               cached: no await
    await gate.identify(authorization) -> Caller             raises 401
    gate.check_origin(caller, peer, headers)                 raises 403
    passage = await gate.enter(caller)                       raises 429; where `caller.limits`
    await passage.reserve(tokens); passage.end(tokens)       raises 429; exactly once

What is cached is dropped when its key, or a party above it, changes (`changed`, called by the
ChangeFeed) and refused when it expires. Budgets are the ledger's: `caller.payer` goes into its
Intent; it names the accounts of the windows of this moment, and is made anew when one of them ends.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Collection, Iterable
from typing import NamedTuple, TypeVar

from baton import errors
from baton.admission import keys, levels, sessions
from baton.admission.counters import Counters, MachineCounters
from baton.admission.levels import Level
from baton.admission.origins import Networks, origin, within
from baton.admission.rates import Decision, Left
from baton.admission.sessions import MARK_HEADER, Session, Sessions
from baton.errors import RequestError
from baton.stores.base import KeyRecord, Missing, PartyRecord, StoreUnavailable
from baton.stores.book import Store

CALLERS_MAX = 10_000
"""Keys that are kept at hand (2 KiB each)."""
REFUSED_MAX = 10_000
"""Digests of keys that are known not to exist."""
REFUSED_S = 2.0
"""A key that was made after it was refused works this soon."""

Key = TypeVar("Key")
Value = TypeVar("Value")


class Caller:
    """A key in use: what it may do, who pays, what limits it."""

    __slots__ = (
        "_ends_s",
        "_models",
        "_shown_ends_s",
        "_since_s",
        "_until_s",
        "keeps",
        "lasting",
        "levels",
        "limits",
        "networks",
        "payer",
        "record",
        "restricted",
        "shown",
    )

    def __init__(
        self,
        record: KeyRecord,
        found: tuple[Level, ...],
        ends_s: float,
        now_s: float,
        shown: bytes,
    ) -> None:
        """`shown`: the digest of the value that was; `ends_s`: when it ends, if before the key."""
        self.record, self.levels, self.shown = record, found, shown
        self.limits = levels.limits(found)
        self.lasting = any(limit.lasting for limit in self.limits)
        """Whether a limit has to know when a request ends."""
        self.networks = tuple(level.networks for level in found if level.networks)
        self.keeps = record.keep_content_days > 0
        """Whether its key has content kept (content.py)."""
        self.restricted = bool(self.limits or self.networks)
        """Whether there is more to check than the key and its budgets."""
        self._models = levels.models(found)
        self._shown_ends_s = ends_s
        self._ends_s = min(ends_s, levels.ends_s(found))
        self._renew(now_s)

    def move_end(self, ends_s: float) -> None:
        """Its key, its value, or a party above, ends then now, sooner or later than was read."""
        self._ends_s = min(self._shown_ends_s, ends_s)
        self._until_s = self._since_s  # asked again by whoever looks next

    def allowed(self, model: str) -> bool:
        """Whether the key may use that public model."""
        return self._models is None or model in self._models

    @property
    def until_s(self) -> float:
        """Until when (seconds since 1970) it is as it is now: then it has ended, or pays from other
        windows."""
        return self._until_s

    @property
    def admin(self) -> bool:
        return self.record.role == "admin"

    def valid(self, now_s: float) -> bool:
        """`now_s`: seconds since 1970."""
        if self._since_s <= now_s < self._until_s:
            return True
        if now_s >= self._ends_s:
            return False
        self._renew(now_s)
        return True

    def _renew(self, now_s: float) -> None:
        """Pay from the windows of this moment, until the first of them ends, or the clock is set
        back: then it may lie in windows before."""
        self.payer, window_us = levels.payer(self.record, self.levels, int(now_s * 1e6))
        window_s = levels.NEVER_S if window_us is None else window_us / 1e6
        self._since_s, self._until_s = now_s, min(self._ends_s, window_s)


class Ends(NamedTuple):
    """When a key ends, and with it whoever showed it: its record tells that of each value."""

    key_s: float
    record: KeyRecord | None = None

    def of(self, caller: Caller) -> float:
        value_s = levels.NEVER_S if self.record is None else _ends_s(self.record, caller.shown)
        return min(self.key_s, value_s)


class Passage:
    """What was counted for one request, until its end."""

    __slots__ = ("_counters", "_limits", "_reserved", "lasts", "lines")

    def __init__(self, caller: Caller, counters: Counters, decision: Decision | None) -> None:
        self._limits, self._counters = caller.limits, counters
        self.lasts = caller.lasting
        """Whether it has to be told of tokens, and of its end."""
        self._reserved = 0
        self.lines = b"" if decision is None else decision.lines()
        """Header lines that tell what is left."""

    async def reserve(self, tokens: int) -> None:
        """Count the tokens that it may use. Raises RequestError (429)."""
        if not self.lasts:
            return
        decision = await self._counters.reserve(self._limits, tokens)
        if decision is None:
            return
        if not decision.allowed:
            raise _refusal(decision, tokens)
        self.lines += decision.lines()
        self._reserved = tokens

    def end(self, tokens: int) -> None:
        """It is over and used so many tokens. Calling it again does nothing."""
        if self.lasts:
            self.lasts = False
            self._counters.end(self._limits, self._reserved, tokens)


class Gate:
    """Recognises callers of one process. Owned by one event loop."""

    def __init__(
        self,
        store: Store,
        counters: Counters,
        proxies: Networks = (),
        session_s: float = sessions.LASTS_S,
    ) -> None:
        """`proxies`: whose X-Forwarded-For is believed; `session_s`: how long a sign-in lasts."""
        self._store, self._counters, self._proxies = store, counters, proxies
        self.sessions = Sessions(store.session_seal, session_s)
        self._callers: OrderedDict[bytes, Caller] = OrderedDict()
        self._refused: OrderedDict[bytes, float] = OrderedDict()
        self.changes = 0
        """Grows when callers may have changed: whoever keeps one looks it up anew."""

    def known(self, authorization: bytes | None) -> Caller | None:
        """The caller, if its key is at hand and valid; None says nothing about others."""
        if authorization is None:
            return None
        shown = hashlib.sha256(authorization).digest()
        caller = self._callers.get(shown)
        if caller is None or not caller.valid(time.time()):
            return None
        self._callers.move_to_end(shown)
        return caller

    async def identify(self, authorization: bytes | None) -> Caller:
        """The caller that showed this. Raises RequestError: 401 for a missing, malformed, unknown,
        revoked or expired key, 503 when the store cannot tell."""
        return self.known(authorization) or await self._look_up(authorization)

    async def sign_in(self, value: str) -> tuple[Caller, str]:
        """The caller with that key, and the token of a new session. Raises as `identify`."""
        caller = await self.identify(bearer(value.encode("utf-8", "replace")))
        return caller, self.sessions.begin(keys.digest(value.strip()), time.time())

    async def signed_in(self, cookies: bytes | None) -> tuple[Caller, str]:
        """Whose session the Cookie header holds, and the mark that its pages must show with all
        that they change. Raises as `identify`."""
        token = sessions.token_in(cookies)
        mark = "" if token is None else self.sessions.mark(token)
        return await self.identify(sessions.shown(cookies, mark.encode())), mark

    async def sign_out(self, cookies: bytes | None) -> None:
        """End the session that the Cookie header holds: here at once, elsewhere as they are told of
        the change. Raises as `identify`, and StoreError where that cannot be written."""
        caller, _ = await self.signed_in(cookies)
        token = sessions.token_in(cookies)
        session = None if token is None else self.sessions.open(token, time.time())
        if session is not None:
            key_id = caller.record.id
            end = self._store.changes.end_session
            await asyncio.to_thread(end, key_id, session.name, f"key:{key_id}")
            self.changed((key_id,))

    def check_origin(
        self, caller: Caller, peer: str, headers: Iterable[tuple[bytes, bytes]]
    ) -> None:
        """Raises RequestError (403) where a level of the caller does not allow the address. `peer`
        is the other end of the connection."""
        if caller.networks:
            address = origin(peer, headers, self._proxies)
            if address is None or not all(within(address, each) for each in caller.networks):
                raise errors.wrong_origin()

    def enter_at_once(self, caller: Caller) -> Decision | None:
        """The same where nothing has to be waited for, and nothing would be refused; else None, and
        nothing is counted. What was decided is for `passage`."""
        counters = self._counters
        if not isinstance(counters, MachineCounters):
            return None
        try:
            decision = counters.arrive_at_once(caller.limits)
        except StoreUnavailable:
            return None  # whoever refuses it asks again, and is told so
        return decision if decision is not None and decision.allowed else None

    def passage(self, caller: Caller, decision: Decision | None) -> Passage:
        """Of a caller that was let in at once; end what this returns."""
        return Passage(caller, self._counters, decision)

    async def enter(self, caller: Caller) -> Passage:
        """Count a request against all limits of the caller; end what this returns. Raises
        RequestError (429)."""
        decision = await self._counters.arrive(caller.limits)
        if decision is not None and not decision.allowed:
            raise _refusal(decision, 0)
        return Passage(caller, self._counters, decision)

    async def left(self, caller: Caller) -> dict[str, Left]:
        """What its limits would let through now, by the account that each limits."""
        await self._counters.learn(caller.limits)
        pairs = zip(caller.limits, self._counters.left(caller.limits), strict=True)
        return {limit.scope: left for limit, left in pairs}

    def changed(self, subjects: Iterable[str] | None = None) -> None:
        """Forget the callers that these keys or parties are a level of (all, without): they are
        looked up anew when they come again."""
        self.changes += 1
        self._refused.clear()
        if subjects is None:
            self._callers.clear()
            return
        gone = frozenset(subjects)
        for shown, caller in list(self._callers.items()):
            if any(level.id in gone for level in caller.levels):
                del self._callers[shown]

    async def ends(self, key_ids: Collection[str]) -> dict[str, Ends]:
        """When each of these keys ends, as the book says now. Raises StoreError."""

        def end(key_id: str) -> Ends:
            record = self._store.keys.get(key_id)
            lineage = () if record.owner is None else self._store.parties.lineage(record.owner)
            return Ends(levels.ends_s(levels.levels(record, lineage)), record)

        return await asyncio.to_thread(lambda: {each: end(each) for each in key_ids})

    async def _look_up(self, authorization: bytes | None) -> Caller:
        digest, until_s, session = self._shown(authorization)
        assert authorization is not None
        if self._refused.get(digest, 0.0) > time.monotonic():
            raise errors.bad_key()
        changes = -1
        while changes != self.changes:  # else whoever was told of a change did not know the caller
            changes = self.changes
            try:
                found = await asyncio.to_thread(self._read, digest, session)
            except StoreUnavailable:
                raise errors.overloaded(
                    "Keys cannot be checked at the moment. Please retry.", 2.0
                ) from None
        if found is None:
            _put(self._refused, digest, time.monotonic() + REFUSED_S, REFUSED_MAX)
            raise errors.bad_key()
        record, lineage = found
        now_s = time.time()
        ends_s = min(until_s, _ends_s(record, digest))
        caller = Caller(record, levels.levels(record, lineage), ends_s, now_s, digest)
        if not caller.valid(now_s):
            raise errors.bad_key(record.id)
        _put(self._callers, hashlib.sha256(authorization).digest(), caller, CALLERS_MAX)
        return caller

    def _shown(self, authorization: bytes | None) -> tuple[bytes, float, Session | None]:
        """The digest of the key that was shown, when what showed it ends, and the session that did.
        Raises RequestError (401)."""
        found = None if authorization is None else sessions.parts(authorization)
        if found is None:
            return _digest(authorization), levels.NEVER_S, None
        session = self.sessions.open(found[0], time.time())
        if session is None or not self.sessions.proved(*found):
            raise errors.bad_key()
        return session.digest, session.ends_s, session

    def _read(
        self, digest: bytes, session: Session | None
    ) -> tuple[KeyRecord, tuple[PartyRecord, ...]] | None:
        """The key and the parties above it. Raises RequestError (401) where the session that showed
        it was signed out: the key itself may go on."""
        record = self._store.keys.by_digest(digest)
        if record is None:
            return None
        if session is not None and self._store.changes.session_ended(record.id, session.name):
            raise errors.bad_key(record.id)
        if record.owner is None:
            return record, ()
        try:
            return record, self._store.parties.lineage(record.owner)
        except Missing:
            return None


def credential(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """What the caller showed, as `Bearer …`: its Authorization header, else its x-api-key, else the
    session of a page of ours. Names are lower case, as ASGI has them. The same for every route, so
    that no restriction can be got round."""
    api_key = cookies = mark = None
    for name, value in headers:
        if name == b"authorization":
            return value
        if name == b"x-api-key" and api_key is None:
            api_key = value
        elif name == b"cookie":
            cookies = value
        elif name == MARK_HEADER:
            mark = value
    return bearer(api_key) or sessions.shown(cookies, mark)


def bearer(api_key: bytes | None) -> bytes | None:
    """A bare key as the Authorization header would show it."""
    return None if api_key is None else b"Bearer " + api_key.strip()


def _refusal(decision: Decision, tokens: int) -> RequestError:
    if decision.kind == "tokens" and tokens > decision.limit:
        error = errors.too_many_tokens(decision.name, decision.limit, tokens)
    else:
        error = errors.rate_limited(decision.name, decision.wait_s, decision.kind)
    error.headers += decision.headers()
    return error


def _ends_s(record: KeyRecord, digest: bytes) -> float:
    """A value from before a rotation ends before its key does, one from before two has ended."""
    if digest == record.digest:
        return levels.NEVER_S
    if digest != record.previous_digest:
        return 0.0
    return (record.previous_until_us or 0) / 1e6


def _digest(authorization: bytes | None) -> bytes:
    """SHA-256 of a key of plausible shape. Raises RequestError (401)."""
    if authorization is None:
        raise errors.missing_key()
    scheme, _, value = authorization.partition(b" ")
    if scheme.lower() != b"bearer" or not value.strip():
        raise errors.missing_key()
    text = value.strip().decode("latin-1")
    if not keys.plausible(text):
        raise errors.bad_key()
    return keys.digest(text)


def _put(cache: OrderedDict[Key, Value], key: Key, value: Value, size_max: int) -> None:
    cache[key] = value
    if len(cache) > size_max:
        cache.popitem(last=False)
