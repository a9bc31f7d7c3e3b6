"""Ends whose commit is told by a call instead of waited for."""

import asyncio
import functools
import pathlib

import pytest

from baton.ledger.entries import HoldRow
from baton.ledger.journal import LOST
from baton.stores.base import StoreUnavailable
from tests.ledger import logged
from tests.ledger.test_journal import Gated, end, hold, journal_at, until

Told = list[tuple[str, StoreUnavailable | None]]


def note(told: Told, name: str, error: StoreUnavailable | None) -> None:
    told.append((name, error))


def test_once_it_is_on_disk(tmp_path: pathlib.Path) -> None:
    """Not before, once each, in the order of tickets; as whoever waits is."""

    async def run() -> None:
        file = Gated(tmp_path / "j")
        async with journal_at(file) as journal:
            file.gate.clear()
            told: Told = []
            tickets = [journal.hold(hold(name)) for name in "abc"]
            for name, ticket in zip("abc", tickets, strict=True):
                ended = journal.settle(end(ticket))
                journal.tell(ended, functools.partial(note, told, name))
            await asyncio.sleep(0.02)
            assert [] == told
            file.gate.set()
            await journal.durable(ended)
            assert [("a", None), ("b", None), ("c", None)] == told
            assert 3 == len(logged.ended(tmp_path / "j"))
        assert 3 == len(told)

    asyncio.run(run())


def test_a_commit_that_fails(tmp_path: pathlib.Path) -> None:
    """Each is told why, and so is the end of a hold that is known to have failed, at once."""

    async def run() -> None:
        file = Gated(tmp_path / "j")
        async with journal_at(file) as journal:
            told: list[StoreUnavailable | None] = []
            file.broken = True
            late, soon = journal.hold(hold("late")), journal.hold(hold("soon"))
            journal.tell(journal.settle(end(soon, delivered=False)), told.append)
            await until(lambda: told)
            assert isinstance(told[0], StoreUnavailable)
            journal.tell(journal.settle(end(late, delivered=False)), told.append)
            assert 2 == len(told)
            assert isinstance(told[1], StoreUnavailable)
            journal.tell(LOST, told.append)
            assert 3 == len(told)
            file.broken = False
        assert 3 == len(told)

    asyncio.run(run())


def test_one_that_raises_keeps_nobody_waiting(tmp_path: pathlib.Path) -> None:
    async def run() -> None:
        async with journal_at(Gated(tmp_path / "j")) as journal:
            told: list[StoreUnavailable | None] = []

            def broken(error: StoreUnavailable | None) -> None:
                raise ValueError("a bug")

            ended = [journal.settle(end(journal.hold(hold(name)))) for name in "abc"]
            journal.tell(ended[0], broken)
            journal.tell(ended[1], broken)
            journal.tell(ended[1], told.append)
            journal.tell(ended[2], told.append)
            await until(lambda: len(told) == 2)
            assert [None, None] == told
            await journal.durable(journal.settle(end(journal.hold(hold("d")))))

    asyncio.run(run())


class Odd:
    """A hold with a bug."""

    @property
    def row(self) -> HoldRow:
        return hold("odd")

    def stored(self) -> tuple[object, bool]:
        raise AttributeError("odd")


def test_a_bug_in_a_row_keeps_nobody_waiting(tmp_path: pathlib.Path) -> None:
    """It fails alone, whatever it raises; those before, beside and behind it are written."""

    async def run() -> None:
        file = Gated(tmp_path / "0")
        async with journal_at(file) as journal:
            await journal.durable(journal.hold(hold("first")))
            file.gate.clear()
            journal.hold(hold("gate"))
            odd, beside = journal.hold(Odd()), journal.hold(hold("beside"))
            file.gate.set()
            async with asyncio.timeout(10):
                with pytest.raises(StoreUnavailable):
                    await journal.durable(odd)
                await journal.durable(beside)
                await journal.durable(journal.hold(hold("behind")))
            assert ["first", "gate", "beside", "behind"] == logged.names(tmp_path / "0")

    asyncio.run(run())


def test_a_journal_that_closes(tmp_path: pathlib.Path) -> None:
    """Tells what it wrote at the last moment."""

    async def run() -> None:
        told: list[StoreUnavailable | None] = []
        async with journal_at(Gated(tmp_path / "j")) as journal:
            journal.tell(journal.settle(end(journal.hold(hold()))), told.append)
        assert [None] == told

    asyncio.run(run())
