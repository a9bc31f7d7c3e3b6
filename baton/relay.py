"""Run a plan: the first upstream that accepts gives the answer.

`Relay.open` tries the plan's attempts in order. A plan without fills hands its upstream's deltas on
as they are (`answer.Answer`); what Baton fills in is made in `filled.py`.
"""

from collections.abc import Mapping

from baton.answer import Answer, Counted
from baton.filled import open_filled
from baton.protocol import CompletionRequest
from baton.routing.plan import Attempt, Plan
from baton.upstreams.base import Upstream, UpstreamError
from baton.upstreams.failures import failure


class Relay:
    """Knows the upstreams and runs plans on them."""

    def __init__(self, upstreams: Mapping[str, Upstream]) -> None:
        self._upstreams = upstreams

    async def open(self, plan: Plan) -> Answer:
        """The first attempt that an upstream accepts.

        RequestError is the caller's fault and ends the search; UpstreamError is the last failure.
        A plan may name an upstream that is gone by now: that is a failure like others.
        """
        last: UpstreamError | None = None
        for number, attempt in enumerate(plan.attempts, 1):
            try:
                answer = await self._open(plan.request, attempt)
            except UpstreamError as error:
                last = error
                if not error.retryable:
                    break
                continue
            answer.attempts = number
            return answer
        assert last is not None, "a plan has at least one attempt"
        raise last

    async def _open(self, request: CompletionRequest, attempt: Attempt) -> Answer:
        upstream = self._upstreams.get(attempt.upstream)
        if upstream is None:
            raise failure("connect", "refused", "removed since the plan was made")
        if attempt.fills or request.best_of > request.n:
            return await open_filled(request, attempt, upstream)
        stream = await upstream.open(attempt.call)
        return Answer(attempt, upstream, [Counted(attempt.call, upstream, stream)])
