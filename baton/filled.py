"""Answers in which Baton makes what the upstream lacks: echo, best_of, a suffix.

Fills are applied in the order of `routing.capabilities.FILLS`; those that must see the whole answer
first (best_of, a ranked suffix) gather it behind the same `read`.
"""

from collections.abc import Sequence

from baton.answer import Answer, Counted
from baton.protocol import CompletionRequest
from baton.routing.plan import Attempt
from baton.semantics.choices import pick_best
from baton.semantics.echo import Echo
from baton.semantics.events import Delta, Usage
from baton.semantics.fim import RankedFill
from baton.upstreams.base import Upstream


async def open_filled(request: CompletionRequest, attempt: Attempt, upstream: Upstream) -> Answer:
    """Open the calls of an attempt that needs fills. Raises as Upstream.open does."""
    if "suffix" in attempt.fills:
        fill = RankedFill(attempt.call, request.n)
        call = fill.first_call()
        stream = await upstream.open(call)
        return RankedAnswer(attempt, upstream, [Counted(call, upstream, stream)], fill)
    stream = await upstream.open(attempt.call)
    calls = [Counted(attempt.call, upstream, stream)]
    if request.best_of > request.n:
        return BestOfAnswer(attempt, upstream, calls, request)
    return EchoedAnswer(attempt, upstream, calls, request)


class EchoedAnswer(Answer):
    """The prompt first, for an upstream that does not echo."""

    def __init__(
        self, attempt: Attempt, upstream: Upstream, calls: list[Counted], request: CompletionRequest
    ) -> None:
        super().__init__(attempt, upstream, calls)
        self._echo = Echo(request.prompts, request.n)

    async def read(self) -> Sequence[Delta]:
        return self._echo.feed(await super().read())


class BestOfAnswer(Answer):
    """The n best of best_of candidates, by mean logprob; every candidate counts as used."""

    def __init__(
        self, attempt: Attempt, upstream: Upstream, calls: list[Counted], request: CompletionRequest
    ) -> None:
        super().__init__(attempt, upstream, calls)
        self._request = request
        self._given = False

    async def read(self) -> Sequence[Delta]:
        if self._given:
            return ()
        self._given = True
        deltas = await self._calls[0].gather()
        best = pick_best(deltas, self._request.n, self.attempt.call.n)
        if "echo" in self.fills:
            best = list(Echo(self._request.prompts, self._request.n).feed(best))
        return best


class RankedAnswer(Answer):
    """A suffix where the model has no fill-in-the-middle: the candidate that makes it likeliest."""

    def __init__(
        self, attempt: Attempt, upstream: Upstream, calls: list[Counted], fill: RankedFill
    ) -> None:
        super().__init__(attempt, upstream, calls)
        self._host, self._fill = upstream, fill
        self._given = False

    async def read(self) -> Sequence[Delta]:
        if self._given:
            return ()
        self._given = True
        scoring = self._fill.scoring_call(await self._calls[0].gather())
        stream = await self._host.open(scoring)
        counted = Counted(scoring, self._host, stream)
        self._calls.append(counted)
        return self._fill.best(await counted.gather())

    @property
    def usage(self) -> Usage:
        """The prompt with its suffix once, every candidate; scoring is the operator's cost."""
        return self._fill.usage(self._calls[0].usage)
