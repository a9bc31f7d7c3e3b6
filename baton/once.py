"""`Idempotency-Key`: however often a caller asks, one call of an upstream, one charge, one answer.

Theory of operation. The first request under a key claims its place in the book and is then run
apart from its connection (`http.kept`): equal requests that come meanwhile, in this process, follow
the same run; in others they wait for it. A caller that leaves ends nothing: it will ask again, and
then has the answer that it paid for. Before the answer is charged it is kept in the book, sealed,
for a day; so after a crash a charged answer is always there, and one that is there but was not
charged is told by its request on the ledger and made anew.

- A stream is replayed as the stream that it was: the same events, each in one write.
- What was refused, failed or broke off leaves the key free: the next request is a new one.
- The same key with another body, model or option is refused (422).
- An answer beyond the limits of size is not kept: asking again is refused (409), never run twice.
- Where the book fails while an answer is being kept, the caller gets the answer all the same.
"""

import asyncio
import collections
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine

import msgspec

from baton import errors
from baton.config import Settings
from baton.http.exchange import Exchange
from baton.http.kept import IDEMPOTENCY_KEY, Answered, KeptExchange
from baton.stores.base import StoreError, StoreUnavailable
from baton.stores.idempotency import Claim, Idempotency, Place
from baton.telemetry import diary

KEY_CHARS_MAX = 255
LEASE_S = 10.0
"""A process that does not renew for so long is dead; its callers' keys are free then."""
RENEW_S = 3.0
LAG_RENEWALS = 4
"""A clock that was set forward is followed this late: by then whoever lives has renewed by it."""
POLL_S = 0.1
PRUNE_S = 600.0

Room = Callable[[Exchange], Awaitable[None]]
Found = KeptExchange | Answered


class _Asked(msgspec.Struct, frozen=True):
    """A request of this process that is being answered under a key."""

    fingerprint: bytes
    found: asyncio.Task[Found]


class _Judging:
    """The time by which leases of others are judged to be over: `LAG_RENEWALS` behind a clock that
    was set forward, as after a machine slept, so that nobody counts as dead for that."""

    def __init__(self) -> None:
        self.behind_us = 0
        """So much is this machine's clock behind the one that all who use the book have in common:
        nodes whose clocks differ would take each other for dead."""
        self._ahead_us = collections.deque([self._ahead_now_us()], LAG_RENEWALS)

    def written_us(self) -> int:
        """The time by that clock: for what is written."""
        return _now_us() + self.behind_us

    def now_us(self) -> int:
        return min(self.written_us(), time.monotonic_ns() // 1000 + self._ahead_us[0])

    def follow(self) -> None:
        """Once in `RENEW_S`."""
        self._ahead_us.append(self._ahead_now_us())

    def _ahead_now_us(self) -> int:
        """Of the clock that is never set."""
        return self.written_us() - time.monotonic_ns() // 1000


class Once:
    """Answers each key once. Owned by one event loop; `close` ends what still runs."""

    def __init__(
        self, store: Idempotency, room: Room, settings: Settings, *prunes: Callable[[int], int]
    ) -> None:
        """`room` answers an exchange and raises nothing. `prunes`: what else removes from the book
        what was kept for long enough; each is given the time, microseconds since 1970."""
        self._store, self._room, self._settings = store, room, settings
        self._prunes = (store.prune, *prunes)
        self._owner = secrets.token_hex(8)
        self._judging = _Judging()
        self._asked: dict[Place, _Asked] = {}
        self._runs: set[asyncio.Task[None]] = set()
        self._endings: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._tending = self._loop.create_task(self._tend())

    async def find(self, key_id: str, exchange: Exchange) -> tuple[Found, bool]:
        """The answer, being made or as it was kept, and whether this request began it.

        Raises RequestError: 400 for a key that is none, 409, 422 as said above, 503."""
        place, fingerprint = self._place(key_id, exchange), self._fingerprint(exchange)
        asked = self._asked.get(place)
        first = asked is None
        if asked is None:
            if len(self._asked) >= self._settings.requests_in_flight_max:
                raise errors.overloaded("Too many requests in flight.", 1.0)
            finding = self._loop.create_task(self._find(place, fingerprint, exchange))
            asked = self._asked[place] = _Asked(fingerprint, finding)
            finding.add_done_callback(lambda task: self._was_found(place, task))
        elif asked.fingerprint != fingerprint:
            raise errors.idempotency_mismatch()
        found = await asyncio.shield(asked.found)
        return found, first and isinstance(found, KeptExchange)

    async def close(self) -> None:
        """Break off what runs; its callers are gone or the drain time is over."""
        self._tending.cancel()
        tasks = [self._tending, *self._runs, *(asked.found for asked in self._asked.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*self._endings)

    def _place(self, key_id: str, exchange: Exchange) -> Place:
        value = exchange.header(IDEMPOTENCY_KEY) or b""
        if not 0 < len(value) <= KEY_CHARS_MAX:
            raise errors.bad_idempotency_key(KEY_CHARS_MAX)
        return Place(key_id, self._store.seal.digest(value))

    def _fingerprint(self, exchange: Exchange) -> bytes:
        options = sorted(b"\0".join(p) for p in exchange.headers if p[0].startswith(b"x-baton-"))
        where = (exchange.model.encode(), exchange.door.encode())
        return self._store.seal.digest(*where, exchange.body, *options)

    def _was_found(self, place: Place, task: asyncio.Task[Found]) -> None:
        """A kept answer, or none, is looked up anew next time; a run stays until it ends."""
        if task.cancelled() or task.exception() or isinstance(task.result(), Answered):
            self._asked.pop(place, None)

    async def _find(self, place: Place, fingerprint: bytes, exchange: Exchange) -> Found:
        deadline = self._loop.time() + self._settings.idempotency_wait_s
        try:
            await self._compare_clocks()
        except StoreUnavailable:
            raise errors.store_unavailable() from None
        while True:
            claim = self._claim(place, fingerprint)
            match await self._begin(claim):
                case "mine":
                    return self._run(place, exchange)
                case "mismatch":
                    raise errors.idempotency_mismatch()
                case "not_kept":
                    raise errors.idempotency_not_kept()
                case bytes() as kept:
                    return msgspec.msgpack.decode(kept, type=Answered)
                case _:
                    if self._loop.time() > deadline:
                        raise errors.idempotency_in_progress()
                    await asyncio.sleep(POLL_S)

    async def _compare_clocks(self) -> None:
        behind_us = self._store.behind_us
        self._judging.behind_us = await asyncio.to_thread(behind_us, _now_us())

    async def _begin(self, claim: Claim) -> str | bytes:
        try:
            return await asyncio.to_thread(self._store.begin, claim)
        except StoreUnavailable:
            raise errors.store_unavailable() from None
        except StoreError as error:  # sealed under another master key
            diary.error("a kept answer cannot be used", reason=str(error))
            raise errors.idempotency_not_kept() from None

    def _claim(self, place: Place, fingerprint: bytes) -> Claim:
        judged_us = self._judging.now_us()
        behind_us = self._judging.written_us() - judged_us  # what is written holds by the clock
        return Claim(
            place=place,
            fingerprint=fingerprint,
            owner=self._owner,
            now_us=judged_us,
            lease_us=behind_us + round(LEASE_S * 1e6),
            kept_us=behind_us + round(self._settings.idempotency_kept_s * 1e6),
        )

    def _run(self, place: Place, exchange: Exchange) -> KeptExchange:
        kept = KeptExchange(exchange, lambda answered: self._keep(place, answered))
        kept.freed = self._loop.create_future()
        self._start(self._answer(place, kept), self._runs)
        return kept

    def _start(self, work: Coroutine[None, None, None], among: set[asyncio.Task[None]]) -> None:
        task = self._loop.create_task(work)
        among.add(task)
        task.add_done_callback(among.discard)

    async def _answer(self, place: Place, kept: KeptExchange) -> None:
        try:
            await self._room(kept)
        finally:
            self._asked.pop(place, None)
            end = self._store.charged if kept.whole else self._store.drop
            self._start(self._told(end, place, kept), self._endings)

    async def _told(
        self, end: Callable[[Place, str], None], place: Place, kept: KeptExchange
    ) -> None:
        try:
            await asyncio.to_thread(end, place, self._owner)
        except StoreUnavailable as error:  # its lease runs out, then it is as after a crash
            diary.warning("the end of an idempotent request is not told", reason=str(error))
        finally:
            assert kept.freed is not None
            kept.freed.set_result(None)

    async def _keep(self, place: Place, answered: Answered) -> None:
        settings, body = self._settings, msgspec.msgpack.encode(answered)
        fits = len(body) <= settings.idempotency_answer_bytes_max
        at_most = settings.idempotency_key_bytes_max if fits else -1
        request_id = dict(answered.headers).get(b"x-request-id", b"").decode()
        try:
            keep = self._store.keep
            await asyncio.to_thread(keep, place, self._owner, request_id, body, at_most)
        except StoreUnavailable as error:
            diary.warning("an answer is not kept for its idempotency key", reason=str(error))

    async def _tend(self) -> None:
        """Renew what this process works on; remove what was kept long enough."""
        prune_at = self._loop.time()
        while True:
            with diary.outliving("tending idempotency keys"):
                self._judging.follow()
                try:
                    if self._runs:
                        await self._compare_clocks()
                        until_us = self._judging.written_us() + round(LEASE_S * 1e6)
                        await asyncio.to_thread(self._store.renew, self._owner, until_us)
                    if self._loop.time() >= prune_at:
                        prune_at = self._loop.time() + PRUNE_S
                        for prune in self._prunes:
                            await asyncio.to_thread(prune, self._judging.written_us())
                except StoreUnavailable as error:
                    diary.warning("idempotency keys cannot be tended", reason=str(error))
            await asyncio.sleep(RENEW_S)


def _now_us() -> int:
    return time.time_ns() // 1000
