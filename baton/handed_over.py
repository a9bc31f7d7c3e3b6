"""The rest of a call, whoever goes on with it: a stream in the terms of the call that was lost.

Each unfinished choice is a call of its own (a `Leg`); their deltas are stitched to what came before
and merged. The usage that is reported at the end is that of the whole logical call.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

from baton.answer import Counted, Cut
from baton.errors import RequestError
from baton.fills.fan_out import FanOut
from baton.fills.source import Source
from baton.semantics.events import Call, Delta, Event, Usage, UsageReported
from baton.semantics.handoff import Remainder, Rest
from baton.semantics.parts import Part
from baton.semantics.seam import Seam, joined_usage
from baton.upstreams.base import UpstreamStream
from baton.upstreams.failures import failure

COUNTING_S = 5.0
"""For the prompts of one call, together: the caller has all its text by then, and waits for the end
alone."""
Begin = Callable[[Rest], Awaitable["Leg"]]
"""Has a rest begun. Raises as Upstream.open does."""
Count = Callable[[Rest], Awaitable["Leg | None"]]
"""Has a prompt counted; None where nobody does."""


class Leg:
    """One rest under way; a Source of its deltas in the caller's terms."""

    def __init__(self, counted: Counted, rest: Rest) -> None:
        self.upstream, self.rest = counted.upstream.name, rest
        self._counted, self._seam = counted, Seam(rest)
        self._opening = self._seam.opening()

    @property
    def usage(self) -> Usage:
        return self._counted.usage

    @property
    def generated(self) -> int:
        return self._counted.generated

    async def read(self) -> Sequence[Delta]:
        if self._opening:
            opening, self._opening = self._opening, []
            return opening
        while not self._seam.over():
            deltas = await self._counted.read()
            if not deltas:
                break
            found = self._seam.feed(deltas)
            if self._seam.over():
                self._counted.close()
            if found:
                return found
        return ()

    def close(self) -> None:
        self._counted.close()


class HandedOver:
    """The rest of a call as a stream in its terms; implements base.UpstreamStream."""

    def __init__(self, cut: Cut, left: Remainder, host: str, count: Count) -> None:
        """`host` goes on; `count` is asked for prompts whose length nobody else tells."""
        self._cut, self._left, self.host, self._count = cut, left, host, count
        self._ends = left.ends
        self._legs: list[Leg] = []
        self._source: Source | None = None
        self._ended = False
        self.exact = False
        """Whether all of it is a replay: then so may be what follows."""
        stream = cut.stream
        self.origin: UpstreamStream = stream.origin if isinstance(stream, HandedOver) else stream
        """The stream that the caller's call began with."""
        self.prompt_tokens = cut.usage.prompt_tokens if cut.counted else None

    async def begin(self, begin: Begin, parallel_max: int) -> None:
        """Returns once a first rest is accepted. Raises as Upstream.open does."""
        rests = {id(rest.call): rest for rest in self._left.rests}

        async def open(call: Call) -> Source:
            leg = await begin(rests[id(call)])
            self._legs.append(leg)
            return leg

        n = self._cut.call.n
        parts = [Part(rest.call, *divmod(rest.index, n)) for rest in self._left.rests]
        fan = FanOut(parts, n, open, parallel_max)
        await fan.open()
        self._source = fan

    def replays(self, leg: Leg) -> None:
        """It consists of this one call."""
        self._source, self.exact = leg, True
        self._legs.append(leg)

    async def read(self) -> Sequence[Event]:
        """The next events; empty once the call is whole. Raises UpstreamError."""
        if self._ends:
            ends, self._ends = self._ends, []
            return ends
        try:
            if self._source is not None and (deltas := await self._source.read()):
                return deltas
            if self._ended:
                return ()
            self._ended = True
            return await self._report()
        except RequestError as error:
            self.close()
            raise failure("stream", "status", f"refused in mid-stream: {error.code}") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._ended = True
        if self._source is not None:
            self._source.close()
        for leg in self._legs:
            leg.close()

    async def _report(self) -> Sequence[Event]:
        """The usage of the whole call; of one that had told it itself, nothing more."""
        cut, left = self._cut, self._left
        if cut.reported and not (left.rests or left.ends):
            return ()
        if left.silent:
            await self._count_prompts()
        used = [(leg.rest, leg.usage) for leg in self._legs]
        usage = joined_usage(cut.call, left, used, cut.usage if cut.counted else None)
        return (UsageReported(usage),)

    async def _count_prompts(self) -> None:
        """All that nobody told, as far as there is time: the rest is an estimate."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(COUNTING_S):
                for rest in self._left.silent:
                    leg = await self._count(rest)
                    if leg is not None:
                        self._legs.append(leg)
