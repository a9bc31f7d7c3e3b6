"""Opens the calls of one attempt on its upstream, as its work says, and keeps count of them."""

import msgspec

from baton.answer import Counted, Onward
from baton.fills.cut import Cut
from baton.fills.fan_out import FanOut
from baton.fills.measured import Measured
from baton.fills.source import Source
from baton.fills.tallied import Tallied
from baton.routing.work import ANY, Work
from baton.semantics.cut import Cutter
from baton.semantics.events import Call
from baton.semantics.measure import Meter
from baton.semantics.parts import divide
from baton.upstreams.base import Upstream, Vocabular, Vocabulary

SLACK_TOKENS, SLACK_PART = 4, 8
"""Tokens beyond max_tokens, and of how many one more, by which the text of a server that is trusted
to keep it may be divided otherwise than it was generated."""


class Host:
    """`calls` are all that were accepted, in their order; who made the host closes them."""

    def __init__(self, upstream: Upstream, work: Work, onward: Onward | None) -> None:
        self._upstream, self._work, self._onward = upstream, work, onward
        self.calls: list[Counted] = []

    async def open(self, call: Call) -> Source:
        """A call, in as many parts as the upstream needs. Raises as Upstream.open does."""
        work = self._work
        parts = list(divide(call, work.prompts_max, work.samples_max)) if work.divided else []
        if len(parts) < 2:
            return self.tallied(await self._cut(call), call)
        fan_out = FanOut(parts, call.n, self._cut, work.parallel_max)
        await fan_out.open()
        return self.tallied(fan_out, call)

    def tallied(self, source: Source, call: Call) -> Source:
        """The answer to a call, counted by the model's vocabulary where there is one."""
        vocabulary = self._vocabulary(call)
        if vocabulary is None:
            return source
        wraps = self._upstream.capabilities.wrapping_tokens > 0
        return Tallied(source, call, vocabulary, wraps=wraps)

    async def score(self, call: Call) -> Source:
        """Prompts with their logprobs and nothing generated."""
        native = self._upstream.capabilities
        if native.max_tokens_zero and native.prompt_arrays:
            return await self._counted(call)
        prompts_max = ANY if native.prompt_arrays else 1
        parts = divide(call, prompts_max, ANY)
        fan_out = FanOut(parts, call.n, self._scored, self._work.parallel_max)
        await fan_out.open()
        return fan_out

    async def _scored(self, call: Call) -> Source:
        if self._upstream.capabilities.max_tokens_zero:
            return await self._counted(call)
        longer = msgspec.structs.replace(call, max_tokens=1)
        return Cut(await self._counted(longer), Cutter(longer, (), 0))

    async def _cut(self, call: Call) -> Source:
        work = self._work
        source: Source = await self._counted(call)
        tokens_max = work.tokens_max
        vocabulary = self._vocabulary(call)
        if vocabulary is not None and _needs_measure(call, tokens_max):
            slack = max(SLACK_TOKENS, call.max_tokens // SLACK_PART) if tokens_max is None else 0
            source = Measured(source, Meter(call, call.max_tokens, slack), vocabulary)
            tokens_max = None
        if not work.stops and tokens_max is None:
            return source
        return Cut(source, Cutter(call, work.stops, tokens_max))

    def _vocabulary(self, call: Call) -> Vocabulary | None:
        if not self._work.counted:
            return None
        upstream = self._upstream
        return upstream.vocabulary(call.model) if isinstance(upstream, Vocabular) else None

    async def _counted(self, call: Call) -> Counted:
        stream = await self._upstream.open(call)
        counted = Counted(call, self._upstream, stream, self._onward)
        self.calls.append(counted)
        return counted


def _needs_measure(call: Call, tokens_max: int | None) -> bool:
    """Whether nothing but its text tells how many tokens a choice has: with logprobs each tells
    itself, and where an echo of ids ends cannot be seen."""
    if tokens_max == 0 or not call.max_tokens or call.logprobs is not None:
        return False
    return not call.echo or all(isinstance(prompt, str) for prompt in call.prompts)
