"""Opens the calls of one attempt on its upstream, as its work says, and keeps count of them."""

import msgspec

from baton.answer import Counted, Onward
from baton.fills.cut import Cut
from baton.fills.fan_out import FanOut
from baton.fills.source import Source
from baton.routing.work import ANY, Work
from baton.semantics.cut import Cutter
from baton.semantics.events import Call
from baton.semantics.parts import divide
from baton.upstreams.base import Upstream


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
            return await self._cut(call)
        fan_out = FanOut(parts, call.n, self._cut, work.parallel_max)
        await fan_out.open()
        return fan_out

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
        source = await self._counted(call)
        if not work.stops and work.tokens_max is None:
            return source
        return Cut(source, Cutter(call, work.stops, work.tokens_max))

    async def _counted(self, call: Call) -> Counted:
        stream = await self._upstream.open(call)
        counted = Counted(call, self._upstream, stream, self._onward)
        self.calls.append(counted)
        return counted
