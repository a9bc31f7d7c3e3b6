"""Answers in which Baton makes what the upstream lacks: the fills of `baton/fills`, composed.

The order is stated at the head of that package; the sources below are wrapped in it.
"""

from collections.abc import Callable, Sequence

import msgspec

from baton.answer import Answer, Counted, Onward, Spent
from baton.errors import RequestError, unsupported
from baton.fills.alone import Alone
from baton.fills.best import Best
from baton.fills.echoed import Echoed
from baton.fills.host import Host
from baton.fills.infilled import Infilled, infilled
from baton.fills.ranked import Ranked
from baton.fills.source import Source
from baton.protocol import CompletionRequest
from baton.routing.plan import Attempt
from baton.routing.work import NOTHING, Work
from baton.semantics.echo import Echo
from baton.semantics.events import Call, Delta, Prompt, Usage
from baton.semantics.fim import TEMPLATES, RankedFill
from baton.upstreams.base import Detokenizing, TakeText, Upstream


async def open_filled(
    request: CompletionRequest,
    attempt: Attempt,
    upstream: Upstream,
    onward: Onward | None = None,
) -> Answer:
    """Open the calls of an attempt that has work around it. Raises as Upstream.open does."""
    work, call = attempt.work or NOTHING, attempt.call
    shown = await _texts(upstream, call) if work.detokenize else call.prompts
    if not work.ids_kept:
        call = msgspec.structs.replace(call, prompts=shown)
    host = Host(upstream, work, onward)
    try:
        source = await _answered(request, call, work, host)
    except RequestError as error:
        raise _named(error, request, work) from None
    if work.best:
        source = Best(source, request.n, call.n, shown=not work.unscored)
    if work.echo:
        source = Echoed(source, Echo(shown, request.n))
    return FilledAnswer(attempt, upstream, host.calls, source, onward, request)


async def _answered(request: CompletionRequest, call: Call, work: Work, host: Host) -> Source:
    """What upstreams say, as choices of the call."""
    if work.alone:
        return host.tallied(Alone(call), call)
    if work.ranked:
        fill = RankedFill(call, request.n)
        return Ranked(await host.open(fill.first_call()), fill, host.score)
    if work.template:
        sent = infilled(call, TEMPLATES[work.template])
        return Infilled(await host.open(sent), call, sent)
    return await host.open(call)


async def _texts(upstream: Upstream, call: Call) -> list[Prompt]:
    """The call's prompts as text."""
    if not isinstance(upstream, Detokenizing):
        raise unsupported("prompt", call.model, "it takes text, not token ids.")
    return [
        prompt if isinstance(prompt, str) else await upstream.detokenize(call.model, prompt)
        for prompt in call.prompts
    ]


def _named(error: RequestError, request: CompletionRequest, work: Work) -> RequestError:
    """A refusal in the terms of its caller: who asked for a fill cannot leave out the fields by
    which it is made."""
    field = "suffix" if work.ranked else "best_of" if work.best else ""
    param = error.param
    own = (param == "logprobs" and request.logprobs is None) or (
        param == "echo" and not request.echo
    )
    if not (field and own):
        return error
    remedy = f"its server refuses {param}, by which it is filled in; leave it out."
    return unsupported(field, request.model, remedy)


class FilledAnswer(Answer):
    """An answer that is read through fills. `calls` grow while it runs."""

    def __init__(
        self,
        attempt: Attempt,
        upstream: Upstream,
        calls: list[Counted],
        source: Source,
        onward: Onward | None,
        request: CompletionRequest,
    ) -> None:
        super().__init__(attempt, upstream, calls)
        self._source, self._onward, self._request = source, onward, request
        self._given = False

    async def read(self) -> Sequence[Delta]:
        try:
            deltas = await self._source.read()
        except RequestError as error:
            raise _named(error, self._request, self.attempt.work or NOTHING) from None
        self._given = self._given or bool(deltas)
        return deltas

    async def pour(
        self, take: Callable[[Sequence[Delta]], bool], take_text: TakeText | None = None
    ) -> None:
        """Fills are read."""

    @property
    def usage(self) -> Usage:
        return self._source.usage

    @property
    def spent(self) -> tuple[Spent, ...]:
        """Of an only call what its upstream told, too, where the caller is not given all of it."""
        own = super().spent
        if own or not self._calls:
            return own
        told = self._calls[0].usage
        in_vain = told.completion_tokens > self.usage.completion_tokens and not told.estimated
        return self._calls[0].spent if in_vain else own

    @property
    def generated(self) -> int:
        """None of what the caller has seen nothing of: a refusal of a later call, or a failure in
        one, leaves nothing to charge for as long as no part of the answer went out."""
        return self._source.generated if self._given and self._request.stream else 0

    @property
    def handoffs(self) -> int:
        return 0 if self._onward is None else self._onward.handoffs

    def close(self) -> None:
        self._source.close()
        super().close()
