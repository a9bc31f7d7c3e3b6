"""A log: durable appends, segments that are prepared, given up and used again, and full disks."""

import contextlib
import errno
import os
import pathlib
import resource
import signal
import tracemalloc
from collections.abc import Iterator

import pytest

from baton.stores import log as logs
from baton.stores import segments
from baton.stores.base import StoreUnavailable
from baton.stores.framing import BLOCK_BYTES
from baton.stores.log import SEGMENT_BYTES_MIN, Log
from tests.dying import die

PAYLOAD = b"p" * 2 * BLOCK_BYTES
"""Takes three blocks."""
EVERYTHING = -1


class Writer:
    """Appends numbered payloads; nothing is open in between."""

    def __init__(self, folder: pathlib.Path, mark: int = EVERYTHING) -> None:
        self.log = Log(folder)
        self.log.resume(list(segments.read(folder, mark)))
        self.last = 0

    def append(self, payload: bytes = PAYLOAD) -> None:
        self.log.append(payload, lambda: (self.last, b"\xc0"))
        self.last += 1

    def fill(self, segments_wanted: int) -> None:
        while len(self.log.begun) < segments_wanted:
            self.append()


def payloads(folder: pathlib.Path, mark: int = EVERYTHING) -> list[bytes]:
    return [bytes(each) for part in segments.read(folder, mark) for each in part.payloads]


@contextlib.contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """No file may be written beyond that size: as on a full disk, every such write fails."""
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)


def test_what_is_appended_is_there(tmp_path: pathlib.Path) -> None:
    """In order, across segments, also for the next life, which goes on where the last one ended."""
    writer = Writer(tmp_path / "0")
    wanted = [bytes([n]) * (n * 3_000) for n in range(30)]
    for payload in wanted[:20]:
        writer.append(payload)
    identity = writer.log.identity
    die(writer.log)
    writer = Writer(tmp_path / "0")
    assert identity == writer.log.identity
    for payload in wanted[20:]:
        writer.append(payload)
    assert wanted == payloads(tmp_path / "0")
    assert len(writer.log.begun) > 1
    writer.log.close()


def test_a_segment_is_prepared_when_half_of_one_is_written(tmp_path: pathlib.Path) -> None:
    """It is whole before it has its name, twice as large, and no file grows by an append."""
    writer = Writer(tmp_path / "0")
    writer.append()
    assert ["1.log"] == [path.name for path in (tmp_path / "0").iterdir()]
    while writer.log._preparing is None:
        writer.append()
    writer.log._preparing.join()
    assert 2 * SEGMENT_BYTES_MIN == (tmp_path / "0" / "2.log").stat().st_size
    assert SEGMENT_BYTES_MIN == (tmp_path / "0" / "1.log").stat().st_size
    prepared = writer.log._next
    writer.fill(2)
    assert prepared is writer.log._file
    writer.log.close()


def test_a_payload_beyond_a_segment(tmp_path: pathlib.Path) -> None:
    """Gets a segment that it fits into."""
    writer = Writer(tmp_path / "0")
    writer.append(b"small")
    writer.append(b"x" * (SEGMENT_BYTES_MIN * 3))
    writer.append(b"small")
    assert [5, SEGMENT_BYTES_MIN * 3, 5] == [len(each) for each in payloads(tmp_path / "0")]
    writer.log.close()


def test_segments_are_given_up_and_used_again(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once all before a segment is dealt with, those before it go; the disk holds a few files
    however much is written, and what an earlier life of one left is nothing."""
    monkeypatch.setattr(logs, "SEGMENT_BYTES_MAX", SEGMENT_BYTES_MIN)
    folder = tmp_path / "0"
    writer, files, inodes = Writer(folder), 0, set()
    for _ in range(12):
        writer.fill(2)
        assert 2 == len(writer.log.begun)
        writer.log.prune(writer.last - 2)  # the mark is before the last one of the first segment
        assert 2 == len(writer.log.begun)
        writer.log.prune(writer.last)
        assert 1 == len(writer.log.begun)
        files = max(files, len(list(folder.iterdir())))
        inodes |= {path.stat().st_ino for path in folder.glob("*.log")}
        writer.append()
        assert [PAYLOAD] * 2 == payloads(folder)
    assert files <= 4
    assert len(inodes) < 12
    writer.log.close()


def test_the_next_life_clears_what_nobody_needs(tmp_path: pathlib.Path) -> None:
    """Segments behind the mark, one that was not finished, and one kept to be used again."""
    folder = tmp_path / "0"
    writer = Writer(folder)
    writer.fill(3)
    writer.log.close()
    (folder / "9.new").touch()
    (folder / "1.spare").touch()
    writer = Writer(folder, mark=writer.last)
    assert [3] == [each.number for each in writer.log.begun]
    left = {path.name for path in folder.iterdir()}
    assert {"3.log"} == left - {"4.log"}, "4.log may be prepared already"
    writer.log.close()


def test_a_failed_write_is_not_there(tmp_path: pathlib.Path) -> None:
    """Not now, not after a crash; the next one takes its place."""
    writer = Writer(tmp_path / "0")
    writer.append(b"before")
    end = writer.log.durable[1]
    for limit in (end, end + BLOCK_BYTES):  # nothing of it is written; a part is
        with files_up_to(limit), pytest.raises(StoreUnavailable):
            writer.append()
        assert [b"before"] == payloads(tmp_path / "0")
    again = Writer(tmp_path / "0")
    again.append(b"after")
    assert [b"before", b"after"] == payloads(tmp_path / "0")


def test_no_room_for_a_segment(tmp_path: pathlib.Path) -> None:
    """Appends fail while there is none, nothing half-made stays, and they go on afterwards."""
    writer = Writer(tmp_path / "0")
    with files_up_to(SEGMENT_BYTES_MIN):
        for _ in range(SEGMENT_BYTES_MIN // (3 * BLOCK_BYTES)):
            writer.append()
        with pytest.raises(StoreUnavailable):
            writer.append()
    assert ["1.log"] == [path.name for path in (tmp_path / "0").iterdir()]
    written = writer.last
    writer.append(b"after")
    assert [PAYLOAD] * written + [b"after"] == payloads(tmp_path / "0")
    writer.log.close()


@pytest.mark.parametrize("refused", ["open", "write"])
def test_a_file_system_without_direct_writes(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    """It says so when a file is opened, or only when it is written: then through the cache."""
    flags_of: dict[int, int] = {}
    really_open, really_write = os.open, os.pwrite

    def opened(path: pathlib.Path, flags: int, mode: int = 0o777) -> int:
        if refused == "open" and flags & logs.DIRECT:
            raise OSError(errno.EINVAL, "no direct writes")
        descriptor = really_open(path, flags, mode)
        flags_of[descriptor] = flags
        return descriptor

    def written(descriptor: int, data: bytes, offset: int) -> int:
        if flags_of[descriptor] & logs.DIRECT:
            raise OSError(errno.EINVAL, "no direct writes")
        return really_write(descriptor, data, offset)

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "pwrite", written)
    writer = Writer(tmp_path / "0")
    for _ in range(2):
        writer.append()
    assert [PAYLOAD] * 2 == payloads(tmp_path / "0")
    writer.log.close()


def test_places_that_do_not_do(tmp_path: pathlib.Path) -> None:
    """A foreign error is the store's."""
    with pytest.raises(StoreUnavailable):
        Log(tmp_path / "missing" / "0")
    (tmp_path / "file").touch()
    writer = Writer(tmp_path / "0")
    writer.log.folder = tmp_path / "file"
    with pytest.raises(StoreUnavailable):
        writer.append()


def test_making_a_segment_takes_little_memory(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However large it is: what is freed again leaves a hole in the heap."""
    monkeypatch.setattr(logs, "SEGMENT_BYTES_MIN", logs.SEGMENT_BYTES_MAX)
    writer = Writer(tmp_path / "0")
    tracemalloc.start()
    try:
        writer.append()
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()
    writer.log.close()
