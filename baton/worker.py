"""A relay worker: one process, one event loop, on the socket that the supervisor handed down.

Started as `python -m baton.worker INDEX LISTEN_FD,WATCH_FD,READY_FD` with its settings as JSON on
stdin. It writes `ready` to READY_FD when it accepts connections, and drains and ends on SIGTERM or
when WATCH_FD reports that the supervisor is gone.
"""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys

import msgspec
import uvicorn
import uvloop

from baton.app import Worker
from baton.config import Settings
from baton.http.connection import connection_class
from baton.http.shared import Shared, sweep
from baton.telemetry.log import configure

SEND_BUFFER_BYTES = 32 * 1024
"""In the kernel, for each client (accepted sockets have what the listener has). Left to itself it
takes megabytes for a client that does not read, and each of its bytes came from an upstream."""
ORPHAN_DRAIN_S = 8.0
"""How long streams may still run in a worker whose supervisor is gone."""
GC_ALLOCATIONS = 20_000
"""Objects allocated beyond those freed before the collector runs (Python's own default: 700)."""


async def run(settings: Settings, listen_fd: int, watch_fd: int, ready_fd: int) -> None:
    """Serve until told to stop; the drain ends after `drain_timeout_s` at the latest."""
    async with Worker(settings) as worker:
        shared = Shared(settings, worker.answer)
        server = uvicorn.Server(
            uvicorn.Config(
                worker.web,
                http=connection_class(shared),
                loop="none",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=max(1, round(settings.drain_timeout_s)),
                ssl_certfile=settings.tls_certificate_file or None,
                ssl_keyfile=settings.tls_key_file or None,
            )
        )
        loop = asyncio.get_running_loop()

        def stop() -> None:
            loop.remove_reader(watch_fd)  # its end stays readable: once is enough
            shared.draining = True
            worker.drain()
            server.should_exit = True

        def orphaned() -> None:
            """Nobody starts the engine again, or takes this worker's place on the socket: what has
            not ended soon waits in vain."""
            stop()
            loop.call_later(ORPHAN_DRAIN_S, cut)

        def cut() -> None:
            for task in list(server.server_state.tasks):
                task.cancel()

        worker.on_lost = stop
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        loop.add_reader(watch_fd, orphaned)
        sweeper = loop.create_task(sweep(shared, server.server_state))
        listener = socket.socket(fileno=listen_fd)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        with contextlib.suppress(BrokenPipeError):  # replaced already, or the supervisor is gone
            os.write(ready_fd, b"ready\n")
        os.close(ready_fd)
        try:
            await server._serve([listener])  # `serve` would take the signals for itself
        finally:
            sweeper.cancel()
            loop.remove_reader(watch_fd)


def main() -> None:
    """The process entry."""
    settings = msgspec.json.decode(sys.stdin.buffer.read(), type=Settings)
    listen_fd, watch_fd, ready_fd = map(int, sys.argv[2].split(","))
    configure(settings.log_level)
    # What is loaded by now lives as long as the process: the collector need not look at it again,
    # and what a request allocates is freed by counting, so it seldom needs to look at all.
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, 20, 50)
    uvloop.run(run(settings, listen_fd, watch_fd, ready_fd))


if __name__ == "__main__":
    main()
