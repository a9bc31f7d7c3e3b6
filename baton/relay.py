"""Run a plan: the first upstream that accepts gives the answer.

`Relay.open` asks the plan's upstreams in the order of `routing/order.py`: by priority, health, load
and the prompt's beginning. Where there is only one there is nothing to order. Every attempt beyond
a request's first is paid from a budget (`routing/budget.py`), so that an outage is not amplified.
Where an upstream's operator allows it, a slow first one is not waited for (`hedging.py`).
A plan without fills hands its upstream's deltas on as they are (`answer.Answer`); what Baton fills
in is made in `filled.py`.

Upstreams tell their sites themselves how calls fare, so whoever opens a call has done its part.
"""

import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import NamedTuple

from baton.answer import Answer, Counted, Onward
from baton.filled import open_filled
from baton.handing import Bounds, Handing
from baton.hedging import Race
from baton.protocol import CompletionRequest
from baton.routing.affinity import Popularity, beginnings
from baton.routing.budget import HEDGES_MAX, HEDGES_MIN, HEDGES_PER_REQUEST, Budget
from baton.routing.order import order
from baton.routing.plan import Attempt, Plan
from baton.semantics.events import Prompt
from baton.sites import Site
from baton.upstreams.base import Upstream, UpstreamError, UpstreamStream
from baton.upstreams.failures import failure

ATTEMPTS_MAX = 3
"""Before the first byte of an answer."""


class Opening(NamedTuple):
    """An attempt that is under way, wherever its upstream is by now."""

    upstream: Upstream
    go_on: Callable[[], Awaitable[UpstreamStream]]
    """Raises as Upstream.open does."""


class Relay:
    """Knows the upstreams by name and runs plans on them."""

    def __init__(
        self,
        sites: dict[str, Site],
        retries: Budget | None = None,
        handoffs: Bounds | None = None,
        clock: Callable[[], float] = time.monotonic,
        hedges: Budget | None = None,
    ) -> None:
        """`clock` gives seconds, the same as the sites'."""
        self._hedges = hedges or Budget(HEDGES_PER_REQUEST, HEDGES_MIN, HEDGES_MAX)
        self._sites, self._clock = sites, clock
        self._handoffs = handoffs or Bounds()
        self._retries = retries or Budget()
        self._popularity = Popularity()

    async def open(self, plan: Plan, begun: Opening | None = None) -> Answer:
        """The first attempt that an upstream accepts; `begun`: the plan's first attempt, where it
        is under way.

        RequestError is the caller's fault and ends the search; UpstreamError is the last failure.
        A plan may name an upstream that is gone by now: that is a failure like others.
        """
        attempts = plan.attempts
        onward = Handing(self, plan, self._handoffs)
        if begun is None:
            self._retries.requests += 1
        if len(attempts) > 1 and begun is not None:
            first = attempts[0]
            attempts = (first, *self.ordered(plan, (first.upstream,)))
        elif len(attempts) > 1:
            attempts = self.ordered(plan)
            slow = self._sites.get(attempts[0].upstream) if len(attempts) > 1 else None
            if slow is not None and slow.hedge_after_s is not None:
                return await self._race(plan, onward, slow).run(attempts, slow.hedge_after_s)
        last: UpstreamError | None = None
        for number, attempt in enumerate(attempts, 1):
            if last is not None and not self._may_retry(number, last):
                break
            try:
                answer = await self._open(plan.request, attempt, onward, begun)
            except UpstreamError as error:
                last, begun = error, None
                if not error.retryable:
                    break
                continue
            answer.attempts = number
            return answer
        raise last or self._paused(plan)

    def ordered(self, plan: Plan, tried: Collection[str] = ()) -> tuple[Attempt, ...]:
        """The plan's attempts, best first, as its upstreams are now, without those `tried`.

        Empty where nobody is left who could be asked: all are tried, gone, or asked for a pause.
        """
        found = [
            (attempt, site)
            for attempt in plan.attempts
            if attempt.upstream not in tried
            and (site := self._sites.get(attempt.upstream)) is not None
        ]
        numbers = order(
            [site for _, site in found],
            self._clock(),
            plan.seed,
            lambda: self._popularity.parting(beginnings(plan.request.prompts[0]), len(found)),
        )
        return tuple(found[number][0] for number in numbers)

    def choose(self, sites: Sequence[Site], prompt: Prompt, seed: int) -> int | None:
        """The number of the one that `open` would ask first for a prompt; None where nobody is to
        be asked now, or the first one would not be waited for."""
        numbers = order(
            sites,
            self._clock(),
            seed,
            lambda: self._popularity.parting(beginnings(prompt), len(sites)),
        )
        if not numbers or sites[numbers[0]].hedge_after_s is not None:
            return None
        return numbers[0]

    def begun(self) -> None:
        """A request's first attempt begins elsewhere (`open` is told of it, if it comes here)."""
        self._retries.requests += 1

    def knows(self, plan: Plan) -> bool:
        """Whether one of its upstreams is still as it was planned with."""
        return any(attempt.upstream in self._sites for attempt in plan.attempts)

    def site(self, name: str) -> Site | None:
        """The upstream of that name, unless it was removed."""
        return self._sites.get(name)

    def follow(self, name: str, site: Site | None) -> None:
        """An upstream that this one knows is `site` now; None: plans name it in vain."""
        if site is None:
            self._sites.pop(name, None)
        elif name in self._sites:
            self._sites[name] = site

    def may_retry(self) -> bool:
        """Whether a further attempt may be made for any request, hand-offs too; it is counted."""
        return self._retries.take(self._clock())

    def _race(self, plan: Plan, onward: Handing, slow: Site) -> Race:
        return Race(
            lambda attempt, lost: self._open(plan.request, attempt, lost),
            onward,
            self._may_hedge,
            self._may_retry,
            slow,
        )

    def _may_hedge(self) -> bool:
        """Within both budgets: a hedge is a retry before the failure."""
        now_s, hedges = self._clock(), self._hedges
        hedges.requests = self._retries.requests
        if not hedges.take(now_s):
            return False
        allowed = self._retries.take(now_s)
        if not allowed:
            hedges.give_back()
        return allowed

    def _may_retry(self, number: int, last: UpstreamError) -> bool:
        """A call that never left our own queue in front of an upstream was no attempt."""
        queued = last.phase == "connect" and last.kind == "overloaded"
        return number <= ATTEMPTS_MAX and (queued or self.may_retry())

    async def _open(
        self,
        request: CompletionRequest,
        attempt: Attempt,
        onward: Onward | None,
        begun: Opening | None = None,
    ) -> Answer:
        if begun is not None:
            stream = await begun.go_on()
            return _answered(attempt, begun.upstream, stream, onward)
        site = self._sites.get(attempt.upstream)
        if site is None:
            raise failure("connect", "refused", "removed since the plan was made")
        if site.health.troubled:
            self._may_ask(site)
        upstream = site.upstream
        if attempt.work is not None:
            return await open_filled(request, attempt, upstream, onward)
        return _answered(attempt, upstream, await upstream.open(attempt.call), onward)

    def _may_ask(self, site: Site) -> None:
        """Raises UpstreamError while the upstream wants to be left alone."""
        now_s = self._clock()
        if site.health.paused(now_s):
            raise _left_alone(site.health.paused_until_s - now_s)
        site.health.asked(now_s)

    def _paused(self, plan: Plan) -> UpstreamError:
        """Nobody was asked: when the first of them may be asked again."""
        sites = [site for each in plan.attempts if (site := self._sites.get(each.upstream))]
        if not sites:
            return failure("connect", "refused", "removed since the plan was made")
        until_s = min(site.health.paused_until_s for site in sites)
        return _left_alone(until_s - self._clock())


def _answered(
    attempt: Attempt, upstream: Upstream, stream: UpstreamStream, onward: Onward | None
) -> Answer:
    return Answer(attempt, upstream, [Counted(attempt.call, upstream, stream, onward)])


def _left_alone(wait_s: float) -> UpstreamError:
    """Of an upstream that is not asked, as it named a time to come back."""
    error = failure("connect", "overloaded", "it asked to be left alone")
    error.retry_after_s = max(0.0, wait_s)
    return error
