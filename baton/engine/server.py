"""The engine's Unix socket: calls in, events out.

One connection carries one call at a time. When it closes, its call is cancelled. When the other
side reads slowly, the socket's buffer fills up and the call is paused, until it has drained.

Tokenising a long text takes a second per megabyte or so. It runs in a thread of its own, so that
the other calls' tokens go out meanwhile. Prompts have another one than texts that are only counted:
a prompt is looked at as far as it may fit, while what is counted is long and costs its caller
nothing."""

import asyncio
import concurrent.futures
import secrets
import time
from collections.abc import Callable
from typing import cast

import msgspec

from baton.engine.frames import FrameError, FrameReader
from baton.engine.llama import Model
from baton.engine.prompts import prepare, refusal
from baton.engine.runs import Run, Shape
from baton.engine.scheduler import Scheduler
from baton.engine.sequences import Post
from baton.engine.wire import (
    Accepted,
    Deltas,
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
from baton.errors import RequestError, invalid

WRITE_BUFFER_BYTES_MAX = 64 * 1024
"""What a slow reader may leave unread before its call is paused."""
INLINE_CHARACTERS_MAX = 4096
"""Texts up to this length are tokenised at once (about 3 ms)."""
SEED_BITS = 63


class Engine:
    """What the connections share: the model, the scheduler, and how calls are shaped."""

    def __init__(
        self,
        model: Model,
        scheduler: Scheduler,
        shape: Shape,
        describe: Callable[[], Description],
    ) -> None:
        self.model, self.scheduler, self.shape, self.describe = model, scheduler, shape, describe
        description = describe()
        self.fingerprint = description.fingerprint
        self.context_tokens_max = description.context_tokens_max
        self.tokenizer = concurrent.futures.ThreadPoolExecutor(1, "tokenizer")
        self.counter = concurrent.futures.ThreadPoolExecutor(1, "counter")
        self._connections: dict[Run, Connection] = {}
        self.connected: set[Connection] = set()

    def connection(self) -> "Connection":
        """For `loop.create_unix_server`."""
        return Connection(self)

    def deliver(self, post: Post) -> None:
        """Send what a step produced. Called in the loop's thread."""
        for run, message in post:
            connection = self._connections.get(run)
            if connection is not None:
                connection.tell(run, message)

    def start(self, run: Run, connection: "Connection") -> Refused | None:
        """Hand a call to the scheduler; its messages go to the connection."""
        self._connections[run] = connection
        refused = self.scheduler.submit(run)
        if refused is not None:
            del self._connections[run]
        return refused

    def close(self) -> None:
        """Cut every connection, and let the threads go."""
        for connection in list(self.connected):
            connection.abort()
        for thread in (self.tokenizer, self.counter):
            thread.shutdown(cancel_futures=True)

    def forget(self, run: Run) -> None:
        self._connections.pop(run, None)


class Connection(asyncio.Protocol):
    """One caller."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._reader = engine, FrameReader()
        self._decoder: msgspec.msgpack.Decoder[ToEngine] = msgspec.msgpack.Decoder(ToEngine)
        self._encoder = msgspec.msgpack.Encoder()
        self._transport: asyncio.Transport | None = None
        self._run: Run | None = None
        self._busy = False
        """A request is being prepared or a call runs: another one is against the protocol."""
        self._work: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass
        self._engine.connected.add(self)
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES_MAX)

    def connection_lost(self, _: Exception | None) -> None:
        self._transport = None
        self._engine.connected.discard(self)
        if self._work is not None:
            self._work.cancel()
        if self._run is not None:
            self._engine.scheduler.cancel(self._run)
            self._engine.forget(self._run)
            self._run = None

    def pause_writing(self) -> None:
        if self._run is not None:
            self._engine.scheduler.pause(self._run, True)

    def resume_writing(self) -> None:
        if self._run is not None:
            self._engine.scheduler.pause(self._run, False)

    def data_received(self, data: bytes) -> None:
        try:
            for body in self._reader.feed(data):
                self._take(self._decoder.decode(body))
        except (FrameError, msgspec.DecodeError):
            self.abort()

    def tell(self, run: Run, message: Deltas | Finished | Refused) -> None:
        """Send a message of the running call; after its last one the connection is free."""
        if not isinstance(message, Deltas):
            self._run, self._busy = None, False
            self._engine.forget(run)
        self._send(message)

    def _take(self, message: ToEngine) -> None:
        if self._busy:
            self.abort()
            return
        if _is_short(message):
            self._send(self._answer(message))
            return
        self._busy = True
        loop = asyncio.get_running_loop()
        self._work = loop.create_task(self._answer_long(loop, message))

    async def _answer_long(self, loop: asyncio.AbstractEventLoop, message: ToEngine) -> None:
        engine = self._engine
        thread = engine.tokenizer if isinstance(message, Generate) else engine.counter
        prepared = await loop.run_in_executor(thread, self._prepare, message)
        self._work, self._busy = None, False
        self._send(self._conclude(prepared))

    def _answer(self, message: ToEngine) -> FromEngine:
        return self._conclude(self._prepare(message))

    def _prepare(self, message: ToEngine) -> FromEngine | Run:
        """The part of an answer that may take time; it runs in a thread aside."""
        engine, model = self._engine, self._engine.model
        try:
            match message:
                case Generate():
                    return self._make_run(message)
                case Tokenize(text, add_special, parse_special):
                    ids = model.tokenize(text, add_special=add_special, parse_special=parse_special)
                    return Tokens(ids, engine.context_tokens_max)
                case Detokenize(ids):
                    _check_ids(ids, model.vocabulary_size)
                    return Text(model.detokenize(ids).decode("utf-8", "replace"))
                case _:
                    return engine.describe()
        except RequestError as error:
            return refusal(error)

    def _make_run(self, request: Generate) -> Run:
        engine, call = self._engine, request.call
        prompts = prepare(call, engine.model, engine.context_tokens_max)
        _check_replay(request, engine.model.vocabulary_size)
        seed = secrets.randbits(SEED_BITS) if call.seed is None else call.seed
        return Run(request, prompts, engine.shape, seed, time.monotonic())

    def _conclude(self, prepared: FromEngine | Run) -> FromEngine:
        """Queue a prepared call; whatever else is prepared is the answer already."""
        if not isinstance(prepared, Run):
            return prepared
        accepted = Accepted(
            [len(prompt.ids) for prompt in prepared.prompts],
            self._engine.fingerprint,
            prepared.seed,
        )
        refused = self._engine.start(prepared, self)
        if refused is not None:
            return refused
        self._run, self._busy = prepared, True
        return accepted

    def _send(self, message: FromEngine) -> None:
        if self._transport is not None:
            self._transport.write(frame(self._encoder, message))

    def abort(self) -> None:
        """Close without waiting for what is still to be sent."""
        if self._transport is not None:
            self._transport.abort()


def _is_short(message: ToEngine) -> bool:
    """Whether it may be prepared between two events of the loop."""
    match message:
        case Generate(call):
            size = sum(len(prompt) for prompt in call.prompts) + len(call.suffix or "")
        case Tokenize(text):
            size = len(text)
        case Detokenize(ids):
            size = len(ids)
        case _:
            size = 0
    return size <= INLINE_CHARACTERS_MAX


def _check_ids(ids: list[int], vocabulary_size: int) -> None:
    if ids and not 0 <= min(ids) <= max(ids) < vocabulary_size:
        raise invalid(f"Token ids of this model lie in [0, {vocabulary_size - 1}].", "tokens")


def _check_replay(request: Generate, vocabulary_size: int) -> None:
    """A replay comes from a relay, never from a caller; yet it must not break the engine."""
    call, choices = request.call, len(request.call.prompts) * request.call.n
    lists = (request.replay, request.echoed)
    if any(given is not None and len(given) != choices for given in lists):
        raise invalid("A replay needs one entry for each choice.")
    if any(len(ids) > call.max_tokens for ids in request.replay or ()):
        raise invalid("A replay has more ids than the call may generate.")
    for ids in request.replay or ():
        _check_ids(ids, vocabulary_size)
