"""Rounds: every so often, and once more at the end, whatever goes wrong in one of them."""

import asyncio

import pytest

from baton.telemetry.rounds import Rounds


def test_rounds_go_on_and_end_with_one_more(caplog: pytest.LogCaptureFixture) -> None:
    """A fault in one ends nothing; only the last one is told that it is."""
    told: list[bool] = []

    async def run() -> None:
        third = asyncio.Event()

        async def round(last: bool) -> None:
            told.append(last)
            if len(told) == 1:
                raise ValueError("odd")
            if len(told) == 3:
                third.set()

        rounds = Rounds("trying", 0.001, round)
        rounds.start()
        async with asyncio.timeout(10):
            await third.wait()
        await rounds.close()

    asyncio.run(run())
    assert [False, False, False] == told[:3]
    assert [True] == [last for last in told if last]
    assert told[-1]
    assert 1 == len(caplog.records)


def test_what_never_began_ends(caplog: pytest.LogCaptureFixture) -> None:
    """Without a round."""

    async def run() -> None:
        async def round(_last: bool) -> None:
            raise AssertionError("nobody started it")

        await Rounds("trying", 0.001, round).close()

    asyncio.run(run())
    assert [] == caplog.records
