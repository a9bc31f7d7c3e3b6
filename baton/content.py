"""Contents: what was asked and answered, kept where a key opted in and nowhere else.

Theory of operation. Of a caller whose key keeps no content nothing here runs: the room tests one
attribute. For one whose key does, the answer is read through a `HeardAnswer`, which notes the texts
of the deltas as they pass, up to the limit of a request; when the turn ends, however it ends, what
was heard so far is cut to that limit and handed to the worker's `Keeper`. That is all the relay
does. The keeper seals and writes many at a time, in a thread, a moment later; while the book cannot
be written contents wait in memory, up to a limit, and beyond it the newest give way and are counted
(`baton_contents_total`). A relay is never slowed by it, and a crash loses what was not written yet:
a content is for people to look at, the ledger needs none of it.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from baton.answer import Answer, Spent
from baton.protocol import CompletionRequest
from baton.semantics.events import Delta, Prompt, Usage
from baton.stores.base import StoreError
from baton.stores.contents import Content, Contents, Heard
from baton.telemetry import diary
from baton.telemetry.metrics import Metrics
from baton.upstreams.base import TakeText

ID_BYTES = 5
"""That a token id takes as it is stored, at most."""
GATHER_S = 0.5
"""From the first content that waits until it is written, with those that came meanwhile."""
RETRY_S = 1.0
"""Until the book is tried again."""
ROWS_PER_WRITE_MAX = 64
WAITING_MAX = 4_096
WAITING_BYTES_MAX = 64 * 1024 * 1024
"""Of contents that wait in this process, in UTF-8."""


class Hearing:
    """One turn, as it is heard. `end` once, or more often to no effect."""

    def __init__(
        self, request: CompletionRequest, bytes_max: int, tell: Callable[[Content], None]
    ) -> None:
        self._request, self._bytes_max, self._tell = request, bytes_max, tell
        self._texts: dict[int, list[str]] = {}
        self._left, self._cut, self._over = bytes_max, False, False

    def add(self, deltas: Sequence[Delta]) -> None:
        """Note what goes to the caller; a character is at least a byte."""
        for delta in deltas:
            text = delta.text
            if len(text) > self._left:
                text, self._cut = text[: self._left], True
            if text:
                self._texts.setdefault(delta.index, []).append(text)
                self._left -= len(text)

    def end(self) -> None:
        """That was all."""
        if self._over:
            return
        self._over = True
        texts = {index: "".join(parts) for index, parts in sorted(self._texts.items())}
        self._tell(cut(self._request, texts, self._bytes_max, already=self._cut))


class HeardAnswer(Answer):
    """An answer that is heard as it is read."""

    def __init__(self, answer: Answer, hearing: Hearing) -> None:
        self.attempt, self.fingerprint = answer.attempt, answer.fingerprint
        self.attempts = answer.attempts
        self._answer, self._hearing = answer, hearing

    @property
    def handoffs(self) -> int:
        return self._answer.handoffs

    @property
    def queued_s(self) -> float:
        return self._answer.queued_s

    @property
    def poured(self) -> int:
        return self._answer.poured

    @property
    def spent(self) -> tuple[Spent, ...]:
        return self._answer.spent

    @property
    def asked(self) -> bool:
        return self._answer.asked

    @property
    def usage(self) -> Usage:
        return self._answer.usage

    @property
    def generated(self) -> int:
        return self._answer.generated

    async def read(self) -> Sequence[Delta]:
        deltas = await self._answer.read()
        self._hearing.add(deltas)
        return deltas

    async def pour(
        self, take: Callable[[Sequence[Delta]], bool], take_text: TakeText | None = None
    ) -> None:
        def heard(deltas: Sequence[Delta]) -> bool:
            self._hearing.add(deltas)
            return take(deltas)

        await self._answer.pour(heard)

    def close(self) -> None:
        self._answer.close()
        self._hearing.end()


class Keeper:
    """Writes contents into the book. Owned by one event loop; `close` writes what still waits."""

    def __init__(self, store: Contents, metrics: Metrics, bytes_max: int) -> None:
        """`bytes_max`: of one content."""
        self._store, self._metrics, self._bytes_max = store, metrics, bytes_max
        self._waiting: deque[Heard] = deque()
        self._bytes = 0
        self._some, self._ending = asyncio.Event(), asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="contents")

    def hear(self, request_id: str, key_id: str, request: CompletionRequest) -> Hearing:
        """Begin to hear a turn; what was heard is kept at its end."""
        created_us = time.time_ns() // 1000

        def take(content: Content) -> None:
            self._take(
                Heard(request_id=request_id, key_id=key_id, created_us=created_us, content=content)
            )

        return Hearing(request, self._bytes_max, take)

    async def close(self) -> None:
        """Write what waits, if the book can be written; nothing is taken any more."""
        self._ending.set()
        self._some.set()
        await self._task

    def _take(self, heard: Heard) -> None:
        size = self._bytes + heard.content.bytes
        full = len(self._waiting) >= WAITING_MAX or size > WAITING_BYTES_MAX
        if full or self._task.done():
            self._metrics.contents_ended("dropped")
            return
        self._bytes = size
        self._waiting.append(heard)
        self._some.set()

    async def _run(self) -> None:
        while not self._ending.is_set():
            await self._some.wait()
            self._some.clear()
            await self._pause(GATHER_S)
            while not await self._all_written() and not self._ending.is_set():
                await self._pause(RETRY_S)
        if not await self._all_written():
            self._metrics.contents_ended("dropped", len(self._waiting))
            self._waiting.clear()

    async def _all_written(self) -> bool:
        """Whether nothing waits any more; False while the book cannot be written."""
        while self._waiting:
            if not await self._written():
                return False
        return True

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ending.wait()

    async def _written(self) -> bool:
        """Be done with the oldest of those that wait; False while the book cannot be written."""
        some = [self._waiting[n] for n in range(min(len(self._waiting), ROWS_PER_WRITE_MAX))]
        try:
            kept = await asyncio.to_thread(self._store.keep, some)
        except StoreError as error:
            diary.warning("contents cannot be written", waiting=len(some), reason=str(error))
            return False
        except Exception:  # noqa: BLE001 — a task's boundary: what cannot be kept stops nothing
            diary.exception("contents are not kept", contents=len(some))
            self._metrics.contents_ended("dropped", len(some))
        else:
            self._metrics.contents_ended("kept", kept)
        for one in some:
            self._waiting.popleft()
            self._bytes -= one.content.bytes
        return True


class _Space:
    """How many bytes there still is space for, and whether that was too few for something."""

    def __init__(self, left: int, *, short: bool = False) -> None:
        self.left, self.short = left, short

    def text(self, text: str) -> str:
        """As much of it as there is space for, in whole characters."""
        data = text[: self.left].encode("utf-8", "replace")
        if len(data) > self.left or len(text) > self.left:
            self.short = True
            data = data[: self.left].decode("utf-8", "ignore").encode()
        self.left -= len(data)
        return data.decode()

    def prompt(self, prompt: Prompt) -> Prompt:
        if isinstance(prompt, str):
            return self.text(prompt)
        ids = prompt[: self.left // ID_BYTES]
        self.short = self.short or len(ids) < len(prompt)
        self.left -= len(ids) * ID_BYTES
        return ids


def cut(
    request: CompletionRequest, texts: Mapping[int, str], bytes_max: int, *, already: bool = False
) -> Content:
    """The content of a request and the texts of its choices, in at most so many bytes. Neither side
    takes more than half of them where the other needs the rest. `already`: texts are cut."""
    whole = _Space(bytes_max)
    for prompt in request.prompts:
        whole.prompt(prompt)
    whole.text(request.suffix or "")
    asked_bytes = bytes_max - whole.left
    answered = _Space(bytes_max - min(asked_bytes, bytes_max // 2), short=already)
    before = answered.left
    completions = {index: kept for index, text in texts.items() if (kept := answered.text(text))}
    asked = _Space(bytes_max - (before - answered.left))
    suffix = None if request.suffix is None else asked.text(request.suffix)
    return Content(
        prompts=[asked.prompt(prompt) for prompt in request.prompts],
        suffix=suffix,
        completions=completions,
        cut_at_bytes=bytes_max if asked.short or answered.short else None,
        bytes=bytes_max - asked.left,
    )
