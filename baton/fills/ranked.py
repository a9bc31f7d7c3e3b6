"""A suffix where the model has no fill-in-the-middle: the candidate that makes it likeliest."""

from collections.abc import Sequence

from baton.fills.source import Open, Source, gather
from baton.semantics.events import Delta, Usage
from baton.semantics.fim import RankedFill


class Ranked:
    """Implements Source over candidates; `score` opens the call that ranks them."""

    def __init__(self, candidates: Source, fill: RankedFill, score: Open) -> None:
        self._candidates, self._fill, self._score = candidates, fill, score
        self._scores: Source | None = None
        self._given = self._closed = False

    async def read(self) -> Sequence[Delta]:
        if self._given:
            return ()
        self._given = True
        scoring = self._fill.scoring_call(await gather(self._candidates))
        self._scores = await self._score(scoring)
        if self._closed:
            self._scores.close()
        return self._fill.best(await gather(self._scores))

    def close(self) -> None:
        self._closed = True
        self._candidates.close()
        if self._scores is not None:
            self._scores.close()

    @property
    def usage(self) -> Usage:
        """The prompt with its suffix once, every candidate; scoring is the operator's cost."""
        return self._fill.usage(self._candidates.usage)

    @property
    def generated(self) -> int:
        return self._candidates.generated
