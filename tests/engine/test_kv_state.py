"""A sequence's state as contexts of other sizes tell it; test_llama.py shows that they take it."""

import numpy as np
import pytest

from baton.engine.kv_state import Bytes, moved

CELLS = b"\x02\0\0\0some cells of any length"


def state(stream: int, streams: int) -> Bytes:
    """As a context of so many streams tells what one of them holds."""
    words = [np.uint32(streams).tobytes()] + [b"\0\0\0\0"] * streams
    words[1 + stream] = CELLS
    return np.frombuffer(b"magic id" + b"".join(words), np.uint8)


@pytest.mark.parametrize(("stream", "streams"), [(0, 1), (0, 3), (1, 3), (2, 3), (15, 16)])
@pytest.mark.parametrize("then", [1, 2, 16])
def test_the_cells_stay_and_the_streams_around_them_change(
    stream: int, streams: int, then: int
) -> None:
    """From any stream to the first of any number."""
    found = moved(state(stream, streams), stream, streams, then)
    assert state(0, then).tobytes() == found.tobytes()
