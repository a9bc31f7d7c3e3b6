"""An answer that is made once and sent to everybody who asked for it.

A `KeptExchange` stands in for the exchange of a caller: the room answers it as any other, but what
it writes is kept in memory, in the order of writing, until the last caller has it. Callers `follow`
it at their own pace: a slow one holds up nobody, and one that leaves ends nothing. A kept stream
takes as much memory as a whole answer does.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import msgspec

from baton.http.exchange import Exchange, HeaderPair, header_lines, header_pairs, note
from baton.http.paths import Where

IDEMPOTENCY_KEY = b"idempotency-key"
REPLAYED: HeaderPair = (b"idempotent-replayed", b"true")
"""As Stripe tells it: this request caused nothing."""
OWN = (b"x-ratelimit-", b"openai-processing-ms", b"access-control-", b"vary")
"""Headers that are about one caller, not about the answer."""


class Answered(msgspec.Struct, frozen=True):
    """A whole answer as it can be sent again: what its callers got, byte by byte."""

    headers: tuple[HeaderPair, ...]
    stream: bool
    body: bytes
    """A stream's events are one after the other, each with its empty line."""


Keep = Callable[[Answered], Awaitable[None]]


class KeptExchange(Exchange):
    """What the room answers. `keep` is awaited with the whole answer before it is charged."""

    def __init__(self, asked: Exchange, keep: Keep) -> None:
        """As `asked` was: its body, and its headers but those that are about its caller's page and
        about keeping."""
        headers = [pair for pair in asked.headers if pair[0] not in (IDEMPOTENCY_KEY, b"origin")]
        super().__init__(
            _Nobody(headers, asked.client),
            note(headers),
            where=Where(asked.model, asked.door),
            http_1_0=False,
            keep=True,
        )
        self.add(asked.body, len(asked.body))
        self.body_complete = True
        self.status, self.stream, self.ended = 200, False, False
        self.pairs: tuple[HeaderPair, ...] = ()
        self.parts: list[bytes] = []
        self._keep = keep
        self._waiting: list[asyncio.Future[None]] = []
        self.freed: asyncio.Future[None] | None = None
        """Done once its key is free again, of one that is no answer: before its callers hear of
        that, for they may come back at once with another request, to any process."""

    @property
    def whole(self) -> bool:
        """Whether it is an answer, to its proper end: not refused, not broken off."""
        return self.ended and self.status == 200 and self.keep_alive

    async def keep(self, lines: bytes, *rest: bytes) -> None:
        """All of the answer is there, `rest` is still to be written: keep it, then charge it."""
        pairs = self.pairs or header_pairs(lines)
        await self._keep(Answered(_shared(pairs), self.started, b"".join([*self.parts, *rest])))

    def respond(self, status: int, lines: bytes, body: bytes) -> None:
        self.started = True
        self.status, self.pairs, self.parts = status, header_pairs(lines), [body]
        self.ended = True
        self._finish_kept()

    def start_stream(self, lines: bytes) -> None:
        self.started = self.stream = True
        self.pairs = header_pairs(lines)
        self._tell()

    def send(self, event: bytes) -> bool:
        self.parts.append(event)
        self._tell()
        return True

    def sender(
        self, before: bytes, after: bytes, encode: Callable[[str], bytes]
    ) -> Callable[[str], bool]:
        return lambda text: self.send(before + encode(text) + after)

    def end(self, last: bytes = b"") -> None:
        if last:
            self.parts.append(last)
        self.ended = True
        self._finish_kept()

    def abort(self) -> None:
        self._finish_kept()

    @property
    def paused(self) -> bool:
        return False

    async def drain(self) -> None:
        return None

    async def news(self) -> None:
        """Return when more of the answer is there, or its end."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        await waiter

    def _finish_kept(self) -> None:
        self.done = True
        self._tell()

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)


async def follow(kept: KeptExchange, exchange: Exchange, own: Iterable[HeaderPair] | None) -> None:
    """Send the answer as it comes. `own`: headers in place of those about the first caller; None
    for that caller itself."""
    while not (kept.started or kept.done):
        await kept.news()
    if not kept.started:
        return exchange.abort()
    if kept.done:
        await _freed(kept)
    lines = header_lines(kept.pairs if own is None else (*_shared(kept.pairs), *own))
    if not kept.stream:
        return exchange.respond(kept.status, lines, kept.parts[0])
    exchange.start_stream(lines)
    await _stream(kept, exchange)


async def _stream(kept: KeptExchange, exchange: Exchange) -> None:
    sent = 0
    while True:
        done = kept.done
        while sent < len(kept.parts) - done:  # the last one goes out with the end
            exchange.send(kept.parts[sent])
            sent += 1
            if exchange.paused:
                await exchange.drain()
        if done:
            break
        await kept.news()
    if not kept.ended:
        return exchange.abort()
    await _freed(kept)
    exchange.keep_alive = exchange.keep_alive and kept.keep_alive
    return exchange.end(b"".join(kept.parts[sent:]))


async def _freed(kept: KeptExchange) -> None:
    if kept.freed is not None and not kept.whole:
        await asyncio.shield(kept.freed)


def replay(answered: Answered, exchange: Exchange, own: Iterable[HeaderPair]) -> None:
    """Send again what was kept: a stream's events one by one."""
    lines = header_lines([*answered.headers, *own])
    if not answered.stream:
        return exchange.respond(200, lines, answered.body)
    events = [event + b"\n\n" for event in answered.body.split(b"\n\n")[:-1]]
    exchange.start_stream(lines)
    for event in events[:-1]:
        exchange.send(event)
    return exchange.end(events[-1] if events else b"")


def _shared(pairs: Iterable[HeaderPair]) -> tuple[HeaderPair, ...]:
    return tuple(pair for pair in pairs if not pair[0].startswith(OWN))


class _Nobody:
    """The line of an exchange that no connection has: nothing is ever written to it."""

    write_paused = False

    def __init__(self, headers: list[HeaderPair], client_address: str) -> None:
        self.headers, self.client_address = headers, client_address

    def date(self) -> bytes:
        raise AssertionError("a kept exchange has no head of its own")

    def write(self, data: bytes) -> bool:
        raise AssertionError("a kept exchange writes to no line")

    def abort(self) -> None:
        raise AssertionError("a kept exchange has no line to abort")

    def filler(
        self, form: bytes, length: int, encode: Callable[[str], bytes]
    ) -> Callable[[str], bool]:
        raise AssertionError("a kept exchange writes to no line")

    async def drain(self) -> None:
        raise AssertionError("a kept exchange never waits for its line")

    def exchange_done(self, exchange: Exchange) -> None:
        raise AssertionError("a kept exchange is on no line")
