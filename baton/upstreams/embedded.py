"""The embedded engine as an upstream: calls over its Unix socket, one connection for each in
flight.

The engine may restart at any time. A pooled connection that turns out to be dead before the engine
has accepted anything is replaced once; whatever else breaks is an UpstreamError like any other
upstream's."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TypeVar, cast

import msgspec

from baton.engine.frames import FrameError, FrameReader
from baton.engine.wire import (
    Accepted,
    Deltas,
    Describe,
    Description,
    Detokenize,
    Finished,
    FromEngine,
    Generate,
    Refused,
    Text,
    ToEngine,
    Tokenize,
    Tokens,
    frame,
)
from baton.errors import RequestError, overloaded
from baton.semantics.events import Call, Event, UsageReported
from baton.upstreams.base import (
    Begun,
    Capabilities,
    Phase,
    Unwatched,
    UpstreamError,
    UpstreamStream,
    Watch,
)

READ_AHEAD_FRAMES = 16
"""Frames that wait for their reader before the socket is left alone, and the engine pauses the
call."""
IDLE_LINKS_MAX = 64
"""Connections kept for the next call."""
RESTART_S = 1.0
"""About how long an engine takes to come back."""

CAPABILITIES = Capabilities(
    prompt_arrays=True,
    token_prompts=True,
    n=True,
    best_of=True,
    echo=True,
    prompt_logprobs=True,
    logprobs=True,
    logprobs_max=100,
    stop_max=1_000,
    seed=True,
    penalties=True,
    logit_bias=True,
    max_tokens_zero=True,
    stream_usage=True,
    exact_usage=True,
    token_ids=True,
    deterministic=True,
    replay=True,
    scored=True,
    zero_without_echo=True,
    bounded=True,
)

Answer = TypeVar("Answer", bound=FromEngine)


def _away(phase: Phase) -> UpstreamError:
    return UpstreamError(
        "The embedded model is restarting.",
        phase=phase,
        kind="refused" if phase == "connect" else "network",
        retryable=phase != "stream",
        retry_after_s=RESTART_S,
    )


def _nonsense(phase: Phase) -> UpstreamError:
    message = "The engine and this process do not speak the same protocol."
    return UpstreamError(message, phase=phase, kind="protocol", retryable=False)


def _refusal(refused: Refused, phase: Phase) -> RequestError | UpstreamError:
    if refused.status in (429, 503):
        return overloaded(refused.message, refused.retry_after_s or RESTART_S, refused.status)
    if refused.status >= 500:
        return UpstreamError(
            refused.message, phase=phase, kind="status", retryable=False, status=refused.status
        )
    return RequestError(refused.status, refused.message, code=refused.code, param=refused.param)


class Link(asyncio.Protocol):
    """One connection to the engine."""

    def __init__(self) -> None:
        self._frames = FrameReader()
        self._decoder: msgspec.msgpack.Decoder[FromEngine] = msgspec.msgpack.Decoder(FromEngine)
        self._encoder = msgspec.msgpack.Encoder()
        self._transport: asyncio.Transport | None = None
        self._arrived: deque[FromEngine] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._garbled = self._paused = False

    @property
    def open(self) -> bool:
        return self._transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass

    def connection_lost(self, _: Exception | None) -> None:
        self._transport = None
        self._wake()

    def data_received(self, data: bytes) -> None:
        try:
            self._arrived.extend(map(self._decoder.decode, self._frames.feed(data)))
        except (FrameError, msgspec.DecodeError):
            self._garbled = True
            self.abort()
        if len(self._arrived) > READ_AHEAD_FRAMES and self._transport is not None:
            self._transport.pause_reading()
            self._paused = True
        self._wake()

    def send(self, message: ToEngine) -> None:
        if self._transport is not None:
            self._transport.write(frame(self._encoder, message))

    async def receive(self, phase: Phase) -> FromEngine:
        """The next message. Raises UpstreamError when the connection is gone."""
        while not self._arrived:
            if self._garbled:
                raise _nonsense(phase)
            if self._transport is None:
                raise _away(phase)
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        message = self._arrived.popleft()
        if self._paused and not self._arrived and self._transport is not None:
            self._transport.resume_reading()
            self._paused = False
        return message

    def abort(self) -> None:
        """Close at once: the engine cancels the call."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class EmbeddedStream:
    """A running call; implements base.UpstreamStream."""

    def __init__(self, upstream: "EmbeddedUpstream", link: Link, accepted: Accepted) -> None:
        self._upstream, self._link = upstream, link
        self._ended = False
        self.accepted = accepted
        self.prompt_tokens: int | None = sum(accepted.prompt_tokens)
        self.fingerprint = accepted.fingerprint
        self.finished: Finished | None = None
        """Usage, splits and queueing time, once the answer is whole."""

    @property
    def queued_s(self) -> float:
        """Known once it is whole."""
        return 0.0 if self.finished is None else self.finished.queue_s

    async def read(self) -> Sequence[Event]:
        """The next events; empty once the answer is whole. Raises UpstreamError."""
        if self._ended:
            return ()
        try:
            message = await self._link.receive("stream")
        except BaseException as error:
            if isinstance(error, UpstreamError) and not self._ended:
                self._upstream.watch.failed(error)
            self.close()
            raise
        match message:
            case Deltas(deltas):
                return deltas
            case Finished(usage):
                self._ended, self.finished = True, message
                self._upstream.give_back(self._link)
                if self._upstream.watch.troubled:
                    self._upstream.watch.whole()
                return (UsageReported(usage),)
            case Refused():
                self._ended = True
                self._upstream.give_back(self._link)
                raise _refusal(message, "stream")
        self.close()
        raise _nonsense("stream")

    def close(self) -> None:
        """Let go; a call that is not whole is cancelled."""
        if not self._ended:
            self._ended = True
            self._link.abort()
            self._upstream.drop(self._link)


class EmbeddedUpstream:
    """Implements base.Upstream over the engine's socket."""

    def __init__(self, name: str, socket_path: str) -> None:
        self.name, self._path = name, socket_path
        self.capabilities = CAPABILITIES
        """`suffix` as the vocabulary has it, once the engine has described itself."""
        self.fingerprint: str | None = None
        """Known as soon as the engine has answered anything."""
        self.watch: Watch = Unwatched()
        self._idle: list[Link] = []
        self._busy: set[Link] = set()

    def __repr__(self) -> str:
        return f"<EmbeddedUpstream {self.name} {len(self._busy)} in flight>"

    @property
    def in_flight(self) -> int:
        return len(self._busy)

    @property
    def waiting(self) -> int:
        """None here: the engine tells of its own queue."""
        return 0

    async def open(self, call: Call) -> EmbeddedStream:
        """Queue a call. Raises RequestError (with the engine's status) or UpstreamError."""
        return await self.generate(Generate(call))

    async def generate(self, request: Generate) -> EmbeddedStream:
        """Queue a call, perhaps as the replay of one that was cut."""
        try:
            link, answer = await self._exchange(request)
        except UpstreamError as error:
            self.watch.failed(error)
            raise
        if self.watch.troubled:
            self.watch.accepted()
        if isinstance(answer, Accepted):
            self.fingerprint = answer.fingerprint
            return EmbeddedStream(self, link, answer)
        self.give_back(link)
        raise _refusal(answer, "first_byte") if isinstance(answer, Refused) else _nonsense("send")

    async def replay(self, lost: UpstreamStream, call: Call, begun: Begun) -> EmbeddedStream:
        """Go on with a call that broke off, as base.Replaying says.

        The prompt is computed again, the ids are fed one by one, and sampling is a function of seed
        and position: in deterministic mode what follows is what would have followed."""
        assert isinstance(lost, EmbeddedStream)
        accepted = lost.accepted
        again = msgspec.structs.replace(call, seed=accepted.seed)
        drawn = call.seed is None
        stream = await self.generate(Generate(again, begun.ids, begun.echoed, drawn))
        if stream.fingerprint != accepted.fingerprint:
            stream.close()
            message = "The embedded model is not the one that began this answer."
            raise UpstreamError(message, phase="send", kind="protocol", retryable=False)
        return stream

    async def tokenize(
        self, text: str, add_special: bool = True, parse_special: bool = True
    ) -> Tokens:
        """Ids of a text, and how many fit into a context."""
        return await self._ask(Tokenize(text, add_special, parse_special), Tokens)

    async def detokenize(self, ids: list[int]) -> str:
        """Text of ids, special tokens by name. Raises RequestError for ids that do not exist."""
        return (await self._ask(Detokenize(ids), Text)).text

    async def describe(self) -> Description:
        """What runs in the engine, and how busy it is."""
        description = await self._ask(Describe(), Description)
        self.fingerprint = description.fingerprint
        self.capabilities = msgspec.structs.replace(CAPABILITIES, suffix=description.fim)
        return description

    async def close(self) -> None:
        """Abort what runs, and every connection."""
        for link in (*self._idle, *self._busy):
            link.abort()
        self._idle.clear()
        self._busy.clear()

    def give_back(self, link: Link) -> None:
        """A connection whose call is over may carry another one."""
        self._busy.discard(link)
        if link.open and len(self._idle) < IDLE_LINKS_MAX:
            self._idle.append(link)
        else:
            link.abort()

    def drop(self, link: Link) -> None:
        self._busy.discard(link)

    async def _ask(self, message: ToEngine, kind: type[Answer]) -> Answer:
        link, answer = await self._exchange(message)
        self.give_back(link)
        if isinstance(answer, Refused):
            raise _refusal(answer, "first_byte")
        if not isinstance(answer, kind):
            raise _nonsense("first_byte")
        return answer

    async def _exchange(self, message: ToEngine) -> tuple[Link, FromEngine]:
        """Send a message and wait for the first answer; on a stale connection twice."""
        while True:
            link, fresh = await self._link()
            self._busy.add(link)
            try:
                link.send(message)
                return link, await link.receive("first_byte")
            except BaseException as error:
                link.abort()
                self.drop(link)
                stale = isinstance(error, UpstreamError) and error.kind == "network"
                if fresh or not stale:
                    raise

    async def _link(self) -> tuple[Link, bool]:
        """A connection, and whether it was made just now."""
        while self._idle:
            link = self._idle.pop()
            if link.open:
                return link, False
        loop = asyncio.get_running_loop()
        try:
            _, link = await loop.create_unix_connection(Link, self._path)
        except OSError:
            raise _away("connect") from None
        return link, True
