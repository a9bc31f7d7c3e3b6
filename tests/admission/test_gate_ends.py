"""What ends at the gate, and when: a key, what is known of callers, a request that counts."""

import asyncio
import pathlib

import pytest

from baton.admission import levels
from baton.admission.gate import Caller
from baton.errors import RequestError
from tests.admission.test_gate import gate_of, made
from tests.bookkeeping import new_store


def test_a_key_has_ended_at_its_end(tmp_path: pathlib.Path) -> None:
    """Not a moment later; what is kept of it is what it says."""
    store = new_store(tmp_path)
    for keep in (0, 1):
        key_id, _ = made(store, expires_us=9_000_000, keep_content_days=keep)
        record = store.keys.get(key_id)
        assert record is not None
        caller = Caller(record, levels.levels(record, []), levels.NEVER_S, 1.0, record.digest)
        assert [True, False, False] == [caller.valid(at_s) for at_s in (8.999, 9.0, 10.0)]
        assert bool(keep) == caller.keeps


def test_all_are_forgotten(tmp_path: pathlib.Path) -> None:
    """Where nobody says what changed; that something did is seen each time."""
    store = new_store(tmp_path)
    gate = gate_of(store)
    shown = made(store)[1]
    seen = [gate.changes]
    for _ in range(2):
        asyncio.run(gate.identify(shown))
        assert gate.known(shown) is not None
        gate.changed()
        assert gate.known(shown) is None
        seen.append(gate.changes)
    assert 3 == len(set(seen))


def test_requests_at_once(tmp_path: pathlib.Path) -> None:
    """They reserve no tokens, tell nothing, and end once, however often that is said."""
    store = new_store(tmp_path)
    gate = gate_of(store)
    caller = asyncio.run(gate.identify(made(store, requests_at_once=2)[1]))

    async def run() -> None:
        first, second = await gate.enter(caller), await gate.enter(caller)
        await first.reserve(10**9)
        assert (b"", b"") == (first.lines, second.lines)
        for _ in range(3):
            first.end(0)
        third = await gate.enter(caller)
        with pytest.raises(RequestError):
            await gate.enter(caller)
        for passage in (second, third):
            passage.end(0)

    asyncio.run(run())
