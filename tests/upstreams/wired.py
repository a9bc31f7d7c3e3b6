"""A connection between a socket and a pool that only note what is done to them."""

import asyncio

from baton.http.usual import UsualAnswers
from baton.upstreams.connection import READ_BYTES, Connection
from baton.upstreams.endpoint import TransportLimits


class Socket(asyncio.Transport):
    """The transport's side of a connection, noting what is done to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.done: list[str] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def abort(self) -> None:
        self.done.append("abort")

    def close(self) -> None:
        self.done.append("close")

    def is_closing(self) -> bool:
        return bool({"abort", "close"} & set(self.done))

    def pause_reading(self) -> None:
        self.done.append("pause")

    def resume_reading(self) -> None:
        self.done.append("resume")


class Owner:
    """A pool of one."""

    def __init__(self) -> None:
        self.limits, self.tick, self.usual = TransportLimits(), 0, UsualAnswers()
        self.told: list[str] = []

    def released(self, connection: Connection) -> None:
        self.told.append("released")

    def closed(self, connection: Connection) -> None:
        self.told.append("closed")


class Bench:
    """A connection between a noting socket and a noting pool."""

    def __init__(self) -> None:
        self.owner, self.socket = Owner(), Socket()
        self.view = memoryview(bytearray(READ_BYTES))
        self.connection = Connection(self.owner, self.view, asyncio.get_running_loop())
        self.connection.connection_made(self.socket)

    def receive(self, data: bytes) -> None:
        for start in range(0, len(data), READ_BYTES):
            part = data[start : start + READ_BYTES]
            self.connection.get_buffer(-1)[: len(part)] = part
            self.connection.buffer_updated(len(part))
