"""Several relay processes, one /metrics: each writes its numbers to a file, the one that is asked
adds them up.

Each process owns `metrics-PID.msgpack` in home/run: written once a second when a number changed,
and every `HEARTBEAT_S` anyway. A process that ends as it should says so in its file; whether any
other lives is told by the age of its file. Gauges of the dead are dropped, their counters still
count, and the next process to start adopts what is old and deletes the file. So sums never fall
when a worker is replaced (Prometheus would take a fall for a reset and count everything again), and
the folder never holds more than the living and the lately dead.
"""

import asyncio
import os
import pathlib
import time
from collections.abc import Iterator

import msgspec

from baton.telemetry import diary
from baton.telemetry.metrics import Metrics, Snapshot, merge

INTERVAL_S = 1.0
HEARTBEAT_S = 5.0
DEAD_AFTER_S = 15.0
FILE_BYTES_MAX = 16 * 1024 * 1024


class Publisher:
    """Owns this process's file. `start` in the loop, `stop` when it ends."""

    def __init__(self, metrics: Metrics, folder: pathlib.Path) -> None:
        self.metrics, self.folder = metrics, folder
        self.path = folder / f"metrics-{os.getpid()}.msgpack"
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(Snapshot)
        self._last = b""
        self._last_write_s = -HEARTBEAT_S
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Take over what ended processes left behind, and publish from now on."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._adopt()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="metrics")

    async def stop(self) -> None:
        """The last numbers are written: the process that comes after goes on from them."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self.publish(left=True)

    def publish(self, *, left: bool = False) -> bool:
        """Write the file if a number changed or the heartbeat is due; whether it was written.
        `left`: for the last time, as this process ends."""
        snapshot = self.metrics.snapshot()
        snapshot.left = left
        body = self._encoder.encode(snapshot)
        now = time.monotonic()
        if body == self._last and now - self._last_write_s < HEARTBEAT_S:
            return False
        write(self.path, body)
        self._last, self._last_write_s = body, now
        return True

    def merged(self) -> Snapshot:
        """The sum over all processes. This one's numbers are live, the others' at most seconds
        old.
        """
        return merge([self.metrics.snapshot(), *self._others()])

    async def _run(self) -> None:
        while True:
            with diary.outliving("publishing metrics"):
                try:
                    self.publish()
                except OSError as error:  # a full disk must not end the counting, nor the relay
                    diary.warning("metrics not published", path=str(self.path), error=str(error))
            await asyncio.sleep(INTERVAL_S)

    def _others(self) -> Iterator[Snapshot]:
        for path in sorted(self.folder.glob("metrics-*.msgpack")):
            if path == self.path or (snapshot := self._read(path)) is None:
                continue
            if snapshot.left or age_s(path) > DEAD_AFTER_S:
                snapshot.end()
            yield snapshot

    def _adopt(self) -> None:
        for path in sorted(self.folder.glob("metrics-*.msgpack")):
            if path != self.path and age_s(path) <= DEAD_AFTER_S:
                continue
            mine = self.folder / f"adopted-{os.getpid()}"
            try:
                path.rename(mine)  # atomic: of two that start together only one gets it
            except FileNotFoundError:
                continue
            if (snapshot := self._read(mine)) is not None:
                snapshot.end()
                self.metrics.adopt(snapshot)
            mine.unlink()

    def _read(self, path: pathlib.Path) -> Snapshot | None:
        """None when it is gone, or was written by another version of Baton."""
        try:
            with path.open("rb") as file:
                return self._decoder.decode(file.read(FILE_BYTES_MAX))
        except (FileNotFoundError, msgspec.DecodeError):
            return None


def write(path: pathlib.Path, body: bytes) -> None:
    """Replace the file in one step: a reader sees the old numbers or the new ones."""
    draft = path.with_suffix(".draft")
    draft.write_bytes(body)
    draft.replace(path)


def age_s(path: pathlib.Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
