"""The n best of best_of candidates, by mean logprob; every candidate counts as used."""

from collections.abc import Sequence

import msgspec

from baton.fills.source import Source, gather
from baton.semantics.choices import pick_best
from baton.semantics.events import Delta, Usage


class Best:
    """Implements Source over one that has `candidates` samples of each prompt.

    `shown`: the caller asked for logprobs, not we for the sake of the ranking.
    """

    def __init__(self, source: Source, n: int, candidates: int, *, shown: bool) -> None:
        self._source, self._n, self._candidates, self._shown = source, n, candidates, shown
        self._given = False

    async def read(self) -> Sequence[Delta]:
        if self._given:
            return ()
        self._given = True
        best = pick_best(await gather(self._source), self._n, self._candidates)
        if self._shown:
            return best
        return [msgspec.structs.replace(delta, logprobs=None) for delta in best]

    def close(self) -> None:
        self._source.close()

    @property
    def usage(self) -> Usage:
        return self._source.usage

    @property
    def generated(self) -> int:
        return self._source.generated
