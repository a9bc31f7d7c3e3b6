"""What a worker does once it has its settings: it serves on its event loop until told to stop.

Its process begins in worker.py.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Sequence

import msgspec
import uvicorn
import uvloop
from starlette.types import ASGIApp

from baton import files
from baton.app import Worker
from baton.config import Settings, SettingsError
from baton.http.connection import connection_class
from baton.http.shared import SEND_BUFFER_BYTES, Shared, sweep
from baton.stores.base import StoreUnavailable, Unsealable
from baton.telemetry import diary
from baton.telemetry.diary import configure

REPLACED_DRAIN_S = 86_400
"""How long streams may still run in a worker that another one has replaced: no request has longer,
and each has its own limits. Nobody waits for the end of it."""
CLOCK_S = 0.001
"""The loop counts whole milliseconds, and one of them has begun: what is added is never early."""
ORPHAN_DRAIN_S = 8.0
"""How long streams may still run in a worker whose supervisor is gone."""
ADMIN_CONNECTIONS_MAX = 128
"""To the listener of operators, of one worker: browsers have six each. They are beside those of
callers, so that a console opens where callers have taken all of theirs."""
FEW = 1_000
"""Callers of a worker that an operator expects to be served without a thought to files."""
TICK_S = 1.0
"""How often uvicorn renews its date header."""


class Server(uvicorn.Server):
    """uvicorn's, but that it is told to stop, and does not look ten times a second whether it is:
    that took a fourth of what a worker takes that has nothing to do."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Take no more connections, and end once what runs has."""
        self.should_exit = True
        self._stopping.set()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), TICK_S)


class Drain:
    """How a worker comes to its end: it takes nothing more, and what runs may end."""

    def __init__(
        self, worker: Worker, shared: Shared, servers: Sequence[Server], watch_fd: int
    ) -> None:
        self._worker, self._shared, self._servers = worker, shared, servers
        self._watch_fd, self._loop = watch_fd, asyncio.get_running_loop()

    def watch(self) -> None:
        """From now on it hears that it is told to stop, replaced (SIGUSR1), or alone."""
        self._worker.on_lost = self.stop
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self.stop)
        self._loop.add_signal_handler(signal.SIGUSR1, self.begin)
        self._loop.add_reader(self._watch_fd, self._orphaned)

    def begin(self) -> None:
        """Others serve in its place: what runs has all the time that it needs."""
        self._shared.draining = True
        self._worker.drain()
        for server in self._servers:
            server.stop()

    def stop(self) -> None:
        """Somebody waits for its end."""
        self.close()  # the watched end stays readable: once is enough
        self.begin()
        self._loop.call_later(self._shared.settings.drain_timeout_s + CLOCK_S, self._end)

    def close(self) -> None:
        self._loop.remove_reader(self._watch_fd)

    def _orphaned(self) -> None:
        """Nobody starts the engine again, or takes this worker's place on the socket: what has not
        ended soon waits in vain."""
        self.stop()
        self._loop.call_later(ORPHAN_DRAIN_S, self._cut)

    def _end(self) -> None:
        if running := len(self._tasks()):
            diary.error("the drain is over: cut", requests=running)
        self._cut()
        for server in self._servers:
            server.force_exit = True

    def _cut(self) -> None:
        for task in self._tasks():
            task.cancel()

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [task for server in self._servers for task in server.server_state.tasks]


async def run(settings: Settings, watch_fd: int, listen_fds: Sequence[int], ready_fd: int) -> None:
    """Serve until told to stop; then the drain ends after `drain_timeout_s` at the latest.

    The first socket is the callers', the second one, where there is one, that of operators."""
    async with Worker(settings) as worker:
        let_in = _let_in(settings)
        shared = Shared(let_in, worker.answer, worker.board, worker.room.books.metrics)
        shared.note = worker.note
        most = (let_in.connections_max, ADMIN_CONNECTIONS_MAX)
        listeners = [socket.socket(fileno=each) for each in listen_fds]
        servers = [
            Server(configured(settings, web, connection_class(shared, connections_max)))
            for web, connections_max, _ in zip(worker.web, most, listeners, strict=False)
        ]
        drain = Drain(worker, shared, servers, watch_fd)
        drain.watch()
        states = [server.server_state for server in servers]
        sweeper = asyncio.get_running_loop().create_task(sweep(shared, states))
        for listener in listeners:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        with contextlib.suppress(BrokenPipeError):  # replaced already, or the supervisor is gone
            os.write(ready_fd, b"ready\n")
        os.close(ready_fd)
        try:
            async with asyncio.TaskGroup() as serving:
                for server, listener in zip(servers, listeners, strict=True):
                    # `serve` would take the signals for itself.
                    serving.create_task(server._serve([listener]))
        finally:
            sweeper.cancel()
            drain.close()


def _let_in(settings: Settings) -> Settings:
    """With as many connections of callers as there are files for."""
    others = ADMIN_CONNECTIONS_MAX if settings.admin_listen else 0
    enough = max(1, files.enough_for(settings.connections_max + others) - others)
    if enough < min(settings.connections_max, FEW):
        diary.warning(
            "few connections: raise the limit of open files (ulimit -n)", connections=enough
        )
    return msgspec.structs.replace(settings, connections_max=enough)


def configured(
    settings: Settings, web: ASGIApp, connections: type[asyncio.Protocol]
) -> uvicorn.Config:
    """How a listener is served. Raises SettingsError for a certificate that cannot be used, before
    it says that it is ready."""
    if settings.tls_key_file and not settings.tls_certificate_file:
        raise SettingsError("BATON_TLS_KEY_FILE needs BATON_TLS_CERTIFICATE_FILE")
    config = uvicorn.Config(
        web,
        http=connections,
        loop="none",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=REPLACED_DRAIN_S,
        ssl_certfile=settings.tls_certificate_file or None,
        ssl_keyfile=settings.tls_key_file or None,
    )
    try:
        config.load()
    except OSError as error:
        both = "BATON_TLS_CERTIFICATE_FILE and BATON_TLS_KEY_FILE"
        raise SettingsError(f"{both} cannot be used: {error}") from None
    return config


def prepare(told: bytes) -> Settings:
    """The settings, as JSON brings them; from now on what is logged is logged as they say."""
    settings = msgspec.json.decode(told, type=Settings)
    configure(settings.log_level)
    return settings


def serve(settings: Settings, watch_fd: int, listen_fds: Sequence[int], ready_fd: int) -> bool:
    """As `run`, on an event loop of its own; False, and told, where the settings, or a master key
    that is not the book's, keep it from working."""
    try:
        uvloop.run(run(settings, watch_fd, listen_fds, ready_fd))
    except (SettingsError, Unsealable) as error:
        print(f"baton: {error}", file=sys.stderr, flush=True)
        return False
    except StoreUnavailable as error:
        diary.error("the worker cannot serve", reason=str(error))
        sys.exit(1)  # the supervisor starts another
    return True
