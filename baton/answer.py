"""An answer as it comes: deltas numbered as the caller sees them, and what has been used so far.

An Answer knows at any moment what has been used (`usage`): a caller may leave, or an upstream die,
between any two deltas, and the ledger is told the truth all the same. What is not read is not
received: a slow caller slows its upstream.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import msgspec

from baton.ledger.prices import tokens_upper
from baton.routing.plan import Attempt
from baton.semantics.events import Call, Delta, Event, Usage
from baton.semantics.received import Received
from baton.semantics.usage import clamp, guess, guess_prompts
from baton.upstreams.base import TakeText, Upstream, UpstreamError, UpstreamStream, pours, queued_s


class Spent(NamedTuple):
    """What one attempt used, which the operator owes its upstream."""

    upstream: str
    usage: Usage


class Used(Protocol):
    """An attempt that may still run."""

    @property
    def upstream(self) -> str: ...
    @property
    def usage(self) -> Usage: ...


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """A call whose upstream was lost, at the moment when that was seen."""

    call: Call
    upstream: Upstream
    stream: UpstreamStream
    """Closed."""
    received: Received
    usage: Usage
    """Of the call, so far."""
    attempts: list[Used]
    """Whoever worked on the call; to be added to."""
    reported: bool
    """Whether the upstream itself told that usage."""
    earlier: int
    """Hand-offs of this call before."""
    error: UpstreamError

    @property
    def counted(self) -> bool:
        """Whether the tokens of the prompts are known."""
        return self.reported or self.stream.prompt_tokens is not None


class Onward(Protocol):
    """How the calls of one request go on after their upstream was lost."""

    handoffs: int
    """So far, of all its calls."""

    async def successor(self, cut: Cut) -> UpstreamStream:
        """The rest of the call in its own terms: its indexes, offsets and usage. Raises the error
        of the cut where nobody can go on."""
        ...


class Counted:
    """One call's events, counted as they pass; `onward` takes over when its upstream is lost."""

    def __init__(
        self,
        call: Call,
        upstream: Upstream,
        stream: UpstreamStream,
        onward: Onward | None = None,
    ) -> None:
        self._call, self.upstream, self._stream = call, upstream, stream
        self.onward = onward
        self._attempts: list[Used] | None = None
        """Whoever worked on it, once one was lost."""
        self._cuts = 0
        self._reported: Usage | None = None
        self._final: Usage | None = None
        self._generated = 0
        self.received = Received(call) if call.stream else None
        """What a hand-off would resume from; None where the batches are kept as they came."""
        self._batches: list[list[Delta]] = []
        self.whole = False
        """Whether the answer came to its proper end."""
        self.poured = 0
        """Texts that went to a `take_text` so far."""

    @property
    def queued_s(self) -> float:
        """How long it waited, as far as its stream tells."""
        return queued_s(self._stream)

    async def read(self) -> list[Delta]:
        """Some deltas; none at the end."""
        while True:
            try:
                events = await self._stream.read()
            except UpstreamError as error:
                await self._go_on(error)
                continue
            deltas = self._counted(events)
            if deltas:
                return deltas
            if not events:
                self.whole = True
                return deltas

    def _counted(self, events: Sequence[Event]) -> list[Delta]:
        """The deltas among the events, when all is noted that they tell."""
        received = self.received
        if received is not None and len(events) == 1 and isinstance(delta := events[0], Delta):
            ids = delta.token_ids  # by far the most reads of a stream
            self._generated += len(ids) if ids is not None else 1 if delta.text else 0
            deltas = [delta]
            received.add(deltas)
            return deltas
        deltas = []
        for event in events:
            if not isinstance(event, Delta):
                self._reported = event.usage
                continue
            deltas.append(event)
            ids = event.token_ids
            if ids is not None:
                self._generated += len(ids)
            elif received is None:
                self._generated += guess(event.text)  # a whole text is measured
            elif event.text:
                self._generated += 1  # a stream's is one token
        if not deltas:
            return deltas
        if received is None:
            self._batches.append(deltas)
        else:
            received.add(deltas)
        return deltas

    async def pour(
        self,
        take: Callable[[Sequence[Delta]], bool],
        take_text: TakeText | None = None,
    ) -> None:
        """Give deltas to `take` as they come, without waking a reader for each, until it says that
        it is enough, or there is something that only `read` can tell. Raises what `take` raises.
        `take_text`, where there is one, is given the text of deltas that are nothing else."""
        stream = self._stream
        if not pours(stream):
            return

        def count(events: Sequence[Event]) -> bool:
            deltas = self._counted(events)
            return take(deltas) if deltas else True

        received, texts = self.received, None
        if take_text is not None and received is not None:
            texts = received.texts.append, take_text
        before = 0 if received is None else received.count_texts()
        try:
            await stream.pour(count, texts)
        except UpstreamError as error:
            await self._go_on(error)
        finally:
            if received is not None:
                self.poured += received.count_texts() - before

    async def gather(self) -> list[Delta]:
        """The rest of the answer."""
        found: list[Delta] = []
        while deltas := await self.read():
            found += deltas
        return found

    def close(self) -> None:
        self._stream.close()

    async def _go_on(self, error: UpstreamError) -> None:
        """Let a successor take over. Raises the error where there is none."""
        if self.onward is None:
            raise error
        self._stream.close()
        received = self.received
        if received is None:
            received = Received(self._call)
            for batch in self._batches:
                received.add(batch)
        usage = self._usage()
        if self._attempts is None:
            self._attempts = [Spent(self.upstream.name, usage)]
        pieces = self._pieces
        self._generated += self.generated - pieces  # what its successor has is counted from there
        if self.upstream.capabilities.exact_usage:
            # By an estimate alone no answer has all its tokens: it would end as if it were whole.
            tokens_max = self._call.max_tokens - usage.estimated
            received.more_came(max(0, min(usage.completion_tokens, tokens_max) - pieces))
        cut = Cut(
            call=self._call,
            upstream=self.upstream,
            stream=self._stream,
            received=received,
            usage=usage,
            attempts=self._attempts,
            reported=self._reported is not None,
            earlier=self._cuts,
            error=error,
        )
        self._cuts += 1
        self._stream = await self.onward.successor(cut)

    @property
    def generated(self) -> int:
        """Tokens so far; an estimate where neither they nor their ids are told."""
        told = self._reported
        return self._pieces if told is None else max(self._pieces, self._told(told))

    @property
    def _pieces(self) -> int:
        """Tokens by their ids, or by the pieces of text that came."""
        received = self.received
        return self._generated + (0 if received is None else received.count_texts())

    def _told(self, usage: Usage) -> int:
        """Tokens by a report so far: its pieces may be of several. 0 where it is no count."""
        counted = self.upstream.capabilities.exact_usage and not usage.estimated
        fits = usage.completion_tokens <= self._call.completion_tokens_max
        return usage.completion_tokens if counted and fits else 0

    @property
    def spent(self) -> tuple[Spent, ...]:
        """What each attempt at this call used."""
        if self._attempts is None:
            return (Spent(self.upstream.name, self.usage),)
        return tuple(Spent(each.upstream, each.usage) for each in self._attempts)

    @property
    def lost(self) -> bool:
        """Whether an upstream was lost on the way."""
        return self._attempts is not None

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
        exact = self.upstream.capabilities.exact_usage
        call = self._call
        prompts = call.prompts
        completions_max = call.completion_tokens_max
        if self._reported is not None:
            usage = clamp(self._reported, trusted=exact)
            if (
                self.whole
                and 0 < usage.completion_tokens <= completions_max
                and 0 < usage.prompt_tokens <= len(prompts[0])
            ):
                return usage  # as by far the most are: no token is shorter than a character
            return self._credible(usage, completions_max)
        generated = min(self.generated, completions_max)
        prompt = self._stream.prompt_tokens
        counted = prompt if prompt is not None else guess_prompts(call)
        precise = exact and prompt is not None and self.upstream.capabilities.token_ids
        return Usage(counted, generated, estimated=not precise)

    def _credible(self, usage: Usage, completions_max: int) -> Usage:
        """A report of what was sent and of what came, without what it cannot be: of more tokens
        than the prompts have bytes or than were asked for, or of none where text went or came."""
        call, native = self._call, self.upstream.capabilities
        prompt, completion = usage.prompt_tokens, usage.completion_tokens
        generated = min(self.generated, completions_max)
        around = native.around_tokens + (tokens_upper(call.suffix) if call.suffix else 0)
        prompts_max = sum(map(tokens_upper, call.prompts)) + around * len(call.prompts)
        if prompt > prompts_max or (prompt == 0 and any(call.prompts)):
            prompt = guess_prompts(call)
        if completions_max == 0 < completion <= len(call.prompts) * call.n:
            # Some generate one that nobody asked for, as vLLM does, and show none of it.
            usage, completion = clamp(msgspec.structs.replace(usage, completion_tokens=0)), 0
        silent = completion == 0 and not call.echo
        # Servers that report choice by choice have not told of those that still run.
        if completion > completions_max or (completion < generated and (silent or not self.whole)):
            completion = generated
        if (prompt, completion) == (usage.prompt_tokens, usage.completion_tokens):
            return usage
        return clamp(
            msgspec.structs.replace(
                usage, prompt_tokens=prompt, completion_tokens=completion, estimated=True
            )
        )


class Answer:
    """One request's answer as it comes. One reader; `close` at any time, any number of times."""

    losers: tuple[Spent, ...] = ()
    """What attempts used that raced it (`hedging`)."""

    def __init__(self, attempt: Attempt, upstream: Upstream, calls: list[Counted]) -> None:
        self.attempt, self.fingerprint = attempt, upstream.fingerprint
        self.attempts = 1
        self._calls = calls

    @property
    def upstream(self) -> str:
        return self.attempt.upstream

    @property
    def fills(self) -> tuple[str, ...]:
        return self.attempt.fills

    @property
    def handoffs(self) -> int:
        """How often another upstream took over, so far."""
        onward = self._calls[0].onward
        return 0 if onward is None else onward.handoffs

    @property
    def queued_s(self) -> float:
        """How long its call waited before its upstream took it up; 0 where it is none, or more
        than one, or was handed over."""
        return self._calls[0].queued_s if len(self._calls) == 1 else 0.0

    @property
    def poured(self) -> int:
        """Texts that went to a `take_text`, once `pour` has returned."""
        return self._calls[0].poured if self._calls else 0

    @property
    def spent(self) -> tuple[Spent, ...]:
        """What each attempt used, by upstream; empty where `usage` at `upstream` is all, and where
        nobody was `asked`."""
        calls, losers = self._calls, self.losers
        if len(calls) == 1 and not calls[0].lost:
            return (*calls[0].spent, *losers) if losers else ()
        return (*(spent for call in calls for spent in call.spent), *losers)

    @property
    def asked(self) -> bool:
        """Whether any upstream was; some answers need none."""
        return bool(self._calls)

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

    async def pour(
        self,
        take: Callable[[Sequence[Delta]], bool],
        take_text: TakeText | None = None,
    ) -> None:
        """Give deltas to `take` in the call in which their bytes came, for as long as that is all
        there is to do; then `read` goes on. Returns at once where it is not possible. Deltas of the
        first choice that are a text alone may go to `take_text`, where there is one."""
        await self._calls[0].pour(take, take_text)

    def close(self) -> None:
        for call in self._calls:
            call.close()
