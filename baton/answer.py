"""An answer as it comes: deltas numbered as the caller sees them, and what has been used so far.

An Answer knows at any moment what has been used (`usage`): a caller may leave, or an upstream die,
between any two deltas, and the ledger is told the truth all the same. What is not read is not
received: a slow caller slows its upstream.
"""

from collections.abc import Sequence

import msgspec

from baton.routing.plan import Attempt
from baton.semantics.events import Call, Delta, Prompt, Usage
from baton.semantics.handoff import Received
from baton.semantics.usage import clamp
from baton.upstreams.base import Upstream, UpstreamStream

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


def _estimate(prompt: Prompt) -> int:
    if isinstance(prompt, str):
        return -(-len(prompt.encode()) // BYTES_PER_TOKEN)
    return len(prompt)
