"""Long texts: one of a key at a time, short ones and other keys' in between."""

import asyncio

import pytest

from baton.errors import RequestError
from baton.web.turns import LONG, WAITING_MAX, Turns


def test_one_of_a_key_at_a_time() -> None:
    """In their order; what another key sends, and what is short, waits for none of them."""

    async def run() -> list[str]:
        turns, told, go_on = Turns(), list[str](), asyncio.Event()

        async def one(key_id: str, name: str, length: int = LONG + 1) -> None:
            async with turns.of(key_id, length):
                told.append(f"{name} begins")
                if key_id == "a" and length > LONG:
                    await go_on.wait()
                told.append(f"{name} ends")

        async with asyncio.TaskGroup() as tasks:
            for name in ("first", "second"):
                tasks.create_task(one("a", name))
            await asyncio.sleep(0)
            await one("b", "other")
            await one("a", "short", LONG)
            go_on.set()
        return told

    order = ["first begins", "other begins", "other ends", "short begins", "short ends"]
    order += ["first ends", "second begins", "second ends"]
    assert order == asyncio.run(run())


def test_not_too_many_wait() -> None:
    """Those beyond are refused, with a time to come back; who gave up waiting leaves its place."""

    async def run() -> None:
        turns, done = Turns(), asyncio.Event()

        async def one() -> None:
            async with turns.of("a", LONG + 1):
                await done.wait()

        waiting = [asyncio.get_running_loop().create_task(one()) for _ in range(WAITING_MAX + 1)]
        await asyncio.sleep(0)
        with pytest.raises(RequestError) as refused:
            await one()
        assert (429, "rate_limit_exceeded") == (refused.value.status, refused.value.code)
        assert ("retry-after", "1") in refused.value.headers
        waiting[-1].cancel()
        await asyncio.wait(waiting[-1:])
        waiting[-1] = asyncio.get_running_loop().create_task(one())
        done.set()
        await asyncio.gather(*waiting)
        assert {} == turns._locks

    asyncio.run(run())
