"""Hedging: where the first upstream does not begin to answer, another one is asked as well.

Theory of operation. An operator allows it for an upstream (`hedge_after_s`); it costs money, so it
is never done otherwise. A request whose first choice is such an upstream is a race: each contender
opens its call and reads its first deltas. Whoever has them first is the answer, the others are
cancelled and closed: nothing of theirs was given to anybody. What they cost is the operator's.

Only one further upstream is asked, for slowness of the first choice, and only where both the budget
for hedges (a twentieth of requests) and that for retries allow it: a hedge is a retry before the
failure.
Failures within the race are retried as usual. While it runs nobody hands over: a contender that
breaks off before its first delta has lost. From then on the winner's call goes on as every other.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Protocol

from baton.answer import Answer, Onward, Spent
from baton.errors import RequestError
from baton.routing.plan import Attempt
from baton.semantics.events import Delta, Usage
from baton.semantics.usage import guess
from baton.upstreams.base import UpstreamError

Open = Callable[[Attempt, Onward | None], Awaitable[Answer]]
"""Opens an attempt. Raises as Upstream.open does."""


class HedgedAnswer(Answer):
    """The winner: its first deltas are here already."""

    def __init__(self, answer: Answer, first: Sequence[Delta], onward: Onward) -> None:
        calls = answer._calls
        super().__init__(answer.attempt, calls[0].upstream, calls)
        for call in calls:
            call.onward = onward
        self._first = first

    async def read(self) -> Sequence[Delta]:
        if self._first:
            first, self._first = self._first, ()
            return first
        return await super().read()


class _Contender:
    """One attempt on its way to its first deltas."""

    def __init__(self, attempt: Attempt, open_: Open, onward: Onward) -> None:
        self.attempt, self._open, self._onward = attempt, open_, onward
        self.answer: Answer | None = None
        self.task = asyncio.get_running_loop().create_task(self._begin())

    async def _begin(self) -> Answer:
        """An answer with work around its calls has begun once it is accepted."""
        if self.attempt.work is not None:
            self.answer = await self._open(self.attempt, self._onward)
            return self.answer
        answer = self.answer = await self._open(self.attempt, None)
        self.answer = HedgedAnswer(answer, await answer.read(), self._onward)
        return self.answer

    @property
    def spent(self) -> Spent:
        """The prompt at least: whether it was computed nobody tells who is cancelled."""
        if self.answer is not None:
            return Spent(self.attempt.upstream, self.answer.usage)
        tokens = sum(map(guess, self.attempt.call.prompts))
        return Spent(self.attempt.upstream, Usage(tokens, 0, estimated=True))


async def _leave(contenders: Sequence[_Contender]) -> None:
    """Each of them, wherever it is; all are told at once, lest one stays behind where whoever waits
    for their end is told to leave, too."""
    for each in contenders:
        each.task.cancel()
    try:
        await asyncio.gather(*(each.task for each in contenders), return_exceptions=True)
    finally:
        for each in contenders:
            if each.answer is not None:
                each.answer.close()


class Hedged(Protocol):
    """The upstream that is not waited for: it counts how often (`sites.Site`)."""

    hedges_started: int
    hedges_won: int


class Race:
    """Runs the attempts of one request, the first of them hedged."""

    def __init__(
        self,
        open_: Open,
        onward: Onward,
        may_hedge: Callable[[], bool],
        may_retry: Callable[[int, UpstreamError], bool],
        slow: Hedged,
    ) -> None:
        """`may_retry` is asked with the number of the attempt and the last failure; `slow` is the
        site of the first one."""
        self._open, self._onward = open_, onward
        self._may_hedge, self._may_retry = may_hedge, may_retry
        self._slow = slow
        self._hedge: _Contender | None = None
        """Who was asked for slowness."""
        self._running: list[_Contender] = []
        self._lost: list[Spent] = []
        """Of those that broke off after they were accepted."""
        self._started = 0
        self._last: UpstreamError | None = None
        self._refused: RequestError | None = None
        """What one of them found wrong with the request, while another one may still answer it."""

    async def run(self, attempts: Sequence[Attempt], hedge_after_s: float) -> Answer:
        """The first to begin. RequestError, or the last UpstreamError, where nobody does."""
        left = iter(attempts)
        wait_s: float | None = hedge_after_s
        self._start(left)
        try:
            while self._running:
                tasks = [each.task for each in self._running]
                done, _ = await asyncio.wait(
                    tasks, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    wait_s = None
                    if self._may_hedge():
                        self._hedge = self._start(left)
                        self._slow.hedges_started += self._hedge is not None
                elif (winner := self._look()) is not None:
                    return await self._won(winner)
                elif not self._running and self._may_go_on():
                    wait_s = None  # whoever is asked now has not been allowed a hedge
                    self._start(left)
        finally:
            await _leave(self._running)
        assert self._last is not None
        raise self._last

    def _start(self, left: Iterator[Attempt]) -> _Contender | None:
        attempt = next(left, None)
        if attempt is None:
            return None
        self._started += 1
        self._running.append(_Contender(attempt, self._open, self._onward))
        return self._running[-1]

    def _look(self) -> _Contender | None:
        """Whoever has begun; those that failed are out. Raises what is no upstream's failure, once
        nobody is left who may see it otherwise."""
        for each in list(self._running):
            if not each.task.done():
                continue
            error = each.task.exception()
            if error is None:
                return each
            self._running.remove(each)
            if each.answer is not None:
                each.answer.close()
                self._lost.append(each.spent)
            if isinstance(error, UpstreamError):
                self._last = error
            elif isinstance(error, RequestError):
                self._refused = error
            else:
                raise error
        if self._refused is not None and not self._running:
            raise self._refused
        return None

    def _may_go_on(self) -> bool:
        """One that broke off before its first delta was accepted, and gave nothing to anybody."""
        last = self._last
        assert last is not None
        return (last.retryable or last.phase == "stream") and self._may_retry(
            self._started + 1, last
        )

    async def _won(self, winner: _Contender) -> Answer:
        self._running.remove(winner)
        self._slow.hedges_won += winner is self._hedge
        answer = winner.task.result()
        answer.attempts = self._started
        try:
            await _leave(self._running)
        except BaseException:
            answer.close()
            raise
        answer.losers = (*self._lost, *(each.spent for each in self._running))
        self._running.clear()
        return answer
