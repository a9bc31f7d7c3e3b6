"""The prompt before the first text of each choice, for an upstream that does not echo."""

from collections.abc import Sequence

from baton.fills.source import Source
from baton.semantics.echo import Echo
from baton.semantics.events import Delta, Usage


class Echoed:
    """Implements Source over one without echo."""

    def __init__(self, source: Source, echo: Echo) -> None:
        self._source, self._echo = source, echo

    async def read(self) -> Sequence[Delta]:
        return self._echo.feed(await self._source.read())

    def close(self) -> None:
        self._source.close()

    @property
    def usage(self) -> Usage:
        return self._source.usage

    @property
    def generated(self) -> int:
        return self._source.generated
