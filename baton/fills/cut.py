"""A call that is cut by us: at stops, at max_tokens, or in front of its first generated token."""

from collections.abc import Sequence

from baton.fills.source import Source
from baton.semantics.cut import Cutter
from baton.semantics.events import Delta, Usage


class Cut:
    """Implements Source over one call; closes it once it works for nobody any more."""

    def __init__(self, source: Source, cutter: Cutter) -> None:
        self._source, self._cutter = source, cutter
        self._over = False

    async def read(self) -> Sequence[Delta]:
        while not self._over and (deltas := await self._source.read()):
            found = self._cutter.feed(deltas)
            self._over = self._cutter.over
            if self._over:
                self._source.close()
            if found:
                return found
        return ()

    def close(self) -> None:
        self._source.close()

    @property
    def usage(self) -> Usage:
        return self._cutter.kept(self._source.usage)

    @property
    def generated(self) -> int:
        return max(0, self._source.generated - self._cutter.dropped)
