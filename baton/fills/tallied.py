"""Usage by the model's own vocabulary, where the upstream reports none, or none to be trusted."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from baton.fills.source import Source
from baton.semantics.events import Call, Delta, Usage
from baton.semantics.measure import Texts
from baton.semantics.usage import clamp


class Counter(Protocol):
    async def counts(self, texts: list[str], *, start: bool) -> list[int] | None:
        """Tokens of each text, as a prompt or as a text that goes on; None: not to be known."""
        ...


class Tallied:
    """Implements Source over the answer to a call. What it counts stays marked as estimated: a text
    can be divided in other ways than it was generated in."""

    def __init__(
        self, source: Source, call: Call, counter: Counter, *, wraps: bool = False
    ) -> None:
        """`wraps`: more is sent than the prompts, so that they are not counted by their text."""
        self._source, self._call, self._counter, self._wraps = source, call, counter, wraps
        self._texts = Texts(call)
        self._begun = False
        self._prompt_tokens: int | None = None
        self._completion_tokens: int | None = None

    async def read(self) -> Sequence[Delta]:
        if not self._begun:  # while the upstream computes
            self._begun = True
            self._prompt_tokens = None if self._wraps else await self._prompts()
        deltas = await self._source.read()
        for delta in deltas:
            self._texts.add(delta)
        if not deltas and self._source.usage.estimated:
            self._completion_tokens = await self._completions()
        return deltas

    def close(self) -> None:
        self._source.close()

    @property
    def usage(self) -> Usage:
        usage = self._source.usage
        if not usage.estimated:
            return usage
        if self._prompt_tokens is not None:
            usage = msgspec.structs.replace(usage, prompt_tokens=self._prompt_tokens)
        if self._completion_tokens is not None:
            usage = msgspec.structs.replace(usage, completion_tokens=self._completion_tokens)
        return clamp(usage)

    @property
    def generated(self) -> int:
        return self._source.generated

    async def _prompts(self) -> int | None:
        """Each prompt once, with its suffix."""
        prompts, suffix = self._call.prompts, self._call.suffix
        texts = [prompt for prompt in prompts if isinstance(prompt, str)]
        told = sum(len(prompt) for prompt in prompts if not isinstance(prompt, str))
        counts = await self._counter.counts(texts, start=True) if texts else []
        after = await self._counter.counts([suffix], start=False) if suffix else [0]
        if counts is None or after is None:
            return None
        return told + sum(counts) + after[0] * len(prompts)

    async def _completions(self) -> int | None:
        texts = self._texts.all()
        if texts is None:
            return None
        counts = await self._counter.counts(texts, start=False)
        if counts is None:
            return None
        return sum(min(count, self._call.max_tokens) for count in counts)
