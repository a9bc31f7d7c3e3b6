"""Callers that are let in without waiting: counted as the others are, or not at all."""

import asyncio
import pathlib

import pytest

from baton.admission import counters as counting
from baton.admission.gate import Gate
from baton.errors import RequestError
from baton.stores.base import StoreUnavailable
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


def test_who_has_no_limit_is_not_let_in_by_one(tmp_path: pathlib.Path) -> None:
    """There is nothing to decide: whoever asks so does the rest."""
    store = new_store(tmp_path)
    _, shown = made(store)
    gate = gate_of(store)
    caller = asyncio.run(gate.identify(shown))
    assert (False, None) == (caller.restricted, gate.enter_at_once(caller))


def test_a_limit_that_cannot_be_counted_is_for_who_refuses_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is let in at once by it, or told of it where it would be a fault of ours."""
    monkeypatch.setattr(counting, "SET_CELLS", 0)
    store = new_store(tmp_path)
    _, shown = made(store, requests_per_minute=FEW)

    async def run(gate: Gate) -> None:
        caller = await gate.identify(shown)
        assert gate.enter_at_once(caller) is None
        with pytest.raises(StoreUnavailable, match="too many limits"):
            await gate.enter(caller)

    asyncio.run(run(gate_of(store)))
