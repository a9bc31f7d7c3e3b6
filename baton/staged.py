"""A worker's process in two steps: started, and told.

Its modules take longer to load than anything else at a start. So the first one is started before
all else, even before it is known where to listen, and loads while its supervisor loads too and
makes the rest ready: the data folder, keys, the model. Then it is told what it needs: its settings,
the listening sockets, and the pipe that it watches. They come over a socket that is its standard
input, so that secrets are in no argument list; where that ends without a word, because its
supervisor gave up or is gone, it ends.

Whoever starts one waits for what this file imports, so it is nothing but the standard library.
"""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from types import TracebackType

from baton.child import MODULE

PIECE_BYTES = 65_536
MEMORY = {"MALLOC_ARENA_MAX": "1"}
"""For glibc, unless the operator says otherwise: all threads take memory from one place. Those of a
worker hold the interpreter's lock while they do, and places of their own kept 3 MiB that the others
could not use (docs/decisions/0037)."""
UNUSABLE_EXIT = 3
"""Exit status of a worker that its settings keep from working, and of an engine whose model or
library cannot be used: starting it again does not help."""
NO_PROCESS = "the machine has no process left for a worker"
STANDARD = (0, 1, 2)
HANDED_MAX = 3
"""The pipe whose other end its supervisor alone holds, then the listening sockets."""


class Staged:
    """A worker that loads its modules and waits. As a context: ended, unless it was told."""

    def __init__(self, process: subprocess.Popen[bytes], told: socket.socket, ready: int) -> None:
        self.process, self._told = process, told
        self.ready_fd = ready
        """It says `ready` here; the caller's to close."""

    def tell(self, settings: bytes, watch_fd: int, listen_fds: Sequence[int]) -> None:
        """Now it serves. One that is gone already is noticed by its exit status."""
        with self._told, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            sent = socket.send_fds(self._told, [settings], [watch_fd, *listen_fds])
            self._told.sendall(settings[sent:])

    def drop(self) -> None:
        """It is not needed: nothing has begun in it."""
        self.process.kill()
        self._told.close()
        self.process.wait()
        os.close(self.ready_fd)

    def __enter__(self) -> "Staged":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._told.fileno() >= 0:
            self.drop()


def open_standard() -> None:
    """Make standard input, output and errors nothing where they are closed, as some that start
    services close them: else sockets get their numbers, and what is printed goes there. What the
    output's encoding has not is escaped there, as in errors, instead of ending with a traceback."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= STANDARD[-1]:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdin = sys.stdin or os.fdopen(STANDARD[0], closefd=False)
    sys.stdout = sys.stdout or os.fdopen(STANDARD[1], "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(STANDARD[2], "w", closefd=False)
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def start(index: int) -> Staged:
    """Start one. Raises OSError, and leaves nothing open, where the machine has no process left."""
    ours, theirs = socket.socketpair()
    ready_read, ready_write = os.pipe()
    try:
        process = subprocess.Popen(
            [*MODULE, "baton.worker", str(index), str(ready_write)],
            stdin=theirs.fileno(),
            pass_fds=(ready_write,),
            process_group=0,
            env={**MEMORY, **os.environ},
        )
    except OSError:
        ours.close()
        os.close(ready_read)
        raise
    finally:
        theirs.close()
        os.close(ready_write)
    return Staged(process, ours, ready_read)


def hear() -> tuple[bytes, list[int]] | None:
    """In the worker: its settings, and the descriptors that came with them; None: nobody wants it
    any more."""
    with socket.socket(fileno=os.dup(sys.stdin.fileno())) as told:
        piece, handed, _, _ = socket.recv_fds(told, PIECE_BYTES, HANDED_MAX)
        pieces = []
        while piece:
            pieces.append(piece)
            piece = told.recv(PIECE_BYTES)
    return (b"".join(pieces), handed) if handed else None
