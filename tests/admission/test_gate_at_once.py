"""Callers that are let in without waiting: counted as the others are, or not at all."""

import asyncio
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton.admission import rates
from baton.admission.gate import Gate
from baton.admission.rates import CELLS, MINUTE_NS, Limit
from baton.errors import RequestError
from tests.admission.test_gate import gate_of, made
from tests.bookkeeping import new_store

FEW = 5


def test_one_count_for_both_ways(tmp_path: pathlib.Path) -> None:
    """In turns, exactly as many pass as may; who is not let in at once is counted by who refuses
    it; both tell the same of what is left."""
    store = new_store(tmp_path)
    _, shown = made(store, requests_per_minute=FEW)

    async def run(gate: Gate) -> None:
        caller = await gate.identify(shown)
        left = []
        for number in range(FEW):
            if number % 2:
                decision = gate.enter_at_once(caller)
                assert decision is not None
                passage = gate.passage(caller, decision)
            else:
                passage = await gate.enter(caller)
            assert not passage.lasts
            left.append(dict(line.split(b": ") for line in passage.lines.splitlines()))
        names = {tuple(each) for each in left}
        assert 1 == len(names)
        assert [b"4", b"3", b"2", b"1", b"0"] == [
            each[b"x-ratelimit-remaining-requests"] for each in left
        ]
        for _ in range(3):
            assert gate.enter_at_once(caller) is None
            with pytest.raises(RequestError) as refused:
                await gate.enter(caller)
            assert 429 == refused.value.status

    asyncio.run(run(gate_of(store)))


STEPS = st.lists(
    st.tuples(st.booleans(), st.integers(min_value=0, max_value=MINUTE_NS)), max_size=60
)


@given(allowed=st.integers(min_value=1, max_value=30), steps=STEPS)
def test_one_pass_decides_as_all(allowed: int, steps: list[tuple[bool, int]]) -> None:
    """A limit that stands alone is decided as beside one that never refuses."""
    limit = Limit("key:a", "the key", requests_per_minute=allowed)
    wide = Limit("team:b", "the team", requests_per_minute=rates.RATE_MAX)
    alone, among = [0] * CELLS, [0] * CELLS * 2
    now_ns = 1
    for soon, gap_ns in steps:
        now_ns += gap_ns // (60 if soon else 1)
        one = rates.arrive_alone(limit, alone, 0, now_ns)
        both = rates.arrive((limit, wide), among, (0, CELLS), now_ns)
        assert one == both
        assert alone == among[:CELLS]
