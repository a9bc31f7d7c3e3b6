"""A TCP proxy that breaks what passes through it, to the byte.

    async with FaultProxy(port) as proxy:          # in front of a server on 127.0.0.1
        proxy.arm(Trouble("rst", after_bytes=400)) # of the next answer; then all is well again
    python -m tests.faults.fault_proxy --target 8000 --seed 7 --rate 0.1   # a process of its own

Bytes are counted on their way to the client, from the moment of arming. A request is never touched.
The same seed breaks the same answers in the same way.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import random
import socket
import struct
from types import TracebackType
from typing import Literal, Self

Kind = Literal["fin", "rst", "stall", "half_open", "corrupt", "slow", "late"]
KINDS: tuple[Kind, ...] = ("fin", "rst", "stall", "half_open", "corrupt", "slow", "late")
READ_BYTES = 64 * 1024
NOISE = 0xFF
"""No byte of UTF-8, nor of HTTP."""


@dataclasses.dataclass(frozen=True)
class Trouble:
    """What happens to one answer, once so many bytes of it have passed.

    `fin` and `rst` end the connection; `stall` says nothing more; `half_open` likewise, while the
    server is gone already; `corrupt` turns the next opening brace into noise, so that a frame is no
    JSON any more; `slow` goes on at a bandwidth; `late` waits once."""

    kind: Kind
    after_bytes: int = 0
    bytes_per_s: float = 20_000.0
    latency_s: float = 0.05


def trouble_of(dice: random.Random, bytes_max: int) -> Trouble:
    """Some trouble somewhere in an answer of so many bytes."""
    return Trouble(dice.choice(KINDS), dice.randrange(bytes_max))


class FaultProxy:
    """Listens on `port`, forwards to `target` on 127.0.0.1. One trouble at a time, used once."""

    def __init__(self, target: int, port: int = 0) -> None:
        self.target, self.port = target, port
        self.hits = 0
        """Answers that were broken."""
        self._armed: Trouble | None = None
        self._passed = 0
        self._sides: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def arm(self, trouble: Trouble | None) -> None:
        """For the bytes that pass from now on; None: nothing more goes wrong."""
        self._armed, self._passed = trouble, 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for side in self._sides:
            side.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._sides.add(writer)
        with contextlib.suppress(OSError):
            there = await asyncio.open_connection("127.0.0.1", self.target)
            self._sides.add(there[1])
            with contextlib.suppress(asyncio.CancelledError):
                await self._both(reader, writer, *there)
            there[1].transport.abort()
            self._sides.discard(there[1])
        writer.transport.abort()
        self._sides.discard(writer)
        self._tasks.discard(task)

    async def _both(
        self,
        client: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
    ) -> None:
        """Until one side has ended."""
        loop = asyncio.get_running_loop()
        ways = [
            loop.create_task(_copy(client, to_server)),
            loop.create_task(self._answer(server, to_client, to_server)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _answer(
        self,
        server: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        to_server: asyncio.StreamWriter,
    ) -> None:
        """The server's bytes, up to where trouble begins and as it goes on."""
        while data := await server.read(READ_BYTES):
            trouble, before = self._armed, self._passed
            self._passed += len(data)
            if trouble is None or self._passed <= trouble.after_bytes:
                to_client.write(data)
                await to_client.drain()
                continue
            self._armed = None
            self.hits += 1
            at = trouble.after_bytes - before
            to_client.write(data[:at])
            await to_client.drain()
            if not await self._befall(trouble, data[at:], to_client, to_server):
                return

    async def _befall(
        self,
        trouble: Trouble,
        data: bytes,
        to_client: asyncio.StreamWriter,
        to_server: asyncio.StreamWriter,
    ) -> bool:
        """Whether the connection goes on after it. `data` is what comes next."""
        match trouble.kind:
            case "fin":
                to_client.close()
                await to_client.wait_closed()
                return False
            case "rst":
                sock = to_client.transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                to_client.transport.abort()
                return False
            case "stall" | "half_open":
                if trouble.kind == "half_open":
                    to_server.transport.abort()
                await asyncio.get_running_loop().create_future()
            case "corrupt":
                to_client.write(data.replace(b"{", bytes([NOISE]), 1))
            case "late":
                await asyncio.sleep(trouble.latency_s)
                to_client.write(data)
            case "slow":
                step = max(1, int(trouble.bytes_per_s / 100))
                for start in range(0, len(data), step):
                    to_client.write(data[start : start + step])
                    await asyncio.sleep(0.01)
        await to_client.drain()
        return True


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(READ_BYTES):
        writer.write(data)
        await writer.drain()


async def serve(target: int, seed: int, rate: float, bytes_max: int) -> None:
    """For ever: each second some trouble with the given chance."""
    dice = random.Random(seed)
    async with FaultProxy(target) as proxy:
        print(proxy.url, flush=True)
        while True:
            await asyncio.sleep(1.0)
            proxy.arm(trouble_of(dice, bytes_max) if dice.random() < rate else None)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--target", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=0.1)
    parser.add_argument("--bytes-max", type=int, default=10_000)
    given = parser.parse_args()
    asyncio.run(serve(given.target, given.seed, given.rate, given.bytes_max))
