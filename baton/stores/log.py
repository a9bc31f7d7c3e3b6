"""A log that outlives crashes: payloads are appended one at a time, each durable when it is taken.

Theory of operation. The log is a folder of segments (stores/segments.py), each a file of blocks
that were written with zeros and synced before the first frame goes in, so that an append changes
neither the file's size nor its map of blocks: nothing but the data has to reach the disk. Where the
file system takes it, blocks go there past the page cache and are durable when the one call returns
(O_DIRECT with O_DSYNC), else through it (O_DSYNC; macOS needs F_FULLFSYNC). Measured here, p50 of
one append: 0.29 ms so; 0.34 by fdatasync; 0.43 into a growing file; SQLite's commit 0.53.

The next segment is prepared by a thread of its own from when the present one is half full. Segments
that nobody needs any more are used again for that: their blocks are written already. Small logs
have small segments: each is twice as large as the one before, up to `SEGMENT_BYTES_MAX`.

One frame is one write. When a write fails, what is on the disk is not known: its first block is
overwritten with zeros where that can be done, and the next frame goes to the same place. The next
frame is written only once this one is durable; therefore a broken frame with a whole one behind it
is damage and not a crash.

One thread appends and prunes; `durable`, `ends` and `begun` may be read by another one at any time.
"""

import collections
import contextlib
import errno
import fcntl
import mmap
import os
import pathlib
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from baton.stores import framing, segments
from baton.stores.base import StoreUnavailable
from baton.stores.folders import sync_folder
from baton.stores.framing import BLOCK_BYTES, HEADER_BYTES, Life
from baton.stores.segments import Head, Part

SEGMENT_BYTES_MIN = 256 * 1024
SEGMENT_BYTES_MAX = 4 * 1024 * 1024
"""A busy worker fills it in about a second."""
SPARES_MAX = 2
"""So many are kept to be used again."""
PIECE_BYTES = 64 * 1024
"""Written at once where a segment is made: a larger buffer leaves a hole in the heap (0044)."""
UNFINISHED, SPARE = ".new", ".spare"
DIRECT = getattr(os, "O_DIRECT", 0)
FULL_SYNC: int | None = getattr(fcntl, "F_FULLFSYNC", None)
ZEROS = bytes(BLOCK_BYTES)

_packed = msgspec.msgpack.Encoder().encode


class Begun(NamedTuple):
    """A segment that holds frames."""

    number: int
    path: pathlib.Path
    passed: int
    """Of its head."""


Carry = Callable[[], tuple[int, bytes]]
"""For a new segment's head: the mark, and what is still open."""


class Log:
    """The one writer of a log. Methods raise StoreUnavailable when the disk does not take it."""

    def __init__(self, folder: pathlib.Path) -> None:
        """Raises Damaged too."""
        self.folder = folder
        with _mapped(), contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            sync_folder(folder.parent)
        found = segments.begun(folder)
        self.identity = found[-1].head.identity if found else secrets.token_hex(8)
        self.begun: list[Begun] = []
        self.ends: dict[int, int] = {}
        """Where segments end that are full."""
        self.durable = (0, 0)
        """The segment that is written, and up to where it is."""
        self._file: _File | None = None
        self._frames = 0
        self._next: _File | None = None
        self._preparing: threading.Thread | None = None
        self._spare: collections.deque[pathlib.Path] = collections.deque()

    def resume(self, parts: Sequence[Part]) -> None:
        """Go on behind what `segments.read` found."""
        with _mapped():
            if parts:
                segment, payloads, end = parts[-1]
                self._file = _File(segment.path, segment.life, end)
                self._file.sync()  # nothing may come after what a crash left unsynced
                self._frames = 1 + len(payloads)
                self.durable = (segment.life.number, end)
            for each, _, end in parts:
                self.begun.append(Begun(each.life.number, each.path, each.head.passed))
                self.ends[each.life.number] = end
            self._clear({each.number for each in self.begun})

    def append(self, payload: bytes, carry: Carry) -> None:
        """Durable when it returns."""
        try:
            file, length = self._file, framing.framed_bytes(len(payload))
            if file is None or file.room < length:
                file = self._rotate(len(payload), carry)
            file.append(payload, length)
        except OSError as error:
            raise _unwritten(error) from error
        self._frames += 1
        self.durable = (file.life.number, file.offset)
        if self._preparing is None and self._next is None and file.room < file.size // 2:
            self._prepare_soon(file)

    def prune(self, mark: int) -> None:
        """Give up the segments that nobody needs once all up to the mark is dealt with."""
        with _mapped():
            while len(self.begun) > 1 and self.begun[1].passed <= mark:
                unneeded = self.begun.pop(0)
                self.ends.pop(unneeded.number, None)
                self._give_up(unneeded.path)

    def close(self) -> None:
        if self._preparing is not None:
            self._preparing.join()
        for file in (self._file, self._next):
            if file is not None:
                file.close()

    # Segments

    def _rotate(self, length: int, carry: Carry) -> "_File":
        """Begin the next segment: its head is durable before anything else goes in."""
        before, number = self._file, self.durable[0] + 1
        passed, carried = carry()
        previous = before.life.number if before is not None else 0
        head = Head(self.identity, previous, self._frames, passed, msgspec.Raw(carried))
        packed = _packed(head)
        file = self._prepared(
            number, framing.framed_bytes(len(packed)) + framing.framed_bytes(length)
        )
        file.append(packed, framing.framed_bytes(len(packed)))
        if before is not None:
            self.ends[before.life.number] = before.offset
            before.close()
        self.begun.append(Begun(number, file.path, passed))
        self._file, self._next, self._frames = file, None, 1
        self.durable = (number, file.offset)
        return file

    def _prepared(self, number: int, needed: int) -> "_File":
        """The next segment: prepared, or else made now."""
        if self._preparing is not None:
            self._preparing.join()
            self._preparing = None
        if self._next is not None and self._next.size < needed:
            self._next.close()
            self._next = None
        if self._next is None:
            self._next = self._prepare(number, max(needed, self._wanted(self._file)))
        return self._next

    def _prepare_soon(self, file: "_File") -> None:
        number, size = file.life.number + 1, self._wanted(file)

        def prepare() -> None:
            with contextlib.suppress(OSError):  # who needs it tries again, and tells
                self._next = self._prepare(number, size)

        self._preparing = threading.Thread(target=prepare, name="segment", daemon=True)
        self._preparing.start()

    def _prepare(self, number: int, size: int) -> "_File":
        path = segments.path_of(self.folder, number)
        if not _large_enough(path, size):
            spare = self._spare.popleft() if self._spare else None
            if spare is not None and _large_enough(spare, size):
                spare.rename(path)
            else:
                if spare is not None:
                    spare.unlink(missing_ok=True)
                _fill(path, size)
            sync_folder(self.folder)
        return _File(path, Life(number, secrets.randbits(64)), 0)

    @staticmethod
    def _wanted(before: "_File | None") -> int:
        grown = 2 * before.size if before is not None else 0
        return max(SEGMENT_BYTES_MIN, min(SEGMENT_BYTES_MAX, grown))

    def _give_up(self, path: pathlib.Path) -> None:
        if len(self._spare) == SPARES_MAX or path.stat().st_size < SEGMENT_BYTES_MAX:
            path.unlink()
        else:
            self._spare.append(path.rename(path.with_suffix(SPARE)))

    def _clear(self, needed: set[int]) -> None:
        """Segments before those needed are of no use; the one after may be prepared already."""
        for suffix in (UNFINISHED, SPARE):
            for path in self.folder.glob(f"*{suffix}"):
                path.unlink()
        for number in segments.numbers(self.folder):
            if number not in needed and number != self.durable[0] + 1:
                self._give_up(segments.path_of(self.folder, number))


class _File:
    """A segment that is open for writing."""

    def __init__(self, path: pathlib.Path, life: Life, offset: int) -> None:
        self.path, self.life, self.offset = path, life, offset
        """`offset`: where the next frame goes."""
        self._direct = bool(DIRECT)
        self._descriptor = self._open()
        self.size = os.fstat(self._descriptor).st_size // BLOCK_BYTES * BLOCK_BYTES
        self._buffer = _aligned(16 * BLOCK_BYTES)

    @property
    def room(self) -> int:
        return self.size - self.offset

    def append(self, payload: bytes, length: int) -> None:
        """Write one frame, of that length. Raises OSError; the frame is then not there, as far as
        is known."""
        if length > len(self._buffer):
            self._buffer = _aligned(2 * length)
        buffer, end = self._buffer, HEADER_BYTES + len(payload)
        buffer[:HEADER_BYTES] = framing.header(self.life, self.offset, payload)
        buffer[HEADER_BYTES:end] = payload
        buffer[end:length] = ZEROS[: length - end]
        try:
            self._write(length)
        except OSError:
            self._wipe()
            raise
        self.offset += length

    def sync(self) -> None:
        os.fsync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)

    def _write(self, length: int) -> None:
        frame = self._buffer[:length]
        try:
            written = os.pwrite(self._descriptor, frame, self.offset)
        except OSError as error:
            if error.errno != errno.EINVAL or not self._direct:
                raise
            self._direct = False  # it took the flag, but not the write
            os.close(self._descriptor)
            self._descriptor = self._open()
            written = os.pwrite(self._descriptor, frame, self.offset)
        if written != length:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if FULL_SYNC is not None:
            fcntl.fcntl(self._descriptor, FULL_SYNC)

    def _wipe(self) -> None:
        """What failed may be there all the same: it must not be found after a crash."""
        self._buffer[:BLOCK_BYTES] = ZEROS
        with contextlib.suppress(OSError):
            self._write(BLOCK_BYTES)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_DSYNC
        if self._direct:
            try:
                return os.open(self.path, flags | DIRECT)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                self._direct = False
        return os.open(self.path, flags)


def _aligned(length: int) -> memoryview:
    """Memory that begins at the border of a page, as direct writes need it."""
    return memoryview(mmap.mmap(-1, length))


def _large_enough(path: pathlib.Path, size: int) -> bool:
    try:
        return path.stat().st_size >= size
    except FileNotFoundError:
        return False


def _fill(path: pathlib.Path, size: int) -> None:
    """Make a file of zeros. It has its name only once it is whole; without room for it, it is not
    there."""
    unfinished = path.with_suffix(UNFINISHED)
    descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, size)  # too little room is noticed before any write
        zeros = bytes(min(size, PIECE_BYTES))
        written = 0
        while written < size:
            written += os.pwrite(descriptor, zeros[: size - written], written)
        os.fsync(descriptor)
        unfinished.rename(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _mapped() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unwritten(error) from error


def _unwritten(error: OSError) -> StoreUnavailable:
    return StoreUnavailable(f"the journal cannot be written: {error}")
