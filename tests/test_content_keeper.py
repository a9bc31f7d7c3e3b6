"""The keeper of contents: many at a time, never waited for, bounded, and at the end in order."""

import asyncio
import contextlib
import pathlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from baton import content
from baton.content import Keeper
from baton.protocol import CompletionRequest
from baton.stores.base import StoreUnavailable
from baton.stores.contents import Contents, Heard
from baton.telemetry.metrics import Metrics
from tests.bookkeeping import new_key, new_store
from tests.relaying import USER, relaying

PROMPT = "the river is"
TIMEOUT_S = 10.0


class Book(Contents):
    """Contents of a store that can be away, or hang."""

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.error: Exception | None = None
        self.may = threading.Event()
        self.may.set()
        self.tries = 0

    def keep(self, heard: Sequence[Heard]) -> int:
        self.tries += 1
        assert self.may.wait(TIMEOUT_S)
        if self.error is not None:
            raise self.error
        self.kept += [one.request_id for one in heard]
        return len(heard)


@contextlib.asynccontextmanager
async def keeping(book: Book, metrics: Metrics) -> Any:
    keeper = Keeper(book, metrics, 100)
    try:
        yield keeper
    finally:
        book.may.set()
        await keeper.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():
            await asyncio.to_thread(lambda: None)  # what runs in threads gets on


def take(keeper: Keeper, name: str, prompt: str = "p") -> None:
    keeper.hear(name, "k", CompletionRequest(model="m", prompts=[prompt])).end()


def test_many_are_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of their ends, in steps of a bounded size."""
    monkeypatch.setattr(content, "ROWS_PER_WRITE_MAX", 4)
    book, metrics = Book(), Metrics()

    async def run() -> None:
        async with keeping(book, metrics) as keeper:
            for number in range(10):
                take(keeper, str(number))

    asyncio.run(run())
    assert [str(number) for number in range(10)] == book.kept
    assert (3, 10, 0) == (book.tries, metrics.contents["kept"], metrics.contents["dropped"])


def test_a_book_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits is written when it is back, and taking does not wait meanwhile; what does not fit
    gives way and is counted."""
    monkeypatch.setattr(content, "GATHER_S", 0.0)
    monkeypatch.setattr(content, "RETRY_S", 0.0)
    monkeypatch.setattr(content, "WAITING_MAX", 3)
    book, metrics = Book(), Metrics()
    book.error = StoreUnavailable("away")

    async def run() -> None:
        async with keeping(book, metrics) as keeper:
            for number in range(5):
                take(keeper, str(number))
            await until(lambda: book.tries >= 3)
            book.error = None
            await until(lambda: metrics.contents["kept"] == 3)
            take(keeper, "later")

    asyncio.run(run())
    assert ["0", "1", "2", "later"] == book.kept
    assert {"kept": 4, "dropped": 2} == metrics.contents


def test_bytes_that_wait_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few contents they are."""
    monkeypatch.setattr(content, "WAITING_BYTES_MAX", 150)
    book, metrics = Book(), Metrics()

    async def run() -> None:
        async with keeping(book, metrics) as keeper:
            for number in range(3):
                take(keeper, str(number), "x" * 70)

    asyncio.run(run())
    assert (["0", "1"], 1) == (book.kept, metrics.contents["dropped"])


def test_what_cannot_be_written_at_the_end() -> None:
    """Is counted; a worker's end does not wait for a book that is away, and takes nothing more."""
    book, metrics = Book(), Metrics()
    book.error = StoreUnavailable("away")

    async def run() -> None:
        async with keeping(book, metrics) as keeper:
            take(keeper, "a")
        take(keeper, "b")

    asyncio.run(run())
    assert ([], {"kept": 0, "dropped": 2}) == (book.kept, metrics.contents)


def test_a_bug_ends_nothing() -> None:
    """What the book cannot take is dropped and counted; what comes later is kept."""
    book, metrics = Book(), Metrics()
    book.error = ValueError("a bug")

    async def run() -> None:
        async with keeping(book, metrics) as keeper:
            take(keeper, "a")
            await until(lambda: metrics.contents["dropped"] == 1)
            book.error = None
            take(keeper, "b")

    asyncio.run(run())
    assert (["b"], {"kept": 1, "dropped": 1}) == (book.kept, metrics.contents)


def test_a_relay_does_not_wait_for_the_book(tmp_path: pathlib.Path) -> None:
    """While a write hangs, requests are answered as ever."""
    with contextlib.closing(new_store(tmp_path)) as store:
        new_key(store, USER, keep_content_days=1)
    with relaying(tmp_path) as relay:
        book = Book()
        book.may.clear()
        relay.worker.room.keeper._store = book
        assert {200} == {relay.user.complete(prompt=PROMPT).status for _ in range(20)}
        relay.until(lambda: book.tries > 0)
        assert 200 == relay.user.complete(prompt=PROMPT).status
        book.may.set()
    assert 21 == len(book.kept)
