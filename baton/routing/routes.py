"""Public model name → the upstreams that may answer, in the order to try them. Pure."""

import random
from collections.abc import Iterable, Mapping

import msgspec

from baton.stores.base import UpstreamRecord


class Candidate(msgspec.Struct, frozen=True):
    """One upstream that has the model, and what it calls it."""

    upstream: str
    model: str
    priority: int = 0
    """Lower is tried first."""
    weight: int = 100
    """Share among candidates of one priority; 0 is only tried when the others failed."""


class Routes:
    """All models that callers can name. Built anew when the configuration changes."""

    def __init__(self, upstreams: Iterable[UpstreamRecord], embedded: str | None) -> None:
        """`embedded` is the public name of the model inside, if there is one; its upstream has
        that name too, which no configured upstream may take."""
        table: dict[str, list[Candidate]] = {}
        if embedded is not None:
            table[embedded] = [Candidate(EMBEDDED, embedded)]
        for record in upstreams:
            for public, theirs in record.models.items():
                candidate = Candidate(record.name, theirs, record.priority, record.weight)
                table.setdefault(public, []).append(candidate)
        self._table: Mapping[str, tuple[Candidate, ...]] = {
            model: tuple(sorted(found, key=lambda c: c.priority)) for model, found in table.items()
        }

    @property
    def models(self) -> tuple[str, ...]:
        """Every public name, in the order of configuration (the embedded model first)."""
        return tuple(self._table)

    def candidates(self, model: str, seed: int) -> tuple[Candidate, ...]:
        """Who may answer, best first; empty when nobody knows the model.

        Among equal priorities the order is drawn by weight; equal seeds draw equally.
        """
        found = self._table.get(model, ())
        return found if len(found) < 2 else tuple(_drawn(found, random.Random(seed)))


EMBEDDED = "embedded"
"""The upstream name of the engine inside."""


def _drawn(candidates: tuple[Candidate, ...], generator: random.Random) -> list[Candidate]:
    """Weighted order without replacement within each priority (Efraimidis and Spirakis, 2006)."""
    keyed = [
        (c.priority, -(generator.random() ** (1 / c.weight)) if c.weight > 0 else 0.0, i, c)
        for i, c in enumerate(candidates)
    ]
    return [entry[3] for entry in sorted(keyed)]
