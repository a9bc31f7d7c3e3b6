"""Rates that several nodes share, counted by a server that speaks Redis's protocol.

Theory of operation. Each limit has one number on the server: when all of its minute will be
available again (rates.py has the arithmetic). A process does not ask for each request: it takes a
share, about a second's worth of the limit, and counts requests against that without waiting. What
it did not use within `SHARE_S` goes back. All who wait for a share are in one question, and there
is one question at a time. So a limit holds over all nodes; what a process holds unused is at most a
sixtieth of it.

A request that the server's last answer leaves no room for takes no share of anything: one that its
own key refuses, again and again, would take what its team may use elsewhere.

Tokens are taken for the worst case, and what was not needed comes back when the request ends. Of a
request that took d seconds up to d/60 of that had worn off by itself: so much is available twice.

On this machine every request is counted as without a server (counters.py), too: its workers know
each other's load, and when the server is away (it does not answer within `ANSWER_S`), each machine
goes on with its own part of the limit: one n-th, for as many nodes as there were. Requests at once
are counted for each machine: a lost node would leave them counted.
"""

import asyncio
import contextlib
import math
import time
import urllib.parse
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec
import redis.asyncio
import redis.exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from baton.admission.counters import Counters, Limits
from baton.admission.rates import Decision, Kind, Left, Limit
from baton.config import PASSWORD_IN_A_URL, SettingsError
from baton.telemetry import diary

SHARE_S = 2.0
ANSWER_S = 0.25
AWAY_S = 1.0
"""So long nobody asks a server that did not answer."""
TOLD_S = 1.0
"""So long an answer holds: then others may have given something back."""
SHARES_PER_MINUTE = 60
MINUTE_US = 60_000_000
NODES = "baton:nodes"
WRITTEN = f"write redis://USER:PASSWORD@HOST:PORT, {PASSWORD_IN_A_URL}"

SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 30000000)
local told = {redis.call('ZCARD', KEYS[1])}
for i = 2, #KEYS do
  local limit, want = tonumber(ARGV[2 * i - 2]), tonumber(ARGV[2 * i - 1])
  local used = math.max(0, tonumber(redis.call('GET', KEYS[i]) or '0') - now)
  local fits = math.max(0, math.floor((60000000 - used) * limit / 60000000 + 0.000001))
  local granted = math.min(want, fits)
  if granted ~= 0 then
    used = math.max(0, used + granted * 60000000 / limit)
    redis.call('SET', KEYS[i], string.format('%.0f', now + used), 'PX', 61000)
  end
  told[2 * i - 2], told[2 * i - 1] = granted, math.floor(used)
end
return told
"""
"""KEYS: the nodes, then limits. ARGV: this node, then for each limit it and what is wanted of it
(less than 0: given back). Answers: how many nodes, then what was granted and the microseconds of
the minute that are used now."""

FAILURES = (redis.exceptions.RedisError, OSError, TimeoutError)

Key = tuple[str, Kind]


class _Share:
    """What this process has of one limit. `credit` below 0 was used and is still to be counted;
    `apart` was reserved by requests under way without the server, which cannot have it back.
    `used_us`: of the minute, the credit too, as the server told at `told_s`."""

    __slots__ = ("apart", "credit", "limit", "since_s", "told_s", "used_us", "wanted")

    def __init__(self, limit: int) -> None:
        self.limit, self.credit, self.wanted, self.used_us, self.apart = limit, 0, 0, 0, 0
        self.since_s, self.told_s = time.monotonic(), -math.inf

    def spare_us(self, now_s: float) -> float:
        """Of the minute: what would pass at once, by what the server told."""
        used_us = max(0.0, self.used_us - (now_s - self.told_s) * 1e6)
        return MINUTE_US - used_us + self.credit * MINUTE_US / self.limit

    def remaining(self, now_s: float) -> int:
        """The same in requests, or tokens."""
        return max(0, int(self.spare_us(now_s) * self.limit / MINUTE_US))

    def short(self, amount: int, now_s: float) -> bool:
        """Whether the server has just told that there is not so much."""
        told = now_s - self.told_s < TOLD_S
        return told and self.credit < amount > self.spare_us(now_s) * self.limit / MINUTE_US


class SharedCounters:
    """Counts over all nodes on one server; `own` counts for this machine. Of one event loop."""

    def __init__(self, own: Counters, url: str, node: str, answer_s: float = ANSWER_S) -> None:
        """`node` names the machine (its home); workers of one machine have the same. `answer_s`:
        how long the server is waited for. SettingsError for what is no such URL."""
        self._own, self._node, self._answer_s = own, node, answer_s
        self._client = client(url, answer_s)
        self._script = self._client.register_script(SCRIPT)
        self._shares: dict[Key, _Share] = {}
        self._asking = asyncio.Lock()
        self._questions, self._nodes, self._away_until_s = 0, 1, 0.0
        self._told: type[BaseException] | None = None
        """Why it does not count, as the log has it: a line for each kind of failure, not one a
        second."""
        self._question: asyncio.Task[None] | None = None
        """The last one: whoever asked it may leave, and its answer is everybody's."""
        self._tending = asyncio.get_running_loop().create_task(self._tend())

    @property
    def away(self) -> bool:
        """Whether the server did not answer just now."""
        return time.monotonic() < self._away_until_s

    @property
    def apart(self) -> bool:
        return self._told is not None

    async def arrive(self, limits: Limits) -> Decision | None:
        wanted = [(limit, limit.requests_per_minute) for limit in limits]
        return await self._count("requests", wanted, 1, self._own.arrive, limits)

    async def reserve(self, limits: Limits, tokens: int) -> Decision | None:
        async def reserve(parts: Limits) -> Decision | None:
            return await self._own.reserve(parts, tokens)

        wanted = [(limit, limit.tokens_per_minute) for limit in limits]
        return await self._count("tokens", wanted, tokens, reserve, limits)

    def end(self, limits: Limits, reserved: int, used: int) -> None:
        self._own.end(limits, reserved, used)
        for limit in limits:
            share = self._shares.get((limit.scope, "tokens"))
            if share is not None and limit.tokens_per_minute is not None:
                apart = min(share.apart, reserved)
                share.apart -= apart
                share.credit += reserved - apart - used

    async def learn(self, limits: Limits) -> None:
        """By a question that wants nothing, where the last answer is old; without an answer this
        machine's own count stands."""
        now_s = time.monotonic()
        shares = {key: self._share(key, allowed) for key, allowed in _counted(limits)}
        old = [key for key, share in shares.items() if now_s - share.told_s >= TOLD_S]
        for key in old:
            if not shares[key].credit:
                shares[key].since_s = now_s  # else it may be forgotten before the answer is here
        if old and not self.away:
            async with self._asking:
                await self._exchange(dict.fromkeys(old, 0))

    def left(self, limits: Limits) -> tuple[Left, ...]:
        """Of this machine's own count and what the server last told, the less."""
        found = self._own.left(self._parts(limits))
        if self.away:
            return found
        return tuple(map(self._less, limits, found))

    def _less(self, limit: Limit, own: Left) -> Left:
        return Left(
            self._less_of((limit.scope, "requests"), own.requests),
            self._less_of((limit.scope, "tokens"), own.tokens),
            own.at_once,
        )

    def _less_of(self, key: Key, own: int | None) -> int | None:
        share = self._shares.get(key)
        if own is None or share is None:
            return own
        return min(own, share.remaining(time.monotonic()))

    async def close(self) -> None:
        """Give back what is unused, and let go of the server."""
        self._tending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._tending
        if self._question is not None:
            await asyncio.wait([self._question])
        for share in self._shares.values():
            share.since_s = 0.0
        await self._give_back()
        await self._client.aclose()

    async def _count(
        self,
        kind: Kind,
        wanted: list[tuple[Limit, int | None]],
        amount: int,
        own: Callable[[Limits], Awaitable[Decision | None]],
        limits: Limits,
    ) -> Decision | None:
        """First what all nodes share, then this machine's own count."""
        shares = [
            (limit, self._share((limit.scope, kind), allowed))
            for limit, allowed in wanted
            if allowed is not None
        ]
        able = all(amount <= share.limit for _, share in shares)  # else its own count refuses it
        taken = bool(shares) and able and not self.away and await self._take(shares, amount)
        if shares and able and not taken and not self.away:
            return _refused(kind, shares, amount)
        decision = await own(self._parts(limits))
        if decision is None or taken == decision.allowed:
            return _with_all(decision, kind, shares) if taken and decision is not None else decision
        for _, share in shares:
            if taken:
                share.credit += amount
            elif kind == "tokens":
                share.apart += amount
        return decision

    def _share(self, key: Key, allowed: int) -> "_Share":
        share = self._shares.get(key)
        if share is None:
            share = self._shares[key] = _Share(allowed)
        share.limit = allowed
        return share

    def _parts(self, limits: Limits) -> Limits:
        """Whole while the server counts, else this machine's part of each limit."""
        if not self.away or self._nodes == 1:
            return limits
        return tuple(_part(limit, self._nodes) for limit in limits)

    async def _take(self, shares: list[tuple[Limit, "_Share"]], amount: int) -> bool:
        """Of every share or of none, asking the server for more."""
        if all(share.credit >= amount for _, share in shares):
            return _spend(shares, amount)
        if _short(shares, amount):
            return False
        for _, share in shares:
            share.wanted += amount
        asked_before = self._questions
        try:
            async with self._asking:
                included = self._questions > asked_before
                if self._question is not None and not self._question.done():  # its asker has left
                    await asyncio.wait([self._question])
                lacks = any(share.credit < amount for _, share in shares)
                vain = included or self.away or _short(shares, amount)
                if lacks and not vain:
                    self._questions += 1
                    self._question = asyncio.get_running_loop().create_task(self._ask())
                    await asyncio.shield(self._question)
        finally:
            for _, share in shares:
                share.wanted -= amount
        return all(share.credit >= amount for _, share in shares) and _spend(shares, amount)

    async def _ask(self) -> None:
        """For all who wait, and a little more of each limit for those who come next."""
        wants = {
            key: share.wanted - share.credit + share.limit // SHARES_PER_MINUTE
            for key, share in self._shares.items()
            if share.wanted > share.credit
        }
        await self._exchange(wants)

    async def _exchange(self, wants: dict[Key, int]) -> None:
        """What is granted is credit; what is less than 0 goes back."""
        names = [NODES, *(f"baton:{kind}:{scope}" for scope, kind in wants)]
        numbers = [n for key, want in wants.items() for n in (self._shares[key].limit, want)]
        try:
            async with asyncio.timeout(2 * self._answer_s):
                told = await self._script(keys=names, args=[self._node, *numbers])
        except FAILURES as error:
            self._away_until_s = time.monotonic() + AWAY_S
            if type(error) is not self._told:
                reason = f"{type(error).__name__}: {error}"  # their repr() has no message
                diary.warning("rates are counted by this machine alone", reason=reason)
            self._told = type(error)
            return
        if self._told is not None:
            diary.warning("rates are counted over all nodes again")
            self._told = None
        self._nodes = max(1, told[0])
        for place, (key, want) in enumerate(wants.items()):
            share = self._shares[key]
            granted, share.used_us = told[2 * place + 1], told[2 * place + 2]
            share.told_s = time.monotonic()
            if want > 0:
                share.credit, share.since_s = share.credit + granted, time.monotonic()

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(SHARE_S / 2)
            with diary.outliving("tending rates"):
                await self._give_back()

    async def _give_back(self) -> None:
        """Return credit that nobody used, settle what was used beyond it, forget the idle."""
        now_s = time.monotonic()
        wants = {}
        for key, share in list(self._shares.items()):
            if share.wanted or now_s - share.since_s < SHARE_S:
                continue
            if share.credit:
                wants[key] = -share.credit
                share.credit, share.since_s = min(0, share.credit), now_s
            elif not share.apart and now_s - share.since_s > 2 * MINUTE_US / 1e6:
                del self._shares[key]
        if not self.away:
            await self._exchange(wants)


def client(url: str, answer_s: float) -> redis.asyncio.Redis:
    """Of the server at BATON_REDIS_URL. SettingsError for what is no such URL."""
    try:
        _ = urllib.parse.urlsplit(url).port
    except ValueError:  # it tells what stands there: the beginning of a password, as likely
        raise SettingsError(f"BATON_REDIS_URL is no address: {WRITTEN}") from None
    try:
        made = redis.asyncio.Redis.from_url(
            url,
            socket_timeout=answer_s,
            socket_connect_timeout=answer_s,
            retry=Retry(NoBackoff(), 0),
        )
        pool: Any = made.connection_pool
        pool.make_connection()  # connects nowhere yet, but looks at the options
    except (ValueError, TypeError, redis.exceptions.RedisError) as error:
        raise SettingsError(f"BATON_REDIS_URL: {error}") from None
    return made


def _counted(limits: Limits) -> Iterator[tuple[Key, int]]:
    """What nodes share of them: requests at once are each machine's."""
    for limit in limits:
        if limit.requests_per_minute is not None:
            yield (limit.scope, "requests"), limit.requests_per_minute
        if limit.tokens_per_minute is not None:
            yield (limit.scope, "tokens"), limit.tokens_per_minute


def _spend(shares: list[tuple[Limit, "_Share"]], amount: int) -> bool:
    for _, share in shares:
        share.credit -= amount
    return True


def _short(shares: list[tuple[Limit, "_Share"]], amount: int) -> bool:
    now_s = time.monotonic()
    return any(share.short(amount, now_s) for _, share in shares)


def _with_all(own: Decision, kind: Kind, shares: list[tuple[Limit, "_Share"]]) -> Decision:
    """Of what this machine counted and what all nodes have left, the tighter."""
    now_s = time.monotonic()
    found = [_decision(kind, limit.name, share, now_s) for limit, share in shares]
    return min(own, *found, key=lambda each: each.remaining)


def _refused(kind: Kind, shares: list[tuple[Limit, "_Share"]], amount: int) -> Decision:
    """By the share that leaves it waiting longest."""
    now_s = time.monotonic()

    def wait_us(share: _Share) -> float:
        return amount * MINUTE_US / share.limit - share.spare_us(now_s)

    limit, share = max(shares, key=lambda each: wait_us(each[1]))
    wait_s = max(wait_us(share) / 1e6, 0.01)
    return _decision(kind, limit.name, share, now_s, wait_s)


def _decision(kind: Kind, name: str, share: _Share, now_s: float, wait_s: float = 0.0) -> Decision:
    """`wait_s` of a refusal."""
    spare_us = share.spare_us(now_s)
    reset_s = max(0.0, MINUTE_US - spare_us) / 1e6
    return Decision(kind, name, not wait_s, share.limit, share.remaining(now_s), reset_s, wait_s)


def _part(limit: Limit, nodes: int) -> Limit:
    """One machine's part; at least one, so that a small limit does not shut everybody out."""
    requests, tokens = limit.requests_per_minute, limit.tokens_per_minute
    return msgspec.structs.replace(
        limit,
        requests_per_minute=None if requests is None else max(1, requests // nodes),
        tokens_per_minute=None if tokens is None else max(1, tokens // nodes),
    )
