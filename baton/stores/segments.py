"""The segments of a log as files: which there are, and what is in them. Reading only.

`N.log` is the segment with the number N. It has begun when its first frame is a head (`Head`) with
that number; before, it is only prepared: zeros, or what an earlier life of the file left. The head
of the next segment tells how many frames this one has, and up to which mark everything before it is
dealt with. So three things are told apart:

- the last write was cut off (nothing whole is behind it): it was never acknowledged, and does not
  count;
- older segments are missing, or broken, but what they told is dealt with: nobody needs them;
- any other gap: frames that were acknowledged are broken, or a file is gone. That is `Damaged`, and
  names the file and what to do. Nobody goes on behind such a gap on his own.
"""

import os
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from baton.stores import framing, glance
from baton.stores.base import StoreError, StoreUnavailable
from baton.stores.framing import Life

SUFFIX = ".log"
HEAD_BYTES = 65_536
"""Nearly all heads are shorter: read first."""


class Damaged(StoreError):
    """Something that was acknowledged cannot be read."""


class Head(msgspec.Struct, frozen=True, array_like=True):
    """The first frame of a segment."""

    identity: str
    """Of the log."""
    previous: int
    """The number of the segment before; 0: nothing before this one is needed."""
    frames: int
    """How many frames that one has."""
    passed: int
    """The mark up to which what is before this segment must be dealt with, for it to be enough."""
    carried: msgspec.Raw = msgspec.Raw()
    """What is still open of what is before it."""


class Segment(NamedTuple):
    """One that has begun."""

    path: pathlib.Path
    life: Life
    head: Head


class Part(NamedTuple):
    """What was read of a segment."""

    segment: Segment
    payloads: list[memoryview]
    """Without the head."""
    end: int
    """Where the next frame goes."""


_head = msgspec.msgpack.Decoder(Head).decode


def logs(folder: pathlib.Path) -> list[pathlib.Path]:
    """The folders of all logs in a folder. Raises StoreError for the journals of an earlier Baton,
    which were files of SQLite: what they hold must not be forgotten."""
    glance.refuse_earlier(folder)
    return [path for path in sorted(folder.glob("*")) if path.is_dir() and path.name.isdecimal()]


def identities(folder: pathlib.Path) -> set[str]:
    """Of all logs in a folder. Raises Damaged, StoreUnavailable."""
    return {part.head.identity for path in logs(folder) for part in begun(path)}


def path_of(folder: pathlib.Path, number: int) -> pathlib.Path:
    return folder / f"{number}{SUFFIX}"


def numbers(folder: pathlib.Path) -> list[int]:
    """Of all its files, whether they have begun or not, in order."""
    found = (path.stem for path in folder.glob(f"*{SUFFIX}"))
    return sorted(int(stem) for stem in found if stem.isdecimal())


def begun(folder: pathlib.Path) -> list[Segment]:
    """All segments that have begun, in order. Raises Damaged, StoreUnavailable."""
    found = (_segment(path_of(folder, number), number) for number in numbers(folder))
    segments = [segment for segment in found if segment is not None]
    if len({segment.head.identity for segment in segments}) > 1:
        raise Damaged(f"{folder} has files of several journals{_REMEDY}")
    return segments


def first_needed(segments: list[Segment], mark: int) -> int:
    """The index of the one to begin with, where all up to the mark is dealt with."""
    heads = [segment.head for segment in segments]
    enough = [n for n, head in enumerate(heads) if head.passed <= mark or not head.previous]
    return enough[-1] if enough else 0


def read(folder: pathlib.Path, mark: int) -> Iterator[Part]:
    """What is in the log, from the segment on that is enough at this mark, in order.

    Raises Damaged, StoreUnavailable."""
    segments = begun(folder)
    needed = segments[first_needed(segments, mark) :]
    for n, segment in enumerate(needed, 1):
        yield _part(segment, needed[n].head if n < len(needed) else None)


def content(path: pathlib.Path, start: int = 0, end: int | None = None) -> memoryview:
    """The bytes of a file. Raises StoreUnavailable."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if hasattr(os, "posix_fadvise"):  # what is not written yet must not be read ahead
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
            size = os.fstat(descriptor).st_size
            return memoryview(_read(descriptor, start, size if end is None else end))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StoreUnavailable(f"the journal cannot be read: {error}") from error


def whole(segment: Segment) -> tuple[memoryview, framing.Scanned]:
    """A segment's bytes, and what they say. Raises Damaged where whole frames stand behind a broken
    one; StoreUnavailable.

    Who reads while it is written may miss one frame and have the next: he looks again."""
    broken_at = -1
    while True:
        data = content(segment.path)
        scanned = framing.scan(data, segment.life.number)
        if scanned.stray is None:
            return data, scanned
        if scanned.end == broken_at:
            raise damaged(segment.path, broken_at, "whole records stand behind a broken one")
        broken_at = scanned.end


def damaged(path: pathlib.Path, at: int, why: str) -> Damaged:
    return Damaged(f"{path} is damaged at byte {at}: {why}{_REMEDY}")


_REMEDY = (
    ". What this journal has and the book has not stays where it is, and is not charged, until you"
    " put the file back from a copy, or move the journal's folder away, which gives that up"
)


def _part(segment: Segment, following: Head | None) -> Part:
    number = segment.life.number
    _, scanned = whole(segment)
    payloads = scanned.payloads
    if following is not None:
        if following.previous != number:
            missing = path_of(segment.path.parent, following.previous)
            raise Damaged(f"{missing} is missing{_REMEDY}")
        if len(payloads) < following.frames:
            lost = following.frames - len(payloads)
            raise damaged(segment.path, scanned.end, f"{lost} records are broken")
        payloads = payloads[: following.frames]  # a failed write may stand behind them
    return Part(segment, payloads[1:], scanned.end)


def _segment(path: pathlib.Path, number: int) -> Segment | None:
    frame = framing.frame_at(content(path, 0, HEAD_BYTES), 0, 0)
    if frame is None or frame.life.number != number:
        data = content(path)
        frame = framing.frame_at(data, 0, 0)
    if frame is None or frame.life.number != number:
        if next(framing.strays(data, 0, number, None), None) is not None:
            raise damaged(path, 0, "its first record is broken")
        return None
    try:
        return Segment(path, frame.life, _head(frame.payload))
    except msgspec.MsgspecError as error:
        raise damaged(path, 0, f"its first record is of another version: {error}") from error


def _read(descriptor: int, start: int, end: int) -> bytes:
    parts = []
    while start < end:
        part = os.pread(descriptor, end - start, start)
        if not part:
            break
        parts.append(part)
        start += len(part)
    return b"".join(parts)
