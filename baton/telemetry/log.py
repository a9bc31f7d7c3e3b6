"""The access log: one line a request. It never holds prompt or completion text, a key, or a query
string. What else Baton says goes through diary.py.

It costs the loop one append a request: lines are kept as Structs and encoded, many at
once, when `BUFFER_LINES` have come together or `FLUSH_S` has passed; a thread writes them, so that
a slow disk or pipe stalls nobody. It is bounded: while nothing can be written, the oldest lines
give way and are counted.
"""

import asyncio
import contextlib
import os
import threading
import time
from collections import deque
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from baton.telemetry import diary

BUFFER_LINES = 512
FLUSH_S = 0.5
WAITING_LINES_MAX = 16_384
PIPE_BYTES_MAX = 4_096
"""Writes up to this size stay whole in a pipe that several processes write to (PIPE_BUF)."""


class AccessLine(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One answered (or refused, or abandoned) request. Times in milliseconds, money in nano-USD."""

    time: datetime
    """When the answer ended, UTC."""
    request_id: str
    status: int
    """What the client got; 0: it left before."""
    total_ms: float
    method: str = "POST"
    path: str = "/v1/completions"
    """Without the query."""
    key: str = ""
    """The key's id, never the key."""
    model: str = ""
    upstream: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    charge_nano: int = 0
    queue_ms: float | None = None
    """How long it waited for its upstream, where it had to."""
    first_byte_ms: float | None = None
    fills: str = ""
    handoffs: int = 0
    error: str | None = None
    """The error's code."""

    @property
    def line(self) -> "AccessLine":
        """Itself: what waits in the log may become a line only when it is written."""
        return self


class Telling(Protocol):
    """What becomes a line when lines are written, many at once."""

    @property
    def status(self) -> int: ...

    @property
    def line(self) -> AccessLine: ...


def now() -> datetime:
    """For `AccessLine.time`: the clock is the shell's, lines are data."""
    return datetime.fromtimestamp(time.time(), UTC)


class AccessLog:
    """Owns the file. `append` from the loop; `start` there too, and `stop` when it ends.

    `target` is the setting `access_log`: a path, "-" for standard output, "" for only what failed
    on our side (status 500 and above, on standard error). A file that was moved away (logrotate) is
    opened anew.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self.lost = 0
        """Lines that gave way since the start."""
        self._status_min = 0 if target else 500
        self._lines: deque[Telling] = deque(maxlen=WAITING_LINES_MAX)
        self._encoder = msgspec.json.Encoder()
        self._file = -1
        self._writing = threading.Lock()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def append(self, line: Telling) -> None:
        if line.status < self._status_min:
            return
        lines = self._lines
        if len(lines) == WAITING_LINES_MAX:
            self.lost += 1
        lines.append(line)
        if len(lines) == BUFFER_LINES:
            self._wake.set()

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name="access log")

    async def stop(self) -> None:
        """Write what waits, then close."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.flush()
        if self._file > 2:
            os.close(self._file)
        self._file = -1

    def flush(self) -> None:
        """Write what waits now, on this thread. An error of the disk loses the lines, never
        more.
        """
        with self._writing:
            lines = [self._lines.popleft() for _ in range(len(self._lines))]
            try:
                self._write(self._encoder.encode_lines([waiting.line for waiting in lines]))
            except OSError as error:
                self.lost += len(lines)
                diary.warning("access log not written", error=str(error))

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), FLUSH_S)
            self._wake.clear()
            if self._lines:
                with diary.outliving("writing the access log"):
                    await asyncio.shield(asyncio.to_thread(self.flush))

    def _write(self, body: bytes) -> None:
        if not body:
            return
        file = self._open()
        for part in parts(body) if self.target in ("", "-") else (body,):
            while part:
                part = part[os.write(file, part) :]

    def _open(self) -> int:
        if self.target in ("", "-"):
            return 1 if self.target else 2
        if self._file > 2 and not moved(self._file, self.target):
            return self._file
        if self._file > 2:
            os.close(self._file)
        self._file = os.open(self.target, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        return self._file


def moved(file: int, path: str) -> bool:
    """Whether the path no longer names the open file."""
    try:
        return not os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return True


def parts(body: bytes) -> list[bytes]:
    """Whole lines, in pieces of at most PIPE_BYTES_MAX where the lines allow it."""
    pieces: list[bytes] = []
    piece = b""
    for line in body.splitlines(keepends=True):
        if piece and len(piece) + len(line) > PIPE_BYTES_MAX:
            pieces.append(piece)
            piece = b""
        piece += line
    return [*pieces, piece] if piece else pieces
