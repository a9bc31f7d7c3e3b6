"""Frames: whatever becomes of the last write, what was written before is read, and nothing else."""

import random

from hypothesis import given
from hypothesis import strategies as st

from baton.stores.framing import (
    BLOCK_BYTES,
    HEADER_BYTES,
    Life,
    framed_bytes,
    header,
    scan,
)

ACKNOWLEDGED = (b"head", b"one" * 2_000, b"", b"two")
"""The second takes two blocks."""
LAST = bytes(range(256)) * 20
"""Takes two blocks."""


def framed(life: Life, payloads: list[bytes] | tuple[bytes, ...], at: int = 0) -> bytes:
    """The frames of some payloads, one behind the other."""
    data = b""
    for payload in payloads:
        frame = header(life, at + len(data), payload) + payload
        data += frame + bytes(framed_bytes(len(payload)) - len(frame))
    return data


LIFE = Life(7, 0x7F3C2A1B_9D8E4F60)
BEFORE = framed(LIFE, ACKNOWLEDGED)
LAST_FRAME = framed(LIFE, [LAST], len(BEFORE))
AFTER = len(BEFORE) + len(LAST_FRAME)
EARLIER = framed(Life(3, 5), [b"old" * 900] * 20)
"""What an earlier life of the file left."""


def test_every_cut_of_the_last_write() -> None:
    """Cut off at any byte, over zeros or over an earlier life: all before it is there, it is there
    only where it is whole, and nothing else is."""
    whole = len(BEFORE) + HEADER_BYTES + len(LAST)
    for stale in (bytes(len(EARLIER)), EARLIER):
        for cut in range(len(BEFORE), AFTER + 1):
            data = BEFORE + LAST_FRAME[: cut - len(BEFORE)] + stale[cut:]
            found = scan(memoryview(data), 7)
            expected = [*ACKNOWLEDGED, LAST] if cut >= whole else list(ACKNOWLEDGED)
            if [bytes(each) for each in found.payloads] != expected:
                assert data[len(BEFORE) : whole] == LAST_FRAME[: whole - len(BEFORE)], cut
            assert found.stray is None


def test_blocks_of_the_last_write_in_any_order() -> None:
    """A disk may write the second block and not the first."""
    data = BEFORE + bytes(BLOCK_BYTES) + LAST_FRAME[BLOCK_BYTES:] + EARLIER
    found = scan(memoryview(data), 7)
    assert (list(ACKNOWLEDGED), len(BEFORE), None) == (
        [bytes(each) for each in found.payloads],
        found.end,
        found.stray,
    )


def test_every_garbled_byte_is_noticed() -> None:
    """Within a frame that others follow: the scan stops before it and finds those that follow.
    Within padding: nothing happens. A frame that garbles into another one does not exist."""
    rng, at = random.Random(1), 0
    for number, payload in enumerate(ACKNOWLEDGED):
        size = framed_bytes(len(payload))
        for byte in range(at, at + size):
            data = bytearray(BEFORE + LAST_FRAME)
            data[byte] ^= rng.randint(1, 255)
            found = scan(memoryview(data), 7)
            read = [bytes(each) for each in found.payloads]
            if byte - at < HEADER_BYTES + len(payload):
                assert (list(ACKNOWLEDGED[:number]), at) == (read, found.end)
                assert at + size == found.stray
            else:
                assert ([*ACKNOWLEDGED, LAST], None) == (read, found.stray)
        at += size


def test_frames_belong_to_their_place_and_life() -> None:
    """Neither another segment's frames count, nor a life's that ended, nor one at another place."""
    for strange in (
        framed(Life(7, 1), [b"x"], len(BEFORE)),
        framed(Life(8, LIFE.nonce), [b"x"], len(BEFORE)),
        framed(LIFE, [b"x"], len(BEFORE) + BLOCK_BYTES),
    ):
        found = scan(memoryview(BEFORE + strange), 7)
        assert (len(ACKNOWLEDGED), None) == (len(found.payloads), found.stray)
    assert [] == scan(memoryview(BEFORE), 8).payloads
    assert 0 == scan(memoryview(bytes(BLOCK_BYTES) + BEFORE[BLOCK_BYTES:]), 8).end


def test_a_payload_that_looks_like_frames() -> None:
    """What a caller sends may contain frames of the very segment: it cannot know the nonce, and
    inside a whole frame nobody looks."""
    inside = framed(Life(7, 1), [b"forged"] * 3, len(BEFORE) + BLOCK_BYTES)
    payload = bytes(BLOCK_BYTES - HEADER_BYTES) + inside
    whole = framed(LIFE, [payload], len(BEFORE))
    assert payload == bytes(scan(memoryview(BEFORE + whole), 7).payloads[-1])
    torn = BEFORE + bytes(BLOCK_BYTES) + whole[BLOCK_BYTES:]
    found = scan(memoryview(torn), 7)
    assert (len(ACKNOWLEDGED), None) == (len(found.payloads), found.stray)


@given(payloads=st.lists(st.binary(max_size=3 * BLOCK_BYTES), max_size=5), junk=st.binary())
def test_what_is_written_is_read(payloads: list[bytes], junk: bytes) -> None:
    """Payloads of any length, whatever is behind them."""
    data = framed(LIFE, payloads)
    found = scan(memoryview(data + junk), 7)
    assert (payloads, len(data)) == ([bytes(each) for each in found.payloads], found.end)
