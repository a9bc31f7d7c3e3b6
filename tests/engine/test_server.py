"""The socket's protocol on a real server in this process, over the tiny model."""

import asyncio
import contextlib
import pathlib
import socket
import statistics
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import msgspec
import uvloop

from baton.engine.choice import Vocabulary
from baton.engine.frames import FrameReader
from baton.engine.llama import Context, Model
from baton.engine.runs import Shape
from baton.engine.scheduler import Bounds, Scheduler
from baton.engine.server import WRITE_BUFFER_BYTES_MAX, Engine
from baton.engine.wire import (
    HEADER,
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
from tests.engine.rig import call, wait_until

DEADLINE_S = 20.0


class Caller:
    """A client that speaks frames and nothing more."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._frames, self._arrived = FrameReader(), list[bytes]()

    def send(self, *messages: ToEngine) -> None:
        encoder = msgspec.msgpack.Encoder()
        for message in messages:
            self.writer.write(frame(encoder, message))

    async def receive(self) -> FromEngine | None:
        """The next message; None when the engine closed the connection."""
        async with asyncio.timeout(DEADLINE_S):
            while not self._arrived:
                data = await self.reader.read(65536)
                if not data:
                    return None
                self._arrived += self._frames.feed(data)
        found: FromEngine = msgspec.msgpack.decode(self._arrived.pop(0), type=FromEngine)
        return found

    async def ask(self, message: ToEngine) -> FromEngine | None:
        self.send(message)
        return await self.receive()

    async def whole(self) -> tuple[list[FromEngine], FromEngine | None]:
        """Messages up to the last one of a call."""
        found: list[FromEngine] = []
        while isinstance(message := await self.receive(), Accepted | Deltas):
            found.append(message)
        return found, message


class Served:
    """A server on the tiny model, and its scheduler."""

    def __init__(self, model: Model, path: str) -> None:
        self.path, self.model, self.callers = path, model, list[Caller]()
        self.context = Context(model, 4, 512, threads=1)
        self.scheduler = Scheduler(model, self.context, Bounds(64, 0.1), self._deliver)
        shape = Shape(Vocabulary(model.piece, model.ends), model.ends, True, False)
        self.engine = Engine(model, self.scheduler, shape, self._describe)
        self.loop = asyncio.get_running_loop()

    def _deliver(self, post: Any) -> None:
        self.loop.call_soon_threadsafe(self.engine.deliver, post)

    def _describe(self) -> Description:
        return Description(
            fingerprint="fp_0",
            architecture="llama",
            vocabulary_size=self.model.vocabulary_size,
            context_tokens_max=512,
            sequences_max=4,
            threads=1,
            eos_token=None,
            bos_token=None,
            fim=True,
            running=self.scheduler.running,
        )

    async def connect(self) -> Caller:
        caller = Caller(*await asyncio.open_unix_connection(self.path))
        self.callers.append(caller)
        return caller

    def endless(self, **fields: Any) -> Generate:
        """A call that runs to max_tokens."""
        ban = {token: -100.0 for token in self.model.ends}
        return Generate(call("abc", logit_bias=ban, **{"max_tokens": 400, **fields}))

    async def until(self, condition: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
        await asyncio.to_thread(wait_until, condition, deadline_s)


@contextlib.asynccontextmanager
async def serving(model: Model, path: pathlib.Path) -> AsyncIterator[Served]:
    served = Served(model, str(path / "e.sock"))
    thread = threading.Thread(target=served.scheduler.run_forever)
    thread.start()
    server = await served.loop.create_unix_server(served.engine.connection, served.path)
    try:
        yield served
    finally:
        for caller in served.callers:
            caller.writer.close()
        server.close()
        served.scheduler.stop()
        await asyncio.to_thread(thread.join)
        served.engine.close()
        served.context.close()


def run(
    model: Model, path: pathlib.Path, test: Callable[[Served], Coroutine[None, None, None]]
) -> None:
    async def inside() -> None:
        async with serving(model, path) as served:
            await test(served)

    uvloop.run(inside())


def test_a_call_from_acceptance_to_usage(tiny: Model, tmp_path: pathlib.Path) -> None:
    """Accepted with the prompts' lengths and the seed, deltas, and the usage at the end."""

    async def test(served: Served) -> None:
        caller = await served.connect()
        caller.send(Generate(call("abc", "de", max_tokens=3, seed=77)))
        messages, end = await caller.whole()
        accepted = messages[0]
        assert isinstance(accepted, Accepted)
        lengths = [len(tiny.tokenize(text)) for text in ("abc", "de")]
        assert (lengths, "fp_0", 77) == (
            accepted.prompt_tokens,
            accepted.fingerprint,
            accepted.seed,
        )
        assert isinstance(end, Finished)
        assert sum(lengths) == end.usage.prompt_tokens
        assert {0, 1} == {
            delta.index for m in messages[1:] if isinstance(m, Deltas) for delta in m.deltas
        }
        again = await caller.ask(Describe())
        assert isinstance(again, Description), "the connection is free for the next request"

    run(tiny, tmp_path, test)


def test_a_seed_is_drawn_for_calls_without(tiny: Model, tmp_path: pathlib.Path) -> None:
    """Told with the acceptance, so that a replay can ask for it; another one each time."""

    async def test(served: Served) -> None:
        caller, seeds = await served.connect(), set()
        for _ in range(3):
            caller.send(Generate(call("abc", max_tokens=1)))
            (accepted, *_), _ = await caller.whole()
            assert isinstance(accepted, Accepted)
            seeds.add(accepted.seed)
        assert 3 == len(seeds)

    run(tiny, tmp_path, test)


def test_answers_without_a_call(tiny: Model, tmp_path: pathlib.Path) -> None:
    """Tokenize, detokenize, describe; long texts too, and refusals for ids that do not exist."""

    async def test(served: Served) -> None:
        caller = await served.connect()
        assert Tokens(tiny.tokenize("hello"), 512) == await caller.ask(Tokenize("hello"))
        long = "hello the " * 5000
        assert Tokens(tiny.tokenize(long), 512) == await caller.ask(Tokenize(long))
        bare = tiny.tokenize("<|end|>", add_special=False, parse_special=False)
        assert Tokens(bare, 512) == await caller.ask(Tokenize("<|end|>", False, False))
        assert Text("hi") == await caller.ask(Detokenize([104, 105]))
        refused = await caller.ask(Detokenize([10_000]))
        assert isinstance(refused, Refused)
        assert 400 == refused.status

    run(tiny, tmp_path, test)


def test_a_refused_call_leaves_the_connection(tiny: Model, tmp_path: pathlib.Path) -> None:
    """What cannot run is refused with the caller's fields; also a replay that makes no sense."""

    async def test(served: Served) -> None:
        caller = await served.connect()
        refused = await caller.ask(Generate(call("a" * 600)))
        assert isinstance(refused, Refused)
        assert (400, "context_length_exceeded", "prompt") == (
            refused.status,
            refused.code,
            refused.param,
        )
        for replay in ([], [[1], [2]], [[9999]], [[1] * 9]):
            refused = await caller.ask(Generate(call("a", max_tokens=8), replay=replay))
            assert isinstance(refused, Refused)
        assert isinstance(await caller.ask(Describe()), Description)

    run(tiny, tmp_path, test)


def test_closing_cancels(tiny: Model, tmp_path: pathlib.Path) -> None:
    """No step is started for the call 50 ms after its connection closed, in the middle one of three
    times: a machine that stands still for a moment cannot see it."""

    async def test(served: Served) -> None:
        took_s = []
        for _ in range(3):
            caller = await served.connect()
            caller.send(served.endless(n=4))
            assert isinstance(await caller.receive(), Accepted)
            await caller.receive()
            began = time.monotonic()
            caller.writer.transport.abort()
            await served.until(lambda: served.scheduler.running == 0)
            took_s.append(time.monotonic() - began)
        assert statistics.median(took_s) < 0.05

    run(tiny, tmp_path, test)


def test_a_slow_reader_pauses_its_call_only(tiny: Model, tmp_path: pathlib.Path) -> None:
    """Beyond the buffer its sequences stand still; others run; it goes on when it reads."""

    async def test(served: Served) -> None:
        slow = socket.socket(socket.AF_UNIX)
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(served.path)
        encoder = msgspec.msgpack.Encoder()
        slow.sendall(frame(encoder, served.endless(n=3, logprobs=40, max_tokens=450)))
        counters = served.scheduler.counters

        async def stands_still() -> bool:
            before = counters.generated_tokens
            await asyncio.sleep(0.1)
            return before > 0 and before == counters.generated_tokens

        async with asyncio.timeout(DEADLINE_S):
            while not await stands_still():
                pass
        assert 3 == served.scheduler.running
        assert counters.generated_tokens < 3 * 450
        caller = await served.connect()
        caller.send(Generate(call("other", n=2, max_tokens=1)))
        _, end = await caller.whole()
        assert isinstance(end, Finished)
        slow.setblocking(False)
        received = 0
        reader, last = FrameReader(), b""
        async with asyncio.timeout(DEADLINE_S):
            while b"finished" not in last[:20]:
                data = await served.loop.sock_recv(slow, 1 << 20)
                received += len(data)
                last = next(reversed(list(reader.feed(data))), last)
        slow.close()
        assert received > WRITE_BUFFER_BYTES_MAX

    run(tiny, tmp_path, test)


def test_whatever_is_no_protocol_is_cut(tiny: Model, tmp_path: pathlib.Path) -> None:
    """Garbage, huge frames, and a second call on a busy connection; the engine goes on."""

    async def test(served: Served) -> None:
        for garbage in (HEADER.pack(3) + b"abc", b"\xff\xff\xff\xff", HEADER.pack(1) + b"\x80"):
            caller = await served.connect()
            caller.writer.write(garbage)
            assert None is await caller.receive()
        caller = await served.connect()
        caller.send(served.endless(), served.endless())
        _, end = await caller.whole()
        assert None is end
        await served.until(lambda: served.scheduler.running == 0)
        fresh = await served.connect()
        assert isinstance(await fresh.ask(Describe()), Description)

    run(tiny, tmp_path, test)


def test_texts_that_are_only_counted_do_not_stop_prompts(
    tiny: Model, tmp_path: pathlib.Path
) -> None:
    """Nobody pays for them, and nothing says how long they are: calls do not queue behind them."""

    async def test(served: Served) -> None:
        counting = [await served.connect() for _ in range(2)]
        asking = await served.connect()
        for each in counting:
            each.send(Tokenize("the " * 250_000, False, False))

        def busy() -> int:
            return sum(each._busy for each in served.engine.connected)

        await served.until(lambda: busy() == 2)
        refused = await asking.ask(Generate(call("the " * 2_000)))
        assert isinstance(refused, Refused)
        assert busy() > 0
        assert isinstance(await counting[-1].receive(), Tokens)

    run(tiny, tmp_path, test)


def test_a_long_prompt_does_not_stop_the_others(tiny: Model, tmp_path: pathlib.Path) -> None:
    """It is tokenised aside; leaving meanwhile is no error."""

    async def test(served: Served) -> None:
        leaving, staying = await served.connect(), await served.connect()
        leaving.send(Generate(call("the " * 200_000)))
        staying.send(Describe())
        assert isinstance(await staying.receive(), Description)
        leaving.writer.transport.abort()
        refused = await staying.ask(Generate(call("the " * 2_000)))
        assert isinstance(refused, Refused)
        assert 0 == served.scheduler.running

    run(tiny, tmp_path, test)
