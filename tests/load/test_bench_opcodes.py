"""A regression guard: what a request and a chunk cost in bytecodes, which no neighbour changes."""

import pathlib
import sys

import pytest

from bench import opcodes
from bench.relays import CHUNKS

REQUEST_MAX, CHUNK_MAX = 3_700, 400
"""Bytecodes, a tenth or so above what they are. Lower them when the path gets shorter; whatever
raises them has to say why it is worth it (docs/decisions/0022)."""

pytestmark = pytest.mark.skipif(
    sys.version_info[:2] != (3, 11), reason="each version of Python has bytecodes of its own"
)


def test_what_a_plain_request_costs(tmp_path: pathlib.Path) -> None:
    """With a rate, a budget, a price, the journal, numbers and log lines."""
    cost = cheapest(tmp_path, stream=False, requests=10, interval_us=100)
    assert REQUEST_MAX / 2 < cost < REQUEST_MAX


def test_what_a_chunk_costs(tmp_path: pathlib.Path) -> None:
    """Of a stream's hundred; the request around them is in it."""
    cost = cheapest(tmp_path, stream=True, requests=2, interval_us=2_000)
    assert CHUNK_MAX / 2 < cost / CHUNKS < CHUNK_MAX


def cheapest(folder: pathlib.Path, *, stream: bool, requests: int, interval_us: int) -> float:
    """Bytecodes of one request, in the least of a few rounds."""
    found = opcodes.rounds(folder, stream, 10 if not stream else 3, [requests] * 4, interval_us)
    return min(counts.opcodes.total() for counts in found) / requests
