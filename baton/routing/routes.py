"""Public model name → the upstreams that may answer, in the order to try them. Pure."""

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

    def candidates(self, model: str) -> tuple[Candidate, ...]:
        """Who may answer, by priority; empty when nobody knows the model.

        Whom of them to ask first depends on how they are at that moment: `order.py`.
        """
        return self._table.get(model, ())


EMBEDDED = "embedded"
"""The upstream name of the engine inside."""
