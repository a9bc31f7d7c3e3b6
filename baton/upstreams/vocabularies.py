"""The vocabularies that operators configured: counts and texts, from a process of the worker's own.

The process (`engine/vocabulary.py`) is started at the first question and ends with the worker. It
answers in the order in which it was asked. One that does not answer in time is killed; one that is
gone is started again, but not at once, so that a text or file that breaks it cannot keep the
machine busy. While it is away counts stay the estimates that they were, and ids cannot be read.
"""

import asyncio
import contextlib
import os
import pathlib
from collections import deque
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from baton.child import MODULE
from baton.engine.frames import FrameError, FrameReader
from baton.engine.vocabulary_wire import (
    Answer,
    Count,
    Counts,
    Describe,
    Facts,
    Ids,
    Measure,
    Measured,
    Question,
    Split,
    Tell,
    Told,
    Unknown,
    Unusable,
    frame,
)
from baton.errors import invalid
from baton.telemetry import diary
from baton.upstreams.failures import failure

ANSWER_TIMEOUT_S = 5.0
"""Loading a vocabulary takes some tenths of a second, a text of 256 KiB less than one."""
REST_S = 5.0
"""After the process was lost."""
TEXT_BYTES_MAX = 256 * 1024
"""Of the texts of one question; longer ones are not counted."""
READ_BYTES = 256 * 1024
COMMAND = (*MODULE, "baton.engine.vocabulary")
Kind = TypeVar("Kind", Counts, Told, Measured, Ids, Facts)


class VocabularyAway(Exception):
    """It cannot answer now, or its file cannot be used."""


class Vocabularies:
    """One process for all vocabularies of a worker. To be made inside the worker's loop."""

    def __init__(self, folder: pathlib.Path, command: Sequence[str] = COMMAND) -> None:
        """`folder` is where files without a path are."""
        self._folder, self._command = folder, command
        self._loop = asyncio.get_running_loop()
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._asked: deque[asyncio.Future[Answer]] = deque()
        self._starting = asyncio.Lock()
        self._rests_until_s = 0.0
        self._encoder = msgspec.msgpack.Encoder()
        self._told: set[str] = set()

    def of(self, file: str) -> "Vocabulary":
        """The vocabulary in a file; nothing is opened yet."""
        return Vocabulary(self, str(self._folder / file))

    async def ask(self, question: Question, kind: type[Kind]) -> Kind:
        """The answer. Raises VocabularyAway; RequestError for an id that is none."""
        process = await self._running()
        assert process.stdin is not None
        if process.stdin.is_closing():  # it has ended, which its output will tell in a moment
            self._lose(process)
            raise VocabularyAway("it was lost")
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._asked.append(future)
        process.stdin.write(frame(self._encoder, question))
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                answer = await asyncio.shield(future)
        except TimeoutError:
            self._lose(process)
            raise VocabularyAway("it did not answer in time") from None
        if isinstance(answer, kind):
            return answer
        if isinstance(answer, Unknown):
            told = f"A token id is not in the vocabulary (0 to {answer.size - 1})."
            raise invalid(told, "prompt")
        assert isinstance(answer, Unusable), answer
        if answer.reason not in self._told:
            self._told.add(answer.reason)
            diary.error("vocabulary not usable", reason=answer.reason)
        raise VocabularyAway(answer.reason)

    async def close(self) -> None:
        """End the process."""
        self._rests_until_s = float("inf")
        if self._process is not None:
            self._lose(self._process)
        if self._reading is not None:
            await self._reading

    async def _running(self) -> asyncio.subprocess.Process:
        async with self._starting:
            if self._process is None:
                if self._loop.time() < self._rests_until_s:
                    raise VocabularyAway("it was lost a moment ago")
                if self._reading is not None:
                    await self._reading
                self._process = await self._start()
                self._reading = self._loop.create_task(self._read(self._process))
            return self._process

    async def _start(self) -> asyncio.subprocess.Process:
        # It reads files that others made: it gets none of our secrets.
        kept = {name: text for name, text in os.environ.items() if not name.startswith("BATON_")}
        try:
            return await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=kept,
            )
        except OSError as error:
            self._rests_until_s = self._loop.time() + REST_S
            raise VocabularyAway("it cannot be started") from error

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        """Hand the answers out until there are no more, and see the process end."""
        reader = FrameReader()
        decoder: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)
        assert process.stdout is not None
        with contextlib.suppress(FrameError, msgspec.DecodeError, ConnectionError):
            while data := await process.stdout.read(READ_BYTES):
                for body in reader.feed(data):
                    self._answered(decoder.decode(body))
        self._lose(process)
        await process.wait()

    def _answered(self, answer: Answer) -> None:
        future = self._asked.popleft()
        if not future.done():
            future.set_result(answer)

    def _lose(self, process: asyncio.subprocess.Process) -> None:
        """The process is of no use any more; whoever waits for it is told."""
        if self._process is not process:
            return
        self._process = None
        self._rests_until_s = max(self._rests_until_s, self._loop.time() + REST_S)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        asked, self._asked = self._asked, deque()
        for future in asked:
            if not future.done():
                future.set_exception(VocabularyAway("it was lost"))
                future.exception()  # whoever asked may have left


class Vocabulary:
    """One file's vocabulary; implements base.Vocabulary."""

    def __init__(self, all_of_them: Vocabularies, file: str) -> None:
        self._all, self._file = all_of_them, file

    async def counts(self, texts: list[str], *, start: bool) -> list[int] | None:
        if _bytes(texts) > TEXT_BYTES_MAX:
            return None
        try:
            return (await self._all.ask(Count(self._file, texts, start), Counts)).tokens
        except VocabularyAway:
            return None

    async def text(self, ids: list[int]) -> str:
        return (await self._told(Tell(self._file, ids), Told)).text

    async def ids(self, text: str, *, start: bool, special: bool) -> list[int]:
        """Of a text. Raises UpstreamError while that cannot be known, and for one too long."""
        if _bytes([text]) > TEXT_BYTES_MAX:
            raise failure("send", "refused", "vocabulary: the text is too long")
        return (await self._told(Split(self._file, text, start, special), Ids)).ids

    async def facts(self) -> Facts:
        """What the file says of itself. Raises UpstreamError while that cannot be known."""
        return await self._told(Describe(self._file), Facts)

    async def _told(self, question: Question, kind: type[Kind]) -> Kind:
        try:
            return await self._all.ask(question, kind)
        except VocabularyAway as error:
            raise failure("send", "refused", f"vocabulary: {error}") from None

    async def measure(self, text: str, tokens_max: int) -> tuple[int, int] | None:
        if _bytes([text]) > TEXT_BYTES_MAX:
            return None
        try:
            found = await self._all.ask(Measure(self._file, text, tokens_max), Measured)
        except VocabularyAway:
            return None
        return found.tokens, found.characters


def _bytes(texts: list[str]) -> int:
    """A lone surrogate, which UTF-8 has not, counts as one."""
    return sum(len(text.encode("utf-8", "replace")) for text in texts)
