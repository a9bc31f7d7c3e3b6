"""Who asks, and whether now. Cached keys are recognised without waiting; others cost one look-up.

    credential(headers) -> what the caller showed            the one extractor for all routes
    gate.known(authorization) -> Caller | None               cached: no await
    await gate.identify(authorization) -> Caller             raises 401
    gate.admit_rate(caller, now_s) -> headers                raises 429

What is cached is dropped when its key changes (`changed`, called by the ChangeFeed) and refused
when it expires. Budgets are the ledger's: `caller.payer` goes into its Intent.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import TypeVar

from baton import errors
from baton.admission import keys
from baton.admission.rates import Rate
from baton.ledger.entries import Payer
from baton.stores.base import KeyRecord, StoreUnavailable
from baton.stores.keys import Keys

CALLERS_MAX = 10_000
"""Keys that are kept at hand (2 KiB each)."""
REFUSED_MAX = 10_000
"""Digests of keys that are known not to exist."""
REFUSED_S = 2.0
"""A key that was made after it was refused works this soon."""
RATES_MAX = 100_000
"""Rate states are kept longer than callers: a dropped one would forget what was used."""

Headers = tuple[tuple[str, str], ...]
Key = TypeVar("Key")
Value = TypeVar("Value")


class Caller:
    """A key in use: what it may do, and its rate."""

    __slots__ = ("_expires_s", "_models", "payer", "rate", "record")

    def __init__(self, record: KeyRecord, rate: Rate) -> None:
        self.record, self.rate = record, rate
        limited = () if record.budget_nano is None else (record.account,)
        self.payer = Payer(record.id, record.account, limited, (), f"the key '{record.name}'")
        self._models = frozenset(record.models)
        self._expires_s = None if record.expires_us is None else record.expires_us / 1e6

    def allowed(self, model: str) -> bool:
        """Whether the key may use that public model."""
        return not self._models or model in self._models

    @property
    def admin(self) -> bool:
        return self.record.role == "admin"

    def valid(self, now_s: float) -> bool:
        """`now_s`: seconds since 1970."""
        if self.record.revoked_us is not None:
            return False
        return self._expires_s is None or now_s < self._expires_s


class Gate:
    """Recognises callers of one process. Owned by one event loop."""

    def __init__(self, keys_store: Keys) -> None:
        self._store = keys_store
        self._callers: OrderedDict[bytes, Caller] = OrderedDict()
        self._refused: OrderedDict[bytes, float] = OrderedDict()
        self._rates: OrderedDict[str, Rate] = OrderedDict()
        self._changes = 0

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

    def admit_rate(self, caller: Caller, now_s: float) -> Headers:
        """Count a request against the key's requests per minute; returns the response headers that
        tell what is left. `now_s` is a monotonic time. Raises RequestError (429)."""
        limit = caller.record.requests_per_minute
        if limit is None:
            return ()
        decision = caller.rate.admit(limit, now_s)
        if decision.allowed:
            return decision.headers()
        error = errors.rate_limited(caller.payer.name, decision.wait_s)
        error.headers += decision.headers()
        raise error

    def changed(self, key_ids: Iterable[str] | None = None) -> None:
        """Forget these keys (all, without): they are looked up anew when they come again."""
        self._changes += 1
        self._refused.clear()
        if key_ids is None:
            self._callers.clear()
            return
        gone = frozenset(key_ids)
        for shown, caller in list(self._callers.items()):
            if caller.record.id in gone:
                del self._callers[shown]

    async def _look_up(self, authorization: bytes | None) -> Caller:
        digest = _digest(authorization)
        assert authorization is not None
        if self._refused.get(digest, 0.0) > time.monotonic():
            raise errors.bad_key()
        changes = self._changes
        try:
            record = await asyncio.to_thread(self._store.by_digest, digest)
        except StoreUnavailable:
            raise errors.overloaded(
                "Keys cannot be checked at the moment. Please retry.", 2.0
            ) from None
        if record is None:
            _put(self._refused, digest, time.monotonic() + REFUSED_S, REFUSED_MAX)
            raise errors.bad_key()
        caller = Caller(record, self._rate(record.id))
        if not caller.valid(time.time()):
            raise errors.bad_key()
        if changes == self._changes:  # else it may have changed while it was read
            _put(self._callers, hashlib.sha256(authorization).digest(), caller, CALLERS_MAX)
        return caller

    def _rate(self, key_id: str) -> Rate:
        rate = self._rates.pop(key_id, None) or Rate()
        _put(self._rates, key_id, rate, RATES_MAX)
        return rate


def credential(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """What the caller showed, as `Bearer …`: its Authorization header, else its x-api-key. Names
    are lower case, as ASGI has them. The same for every route, so that no restriction can be got
    round."""
    api_key = None
    for name, value in headers:
        if name == b"authorization":
            return value
        if name == b"x-api-key" and api_key is None:
            api_key = value
    return bearer(api_key)


def bearer(api_key: bytes | None) -> bytes | None:
    """A bare key as the Authorization header would show it."""
    return None if api_key is None else b"Bearer " + api_key.strip()


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
