"""What llama.cpp tells of a sequence's memory, as a context with more or fewer sequences tells it.
Pure.

Sequences that do not share cells (`kv_unified=false`) lie in streams of cells, one each. The state
of one sequence is a head of two words, the number of the context's streams, and then for each
stream a count of cells and, unless it is 0, the cells: so all streams but one are a 0. A context
takes states of its own number of streams only, whatever they hold.

Models with several such parts (a sliding window) have another form: what comes out of here is
nonsense then, which llama.cpp refuses to take."""

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

WORD_BYTES = 4
HEAD_BYTES = 2 * WORD_BYTES


def moved(state: Bytes, stream: int, streams: int, streams_then: int) -> Bytes:
    """The state of the sequence in `stream` of `streams`, as that of the first of
    `streams_then`."""
    if (stream, streams) == (0, streams_then):
        return state
    start = HEAD_BYTES + WORD_BYTES * (1 + stream)
    end = state.size - WORD_BYTES * (streams - 1 - stream)
    count = np.array([streams_then], np.uint32).view(np.uint8)
    others = np.zeros(WORD_BYTES * (streams_then - 1), np.uint8)
    return np.concatenate((state[:HEAD_BYTES], count, state[start:end], others))
