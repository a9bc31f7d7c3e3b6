"""What is kept of a running call."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton.semantics.events import Delta
from baton.semantics.handoff import Received

DELTAS = st.lists(
    st.builds(
        Delta,
        index=st.integers(0, 3),
        text=st.text(max_size=8),
        token_ids=st.none() | st.lists(st.integers(0, 2**31 - 1), max_size=3),
    ),
    max_size=30,
)


@given(DELTAS)
def test_everything_received_is_kept_by_choice(deltas: list[Delta]) -> None:
    """Texts and ids of each choice join to what came for it, in order."""
    received = Received()
    for delta in deltas:
        received.add(delta)
    for index in range(4):
        mine = [delta for delta in deltas if delta.index == index]
        assert "".join(delta.text for delta in mine) == received.text(index)
        assert [i for d in mine for i in d.token_ids or ()] == received.token_ids(index)


def test_beyond_the_cap_nothing_is_kept() -> None:
    """A call that received too much frees it all and says that it cannot be resumed."""
    within, received = Received(bytes_max=10), Received(bytes_max=10)
    within.add(Delta(0, "é" * 5))
    assert within.resumable
    received.add(Delta(0, "é" * 5))
    received.add(Delta(0, "", token_ids=[1]))
    assert not received.resumable
    received.add(Delta(0, "more"))
    with pytest.raises(AssertionError):
        received.text(0)
