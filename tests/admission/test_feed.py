"""Changes reach a running process within a second, in order, and once."""

import asyncio
import pathlib
import threading
import time

import pytest

from baton.admission.feed import ChangeFeed
from baton.stores.base import ChangeRecord
from tests.bookkeeping import new_key, new_store


def test_changes_arrive_on_the_loop_within_a_second(tmp_path: pathlib.Path) -> None:
    """What was known is not told again; what is new comes on the loop's thread, in time."""
    store = new_store(tmp_path)
    new_key(store, "before")

    async def run() -> tuple[list[int], float]:
        told: list[int] = []
        complete = asyncio.Event()
        here = threading.get_ident()

        def tell(changes: list[ChangeRecord]) -> None:
            assert here == threading.get_ident()
            told.extend(change.seq for change in changes)
            if len(told) >= 2:
                complete.set()

        feed = ChangeFeed(store.changes, store.changes.latest(), tell)
        began_s = time.monotonic()
        key = await asyncio.to_thread(new_key, store, "new")
        await asyncio.to_thread(store.keys.revoke, key.id, "test")
        async with asyncio.timeout(10):
            await complete.wait()
        took_s = time.monotonic() - began_s
        await feed.close()
        return told, took_s

    told, took_s = asyncio.run(run())
    assert [2, 3] == told
    assert took_s < 1.0


def test_a_fault_of_ours_does_not_end_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else keys that are revoked later would stay valid, and nobody would know."""
    store = new_store(tmp_path)
    since, asked = store.changes.since, 0

    def odd_at_first(seq: int) -> list[ChangeRecord]:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise ValueError("odd")
        return since(seq)

    monkeypatch.setattr(store.changes, "since", odd_at_first)

    async def run() -> list[ChangeRecord]:
        told: asyncio.Future[list[ChangeRecord]] = asyncio.get_running_loop().create_future()
        feed = ChangeFeed(store.changes, store.changes.latest(), told.set_result)
        await asyncio.to_thread(new_key, store, "new")
        async with asyncio.timeout(10):
            found = await told
        await feed.close()
        return found

    assert 1 == len(asyncio.run(run()))
    assert asked > 1
