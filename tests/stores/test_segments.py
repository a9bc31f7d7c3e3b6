"""What a log's files say: a cut last write is nothing, any other gap is damage that is named."""

import functools
import pathlib
import random

import pytest

from baton.stores import segments
from baton.stores.base import StoreError, StoreUnavailable
from baton.stores.framing import BLOCK_BYTES, HEADER_BYTES
from baton.stores.log import Log
from baton.stores.segments import Damaged

EVERYTHING = -1


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """Three segments of payloads that are numbered, of a process that died."""
    folder, count, left = tmp_path / "0", 0, 5
    log = Log(folder)
    log.resume([])
    while left:
        left -= len(log.begun) == 3
        payload = str(count).encode() * 3_000
        log.append(payload, functools.partial(lambda passed: (passed, b"\xc0"), count))
        count += 1
    return folder


def read(folder: pathlib.Path, mark: int = EVERYTHING) -> list[int]:
    """The numbers of the payloads that are read."""
    found = [bytes(each) for part in segments.read(folder, mark) for each in part.payloads]
    return [int(each[: len(each) // 3_000]) for each in found]


def test_all_is_read_or_from_a_mark_on(folder: pathlib.Path) -> None:
    """A mark leaves out the segments before the last one that is enough, and may be beyond all."""
    everything = read(folder)
    assert list(range(len(everything))) == everything
    _, second, third = segments.begun(folder)
    assert everything[second.head.passed :] == read(folder, second.head.passed)
    assert everything[second.head.passed :] == read(folder, third.head.passed - 1)
    assert everything[third.head.passed :] == read(folder, third.head.passed)
    assert everything[third.head.passed :] == read(folder, 10**6)


def test_a_cut_last_write(folder: pathlib.Path) -> None:
    """Of the last segment the end may be missing: its other payloads are read."""
    everything, last = read(folder), segments.path_of(folder, 3)
    [*_, part] = segments.read(folder, EVERYTHING)
    for cut in (1, BLOCK_BYTES, 2 * BLOCK_BYTES):
        with last.open("r+b") as file:
            file.truncate(part.end - cut)
        assert read(folder) in (everything, everything[:-1])
    assert everything[:-1] == read(folder)


def test_what_is_broken_is_named(folder: pathlib.Path) -> None:
    """Any byte of any frame that others follow, in any segment: the file, the place and what to do
    are told, and nothing is read beyond."""
    rng = random.Random(2)
    parts = list(segments.read(folder, EVERYTHING))
    for part in parts:
        path, content = part.segment.path, part.segment.path.read_bytes()
        frames = rng.sample(range(len(part.payloads) - 1), 3)
        for at in [0, *(_start(part, number) for number in frames)]:
            garbled = bytearray(content)
            garbled[at + rng.randint(0, HEADER_BYTES)] ^= rng.randint(1, 255)
            path.write_bytes(garbled)
            with pytest.raises(Damaged, match=rf"{path.name} is damaged at byte {at}: .* copy"):
                read(folder)
        path.write_bytes(content)


def _start(part: segments.Part, number: int) -> int:
    content = segments.content(part.segment.path)
    return bytes(content).index(bytes(part.payloads[number])) // BLOCK_BYTES * BLOCK_BYTES


def test_the_end_of_a_full_segment_is_no_last_write(folder: pathlib.Path) -> None:
    """The next one tells how much was in it."""
    first = segments.path_of(folder, 1)
    [part, *_] = segments.read(folder, EVERYTHING)
    content = bytearray(first.read_bytes())
    at = _start(part, len(part.payloads) - 1)
    content[at : part.end] = bytes(part.end - at)
    first.write_bytes(content)
    with pytest.raises(Damaged, match=rf"1\.log is damaged at byte {at}: 1 records are broken"):
        read(folder)
    second = segments.begun(folder)[1]
    assert second.head.passed == read(folder, second.head.passed)[0], "whoever needs it not"


def test_a_missing_segment(folder: pathlib.Path) -> None:
    """In between it is missed; before what is needed it is not."""
    everything = read(folder)
    segments.path_of(folder, 2).unlink()
    with pytest.raises(Damaged, match=r"2\.log is missing"):
        read(folder)
    third = segments.begun(folder)[-1]
    assert everything[third.head.passed :] == read(folder, third.head.passed)


def test_files_that_have_not_begun(folder: pathlib.Path) -> None:
    """Zeros, what an earlier life left, and files that are none."""
    everything = read(folder)
    (folder / "4.log").write_bytes(bytes(8 * BLOCK_BYTES))
    (folder / "5.log").write_bytes((folder / "1.log").read_bytes())
    (folder / "x.log").touch()
    assert everything == read(folder)


def test_files_of_two_journals(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """They are not one journal."""
    other = Log(tmp_path / "1")
    other.resume([])
    other.append(b"x", lambda: (0, b"\xc0"))
    other.close()
    (tmp_path / "1" / "1.log").replace(folder / "1.log")
    with pytest.raises(Damaged, match="several journals"):
        read(folder)


def test_logs_of_a_folder(folder: pathlib.Path) -> None:
    """Folders with a number; a file of SQLite is an earlier Baton's."""
    assert [folder] == segments.logs(folder.parent)
    (folder.parent / "2.lock").touch()
    (folder.parent / "others").mkdir()
    assert [folder] == segments.logs(folder.parent)
    (folder.parent / "3.db").touch()
    with pytest.raises(StoreError, match=r"3\.db is the journal of an earlier Baton"):
        segments.logs(folder.parent)


def test_what_cannot_be_read(tmp_path: pathlib.Path) -> None:
    with pytest.raises(StoreUnavailable):
        segments.content(tmp_path / "missing")
