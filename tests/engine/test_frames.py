"""Frames for every chunking of their bytes."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton.engine.frames import FrameError, FrameReader
from baton.engine.wire import FRAME_BYTES_MAX, HEADER

bodies = st.lists(st.binary(max_size=40), max_size=8)


@given(bodies, st.lists(st.integers(0, 400), max_size=20))
def test_any_chunking(given_bodies: list[bytes], cuts: list[int]) -> None:
    """The same bodies come out, in order, wherever the bytes are cut."""
    data = b"".join(HEADER.pack(len(body)) + body for body in given_bodies)
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    reader, found = FrameReader(), list[bytes]()
    for a, b in itertools.pairwise(places):
        found += reader.feed(data[a:b])
    assert given_bodies == found


def test_a_huge_frame_is_refused() -> None:
    """The limit counts before anything is kept for the body."""
    with pytest.raises(FrameError):
        list(FrameReader().feed(HEADER.pack(FRAME_BYTES_MAX + 1)))
