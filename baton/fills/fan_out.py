"""Several calls as one source: a few at a time, read as they come, numbered as one.

Theory of operation. A strand is one part under way: first it is opened, then read, batch by batch,
in a task of its own. A batch is handed over as soon as it is there, whichever strand has it; the
strand is read again only when the caller comes back, so what waits in memory is one batch a strand,
and a slow caller slows all its upstream calls. When a strand has ended the next part takes its
place.

A part that fails fails the whole, and the others are closed: an answer is whole or is none. The one
exception is a part for which there is no room (the upstream is overloaded, all connections are
lent) while others of this answer are under way: it waits until one of those has ended, and from
then on so many run at once as there was room for. So one request cannot starve itself.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Iterator, Sequence

from baton.fills.source import Open, Source
from baton.semantics.events import Delta, Usage
from baton.semantics.parts import Part, renumbered, total
from baton.upstreams.base import UpstreamError

Task = asyncio.Task[Sequence[Delta] | None]
"""Brings a batch (an empty one at the end), or nothing where it has opened a call."""


class _Strand:
    """One part under way."""

    __slots__ = ("part", "source")

    def __init__(self, part: Part) -> None:
        self.part = part
        self.source: Source | None = None
        """None until the upstream has accepted it."""


class FanOut:
    """Implements Source over the parts of a call with `n` samples of each prompt."""

    def __init__(self, parts: Iterable[Part], n: int, open: Open, parallel_max: int) -> None:
        self._parts: Iterator[Part] = iter(parts)
        self._n, self._open, self._parallel_max = n, open, parallel_max
        self._again: list[Part] = []
        """Parts for which there was no room."""
        self._idle: list[_Strand] = []
        """Strands whose last batch the caller has."""
        self._tasks: dict[Task, _Strand] = {}
        self._strands: list[_Strand] = []
        """All that were accepted, also those that have ended: what was used."""
        self._closed = False

    async def open(self) -> None:
        """Returns once a first part is accepted. Raises as Upstream.open does."""
        try:
            while not self._strands:
                await self._step()
        except BaseException:
            self.close()
            raise

    async def read(self) -> Sequence[Delta]:
        try:
            while not self._closed and (found := await self._step()) is not None:
                if found:
                    return found
        except BaseException:
            self.close()
            raise
        return ()

    def close(self) -> None:
        """Let go of every call; none is begun any more."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
            task.add_done_callback(_forget)
            if task.done():
                _forget(task)
        self._tasks.clear()
        self._idle.clear()
        for strand in self._strands:
            if strand.source is not None:
                strand.source.close()

    @property
    def usage(self) -> Usage:
        return total(
            (strand.part, strand.source.usage) for strand in self._strands if strand.source
        )

    @property
    def generated(self) -> int:
        return sum(strand.source.generated for strand in self._strands if strand.source)

    async def _step(self) -> list[Delta] | None:
        """Whatever is there next: perhaps only that a strand was accepted or has ended. None once
        nothing is left."""
        self._launch()
        if not self._tasks:
            return None
        await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        found: list[Delta] = []
        for task in [task for task in self._tasks if task.done()]:
            found += self._taken(self._tasks.pop(task), task)
        return found

    def _launch(self) -> None:
        """Read the strands that wait for it, and begin parts while there is room for them."""
        idle, self._idle = self._idle, []
        for strand in idle:
            self._run(strand, self._read(strand))
        while len(self._tasks) < self._parallel_max:
            part = self._again.pop() if self._again else next(self._parts, None)
            if part is None:
                break
            strand = _Strand(part)
            self._run(strand, self._begin(strand))

    def _run(self, strand: _Strand, work: Coroutine[None, None, Sequence[Delta] | None]) -> None:
        self._tasks[asyncio.get_running_loop().create_task(work)] = strand

    async def _begin(self, strand: _Strand) -> None:
        """Open the strand's call."""
        strand.source = await self._open(strand.part.call)
        self._strands.append(strand)
        if self._closed:
            strand.source.close()

    async def _read(self, strand: _Strand) -> Sequence[Delta]:
        assert strand.source is not None
        return await strand.source.read()

    def _taken(self, strand: _Strand, task: Task) -> list[Delta]:
        """What a task has brought. Raises what it failed with."""
        try:
            deltas = task.result()
        except UpstreamError as error:
            under_way = len(self._idle) + len(self._tasks)
            if strand.source is not None or error.kind != "overloaded" or not under_way:
                raise
            self._again.append(strand.part)
            self._parallel_max = under_way
            return []
        if deltas is None or deltas:
            self._idle.append(strand)
        return renumbered(deltas, strand.part, self._n) if deltas else []


def _forget(task: Task) -> None:
    """Nobody is left to hear of its failure."""
    if not task.cancelled():
        task.exception()
