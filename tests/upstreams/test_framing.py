"""The bytes of an answer: payloads however they are cut, and no more than was agreed."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton.upstreams.base import UpstreamError
from baton.upstreams.framing import BoundedBody, BoundedEvents

STREAM = b"data: one\n\ndata: two\n\n"


@given(st.lists(st.integers(0, len(STREAM)), max_size=5))
def test_events_however_they_are_cut(places: list[int]) -> None:
    """Any split of the same bytes gives the same payloads."""
    cuts = [0, *sorted(places), len(STREAM)]
    events = BoundedEvents(1000)
    parts = [STREAM[a:b] for a, b in itertools.pairwise(cuts)]
    assert [b"one", b"two"] == [each for part in parts for each in events._payloads(part)]


def test_more_than_was_agreed() -> None:
    """All of the bytes count, also those that are no payload yet."""
    body, events = BoundedBody(4), BoundedEvents(len(STREAM) - 1)
    assert () == body.feed(b"ab")
    assert () == body.feed(b"cd")
    assert b"abcd" == body._body()
    for too_much in (lambda: body.feed(b"e"), lambda: events._payloads(STREAM)):
        with pytest.raises(UpstreamError) as told:
            too_much()
        assert "more bytes than the call can explain" == told.value.detail
