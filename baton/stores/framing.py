"""Frames of a log: payloads to bytes and back. Pure.

A log's segment is a file of blocks. Each frame begins at the border of a block and fills its last
one up, so no write ever touches a block of an earlier frame: what was written whole stays whole,
whatever becomes of the next write. A frame is

    magic, 4 bytes | segment's number, 8 | segment's nonce, 8 | length, 4 | CRC-32, 4 | payload

and its checksum covers number, nonce, block, length and payload. Files are used again: number and
nonce tell a frame of this life of the file from what an earlier one left behind, and since the
nonce is random, nothing that a caller sends can pass for a frame.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

BLOCK_BYTES = 4096
"""What file systems and disks write at once, and the alignment that direct writes need."""
MAGIC = b"BtJ1"

_HEADER = struct.Struct("<4sQQII")
_PLACE = struct.Struct("<QQQI")
_BEGINNING = struct.Struct("<4sQ")
HEADER_BYTES = _HEADER.size


class Life(NamedTuple):
    """One use of a segment's file."""

    number: int
    nonce: int


class Frame(NamedTuple):
    """A whole frame."""

    life: Life
    payload: memoryview
    after: int
    """Where the next one begins."""


class Scanned(NamedTuple):
    """What a segment's bytes say."""

    payloads: list[memoryview]
    end: int
    """After the last whole frame from the beginning on."""
    stray: int | None
    """Where a whole frame stands after a broken one: the broken one was not the last write."""


def framed_bytes(length: int) -> int:
    """What a payload of that length takes, up to the border of a block."""
    return -(-(HEADER_BYTES + length) // BLOCK_BYTES) * BLOCK_BYTES


def header(life: Life, offset: int, payload: bytes) -> bytes:
    """What stands before the payload in a frame that begins at `offset`."""
    checksum = _checksum(life, offset, payload)
    return _HEADER.pack(MAGIC, life.number, life.nonce, len(payload), checksum)


def frame_at(data: memoryview, at: int, offset: int) -> Frame | None:
    """The frame that begins at `at` in the data, which is `offset` in its segment; None where there
    is no whole one."""
    if len(data) - at < HEADER_BYTES:
        return None
    magic, number, nonce, length, checksum = _HEADER.unpack_from(data, at)
    start = at + HEADER_BYTES
    if magic != MAGIC or length > len(data) - start:
        return None
    life, payload = Life(number, nonce), data[start : start + length]
    if _checksum(life, offset, payload) != checksum:
        return None
    return Frame(life, payload, at + framed_bytes(length))


def scan(data: memoryview, number: int) -> Scanned:
    """Read a segment from its beginning."""
    payloads: list[memoryview] = []
    life, at = None, 0
    while (frame := frame_at(data, at, at)) and frame.life == (life or (number, frame.life.nonce)):
        life = frame.life
        payloads.append(frame.payload)
        at = frame.after
    stray = next((found for found, _ in strays(data, at, number, life)), None)
    return Scanned(payloads, min(at, len(data)), stray)


def strays(
    data: memoryview, at: int, number: int, life: Life | None
) -> Iterator[tuple[int, memoryview]]:
    """Whole frames of this life (None: of any with that number) at `at` or after, and where they
    begin."""
    beginning = _BEGINNING.pack(MAGIC, number)
    while at < len(data):
        frame = None
        if data[at : at + len(beginning)] == beginning:
            frame = frame_at(data, at, at)
        if frame is None or frame.life != (life or frame.life):
            at += BLOCK_BYTES
            continue
        yield at, frame.payload
        at = frame.after


def _checksum(life: Life, offset: int, payload: bytes | memoryview) -> int:
    place = _PLACE.pack(life.number, life.nonce, offset, len(payload))
    return zlib.crc32(payload, zlib.crc32(place))
