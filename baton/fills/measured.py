"""max_tokens by the model's own vocabulary, where pieces of a stream do not tell their tokens."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from baton.fills.source import Source
from baton.semantics.events import Delta, Usage
from baton.semantics.measure import Meter


class Ruler(Protocol):
    async def measure(self, text: str, tokens_max: int) -> tuple[int, int] | None:
        """Tokens of a text, and code points of its first `tokens_max`; None: not to be known."""
        ...


class Measured:
    """Implements Source over one call; closes it once all of it that is asked for is there."""

    def __init__(self, source: Source, meter: Meter, ruler: Ruler) -> None:
        self._source, self._meter, self._ruler = source, meter, ruler
        self._over = False

    async def read(self) -> Sequence[Delta]:
        while not self._over and (deltas := await self._source.read()):
            found = [seen for delta in deltas if (seen := await self._seen(delta)) is not None]
            self._over = self._meter.over
            if self._over:
                self._source.close()
            if found:
                return found
        return ()

    async def _seen(self, delta: Delta) -> Delta | None:
        text = self._meter.note(delta)
        if text is None:
            return self._meter.show(delta)
        return self._meter.show(delta, await self._ruler.measure(text, self._meter.tokens_max))

    def close(self) -> None:
        self._source.close()

    @property
    def usage(self) -> Usage:
        """After a cut the upstream's count is not of what was asked for."""
        usage = self._source.usage
        if not self._meter.cuts:
            return usage
        return msgspec.structs.replace(
            usage, completion_tokens=self.generated, reasoning_tokens=None, estimated=True
        )

    @property
    def generated(self) -> int:
        return min(self._source.generated, self._meter.total_max)
