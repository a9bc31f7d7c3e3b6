"""Run a plan: open a call, follow its events, fill in what the upstream lacks, count what it did.

Theory of operation. `Relay.open` tries the plan's attempts until one upstream accepts, and returns
an `Answer`: deltas numbered as the caller sees them, read one batch at a time (what is not read is
not received: a slow caller slows its upstream). A plan without fills hands the deltas on as
they are. Fills are applied in the order of `routing.capabilities.FILLS`; those that must see the
whole answer first (best_of, a ranked suffix) gather it behind the same `read`.

An Answer knows at any moment what has been used (`usage`): a caller may leave, or an upstream die,
between any two deltas, and the ledger is told the truth all the same.
"""

from collections.abc import Mapping, Sequence

import msgspec

from baton.protocol import CompletionRequest
from baton.routing.plan import Attempt, Plan
from baton.semantics.choices import pick_best
from baton.semantics.echo import Echo
from baton.semantics.events import Call, Delta, Prompt, Usage
from baton.semantics.fim import RankedFill
from baton.semantics.handoff import Received
from baton.semantics.usage import clamp
from baton.upstreams.base import Upstream, UpstreamError, UpstreamStream
from baton.upstreams.failures import failure

BYTES_PER_TOKEN = 4
"""For estimates only, where nobody counted: English text under byte-pair encodings."""


class Counted:
    """One call's events, counted as they pass."""

    def __init__(self, call: Call, upstream: Upstream, stream: UpstreamStream) -> None:
        self._call, self._upstream, self._stream = call, upstream, stream
        self._reported: Usage | None = None
        self._final: Usage | None = None
        self.generated = 0
        """Tokens so far; an estimate where ids are not told."""
        self.received = Received() if call.stream and not call.echo else None
        """What a hand-off would resume from; None where there can be none."""
        self.whole = False
        """Whether the answer came to its proper end."""

    async def read(self) -> list[Delta]:
        """Some deltas; none at the end."""
        while True:
            events = await self._stream.read()
            deltas: list[Delta] = []
            for event in events:
                if isinstance(event, Delta):
                    ids = event.token_ids
                    self.generated += len(ids) if ids is not None else self._tokens(event.text)
                    if self.received is not None:
                        self.received.add(event)
                    deltas.append(event)
                else:
                    self._reported = event.usage
            if deltas:
                return deltas
            if not events:
                self.whole = True
                return deltas

    async def gather(self) -> list[Delta]:
        """The rest of the answer."""
        found: list[Delta] = []
        while deltas := await self.read():
            found += deltas
        return found

    def close(self) -> None:
        self._stream.close()

    @property
    def usage(self) -> Usage:
        """What the upstream reported, if it can be believed; else our own count, marked so."""
        if self._final is not None:
            return self._final
        usage = self._usage()
        if self.whole:
            self._final = usage
        return usage

    def _usage(self) -> Usage:
        exact = self._upstream.capabilities.exact_usage
        call = self._call
        generated = min(self.generated, len(call.prompts) * call.n * call.max_tokens)
        if self._reported is not None:
            usage = clamp(self._reported, trusted=exact)
            if self.whole or usage.completion_tokens >= generated:
                return usage
            # Servers that report choice by choice have not told of those that still run.
            return msgspec.structs.replace(usage, completion_tokens=generated, estimated=True)
        prompt = self._stream.prompt_tokens
        counted = prompt if prompt is not None else sum(map(_estimate, call.prompts))
        precise = exact and prompt is not None and self._upstream.capabilities.token_ids
        return Usage(counted, generated, estimated=not precise)

    def _tokens(self, text: str) -> int:
        """Of a delta without ids: a stream's is one token, a whole text is measured."""
        return bool(text) if self._call.stream else _estimate(text)


class Answer:
    """One request's answer as it comes. One reader; `close` at any time, any number of times."""

    def __init__(self, attempt: Attempt, upstream: Upstream, calls: list[Counted]) -> None:
        self.attempt, self.fingerprint = attempt, upstream.fingerprint
        self.attempts, self.handoffs = 1, 0
        self._calls = calls

    @property
    def upstream(self) -> str:
        return self.attempt.upstream

    @property
    def fills(self) -> tuple[str, ...]:
        return self.attempt.fills

    @property
    def usage(self) -> Usage:
        """Of the call, so far; final once `read` has returned nothing."""
        return self._calls[0].usage

    @property
    def generated(self) -> int:
        """Tokens so far, for checkpoints: cheap, and at most an estimate."""
        return self._calls[0].generated

    async def read(self) -> Sequence[Delta]:
        """The next deltas; empty once the answer is whole. Raises UpstreamError when it breaks."""
        return await self._calls[0].read()

    def close(self) -> None:
        for call in self._calls:
            call.close()


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
        if "suffix" in attempt.fills:
            fill = RankedFill(attempt.call, request.n)
            call = fill.first_call()
            stream = await upstream.open(call)
            return RankedAnswer(attempt, upstream, [Counted(call, upstream, stream)], fill)
        stream = await upstream.open(attempt.call)
        calls = [Counted(attempt.call, upstream, stream)]
        if request.best_of > request.n:
            return BestOfAnswer(attempt, upstream, calls, request)
        if "echo" in attempt.fills:
            return EchoedAnswer(attempt, upstream, calls, request)
        return Answer(attempt, upstream, calls)


def _estimate(prompt: Prompt) -> int:
    if isinstance(prompt, str):
        return -(-len(prompt.encode()) // BYTES_PER_TOKEN)
    return len(prompt)
