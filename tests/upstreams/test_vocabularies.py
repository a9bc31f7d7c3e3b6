"""Vocabularies as a worker asks for them."""

import asyncio
import os
import pathlib
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
import uvloop

from baton.engine.vocabulary_wire import Count, Counts
from baton.errors import RequestError
from baton.upstreams import vocabularies
from baton.upstreams.base import UpstreamError
from baton.upstreams.vocabularies import TEXT_BYTES_MAX, Vocabularies, Vocabulary, VocabularyAway
from tests.fakes import tiny_gguf

Result = TypeVar("Result")
DEAF = (sys.executable, "-c", "import sys; sys.stdin.buffer.read()")
"""Takes every question, and answers none."""
DUMB = (sys.executable, "-c", "import sys; print('hello, how are you?', flush=True)")
"""Says what is no answer."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    found = tmp_path_factory.mktemp("vocabularies")
    tiny_gguf.write(found / "tiny.gguf", begins=True)
    return found


def with_them(
    folder: pathlib.Path,
    work: Callable[[Vocabularies], Awaitable[Result]],
    command: tuple[str, ...] = vocabularies.COMMAND,
) -> Result:
    async def run() -> Result:
        found = Vocabularies(folder, command)
        try:
            return await work(found)
        finally:
            await found.close()

    return uvloop.run(run())


def test_a_vocabulary_counts_reads_and_measures(folder: pathlib.Path) -> None:
    """By a name in the folder, or by its whole path; many at once are answered each its own."""

    async def work(found: Vocabularies) -> None:
        tiny, same = found.of("tiny.gguf"), found.of(str(folder / "tiny.gguf"))
        assert [1, 3] == await tiny.counts(["a", "hello"], start=False)
        assert [2, 4] == await same.counts(["a", "hello"], start=True)
        assert "ab" == await tiny.text([97, 98])
        assert (3, 2) == await tiny.measure("abc", 2)
        assert [97, 98] == await tiny.ids("ab", start=False, special=False)
        assert ("llama", 512) == ((f := await tiny.facts()).architecture, f.context_tokens)
        counts = await asyncio.gather(*(tiny.counts(["a" * n], start=False) for n in range(50)))
        assert [[n] for n in range(50)] == counts
        with pytest.raises(RequestError, match=r"not in the vocabulary \(0 to 266\)") as refused:
            await tiny.text([10_000])
        assert "prompt" == refused.value.param

    with_them(folder, work)


async def nothing_known(vocabulary: Vocabulary) -> None:
    assert await vocabulary.counts(["a"], start=True) is None
    assert await vocabulary.measure("a", 1) is None
    for asked in (
        vocabulary.text([1]),
        vocabulary.ids("a", start=True, special=True),
        vocabulary.facts(),
    ):
        with pytest.raises(UpstreamError) as failed:
            await asked
        assert failed.value.retryable


def test_a_file_that_cannot_be_used(folder: pathlib.Path) -> None:
    """Nothing is counted by it, ids are not read; the others go on."""

    async def work(found: Vocabularies) -> None:
        await nothing_known(found.of("gone.gguf"))
        assert [1] == await found.of("tiny.gguf").counts(["a"], start=False)

    with_them(folder, work)


def test_a_text_that_is_too_long(folder: pathlib.Path) -> None:
    """Is not counted; nor are several that are it together."""

    async def work(found: Vocabularies) -> None:
        tiny = found.of("tiny.gguf")
        half = "a " * (TEXT_BYTES_MAX // 4)
        assert await tiny.counts([half], start=False) is not None
        assert await tiny.counts([half, half + "a"], start=False) is None
        assert await tiny.counts(["é" * (TEXT_BYTES_MAX // 2 + 1)], start=False) is None
        assert await tiny.measure("é" * (TEXT_BYTES_MAX // 2 + 1), 5) is None
        with pytest.raises(UpstreamError):
            await tiny.ids("a" * (TEXT_BYTES_MAX + 1), start=True, special=True)

    with_them(folder, work)


def test_a_process_that_is_lost(folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits is told; it is started again, but not at once."""

    async def work(found: Vocabularies) -> None:
        tiny = found.of("tiny.gguf")
        assert [1] == await tiny.counts(["a"], start=False)
        process = found._process
        assert process is not None
        process.kill()
        await process.wait()
        await nothing_known(tiny)
        assert found._process is None
        monkeypatch.setattr(found, "_rests_until_s", 0.0)
        assert [1] == await tiny.counts(["a"], start=False)

    with_them(folder, work)


@pytest.mark.parametrize("command", [DEAF, DUMB, ("/does/not/exist",)])
def test_a_process_that_does_not_answer(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """Costs each of those that asked at once the time of one answer, and nobody later anything."""
    monkeypatch.setattr(vocabularies, "ANSWER_TIMEOUT_S", 0.2)

    async def work(found: Vocabularies) -> None:
        loop, tiny = asyncio.get_running_loop(), found.of("tiny.gguf")
        await asyncio.gather(*(nothing_known(tiny) for _ in range(3)))
        began = loop.time()
        await nothing_known(tiny)
        assert loop.time() - began < 0.2

    with_them(folder, work, command)


def test_one_who_leaves_takes_no_answer_away(folder: pathlib.Path) -> None:
    """The answer to a question that nobody waits for is nobody else's."""

    async def work(found: Vocabularies) -> None:
        tiny = found.of("tiny.gguf")
        assert [1] == await tiny.counts(["a"], start=False)
        loop = asyncio.get_running_loop()
        leaving = loop.create_task(tiny.counts(["a" * 7], start=False))
        await asyncio.sleep(0)
        leaving.cancel()
        assert [3] == await tiny.counts(["a" * 3], start=False)

    with_them(folder, work)


def test_after_the_end(folder: pathlib.Path) -> None:
    """Nothing is started any more."""

    async def work(found: Vocabularies) -> None:
        await found.close()
        with pytest.raises(VocabularyAway):
            await found.ask(Count("tiny.gguf", ["a"], True), Counts)

    with_them(folder, work)


def test_it_gets_no_secret(folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that reads files of others is not told what Baton is."""
    monkeypatch.setenv("BATON_MASTER_KEY", "secret")

    told = folder / "told"

    async def work(found: Vocabularies) -> None:
        await found.of("tiny.gguf").counts(["a"], start=False)

    with_them(folder, work, ("/bin/sh", "-c", f"env > {told}"))
    environment = told.read_text()
    assert "BATON_" not in environment
    assert f"PATH={os.environ['PATH']}" in environment
