"""What requests are planned with at this moment: one immutable snapshot, swapped when it changes.

A request keeps the snapshot it began with, but for how upstreams are reached: retries and hand-offs
go where they are by then, and no more to one that was removed. Upstreams whose record did not
change keep their connections over a swap; one that went away keeps those that are busy until they
are not.
"""

import weakref
from collections.abc import Callable

import msgspec

from baton.config import Settings
from baton.handing import Bounds
from baton.ledger.prices import PriceBook
from baton.probes import Probe, Probes, question
from baton.relay import Relay
from baton.routing.budget import HEDGES_MAX, HEDGES_MIN, HEDGES_PER_REQUEST, Budget
from baton.routing.routes import EMBEDDED, Routes
from baton.sites import Site
from baton.stores.base import Catalogue, UpstreamRecord
from baton.telemetry import diary
from baton.telemetry.upstreams import UpstreamNumbers
from baton.upstreams.base import Capabilities, Upstream
from baton.upstreams.embedded import EmbeddedUpstream
from baton.upstreams.endpoint import TransportLimits
from baton.upstreams.http import HttpUpstream
from baton.upstreams.registry import build, dialect
from baton.upstreams.vocabularies import Vocabularies, Vocabulary

PLANNED_BY = ("dialect", "continuation", "fim", "vocabularies")
"""Of an upstream's record, beside its models and fields."""


class Snapshot(msgspec.Struct, frozen=True):
    """One consistent configuration, ready to plan and run with."""

    catalogue: Catalogue
    routes: Routes
    native: dict[str, Capabilities]
    relay: Relay
    prices: PriceBook


class Configured:
    """Holds the current snapshot and the upstreams that it uses. Made inside the running loop."""

    def __init__(
        self,
        settings: Settings,
        model: str | None,
        embedded: EmbeddedUpstream | None,
        made: Callable[..., HttpUpstream] = HttpUpstream,
    ) -> None:
        """`model` is the public name of the embedded one, served by `embedded`; `made` makes the
        others (`registry.build`)."""
        self._made = made
        self._settings, self._model, self._embedded = settings, model, embedded
        self._built: dict[str, tuple[UpstreamRecord, HttpUpstream]] = {}
        self._retries = Budget()
        self._hedges = Budget(HEDGES_PER_REQUEST, HEDGES_MIN, HEDGES_MAX)
        self._vocabularies = Vocabularies(settings.home_path / "vocabularies")
        self.sites: dict[str, Site] = {}
        """Every upstream in use, by name, the embedded model among them."""
        if embedded is not None:
            self.sites[EMBEDDED] = Site(EMBEDDED, embedded)
        self._retired: weakref.WeakKeyDictionary[HttpUpstream, float] = weakref.WeakKeyDictionary()
        """Those that may still run, and how long each may take by its own word."""
        self._relays: weakref.WeakSet[Relay] = weakref.WeakSet()
        """Those of all snapshots that somebody has."""
        self.probes = Probes()
        self.current = self._snapshot(Catalogue(version=0, upstreams={}, prices=()))

    def apply(self, catalogue: Catalogue) -> None:
        """Plan every request from now on with this configuration. One that is older than what is
        planned with was read before it, and comes late: it is not for use any more."""
        if catalogue.version < self.current.catalogue.version:
            return
        for name, record in catalogue.upstreams.items():
            known = self._built.get(name)
            if known is None or known[0] != record:
                self._replace(name, record)
        for name in self._built.keys() - catalogue.upstreams.keys():
            self._retire(*self._built.pop(name))
            del self.sites[name]
            self.probes.forget(name)
            self._follow(name, None)
        self.current = self._snapshot(catalogue)

    def vocabulary(self, model: str) -> Vocabulary | None:
        """That of a public model, from the first of its upstreams that has one."""
        for candidate in self.current.routes.candidates(model):
            record, _ = self._built.get(candidate.upstream, (None, None))
            files = record.vocabularies if record is not None else {}
            file = files.get(candidate.model) or files.get("*")
            if file is not None:
                return self._vocabularies.of(file)
        return None

    def engine_described(self) -> None:
        """The engine has said what its vocabulary can do: plan with it."""
        self.current = self._snapshot(self.current.catalogue)

    def request_timeout_s(self) -> float:
        """Of a request over all its attempts: not less than any upstream may take for one."""
        own = [record.total_timeout_s or 0.0 for record, _ in self._built.values()]
        busy = [total_s for upstream, total_s in self._retired.items() if upstream.in_flight]
        return max([self._settings.request_timeout_s, *own, *busy])

    async def close(self) -> None:
        """Close every upstream; what runs on them breaks off."""
        for upstream in [*self._retired, *(built for _, built in self._built.values())]:
            await upstream.close()
        if self._embedded is not None:
            await self._embedded.close()
        await self._vocabularies.close()

    def numbers(self) -> list[UpstreamNumbers]:
        """How every upstream fares in this process."""
        return [site.numbers() for site in self.sites.values()]

    def _replace(self, name: str, record: UpstreamRecord) -> None:
        try:
            upstream = build(record, self._limits(record), self._made)
        except ValueError as error:  # a record that an older version took, or a hand wrote
            diary.error("upstream not usable", upstream=name, reason=str(error))
            return
        upstream.vocabularies = {
            model: self._vocabularies.of(file) for model, file in record.vocabularies.items()
        }
        alike = False
        if name in self._built:
            alike = _fits(self._built[name][0], record)
            self._retire(*self._built[name])
        self._built[name] = (record, upstream)
        site = Site(
            name,
            upstream,
            priority=record.priority,
            weight=record.weight,
            in_flight_max=upstream.in_flight_max,
        )
        site.hedge_after_s = record.hedge_after_s
        if name in self.sites:
            site.count_on(self.sites[name])
        self.sites[name] = site
        self._follow(name, site if alike else None)
        self.probes.forget(name)
        if record.probe_interval_s is not None:
            asked = question(dialect(record.dialect))
            self.probes.put(name, Probe(site, upstream, asked, record.probe_interval_s))

    def _retire(self, record: UpstreamRecord, upstream: HttpUpstream) -> None:
        upstream.retire()
        self._retired[upstream] = record.total_timeout_s or 0.0

    def _follow(self, name: str, site: Site | None) -> None:
        for relay in self._relays:
            relay.follow(name, site)

    def _limits(self, record: UpstreamRecord) -> TransportLimits:
        settings = self._settings
        return TransportLimits(
            connect_timeout_s=settings.upstream_connect_timeout_s,
            wait_timeout_s=settings.upstream_wait_timeout_s,
            first_byte_timeout_s=record.first_byte_timeout_s
            or settings.upstream_first_byte_timeout_s,
            stall_timeout_s=record.stall_timeout_s or settings.upstream_stall_timeout_s,
            total_timeout_s=record.total_timeout_s or settings.upstream_total_timeout_s,
            idle_s=settings.upstream_idle_s,
            connections_max=min(record.in_flight_max, settings.upstream_connections_max),
            response_bytes_max=settings.upstream_response_bytes_max,
        )

    def _snapshot(self, catalogue: Catalogue) -> Snapshot:
        upstreams: dict[str, Upstream] = {n: built for n, (_, built) in self._built.items()}
        if self._embedded is not None:
            upstreams[EMBEDDED] = self._embedded
        records = [record for record, _ in self._built.values()]
        relay = Relay(
            dict(self.sites),
            self._retries,
            Bounds(self._settings.handoffs_max, self._settings.handoff_wait_s),
            hedges=self._hedges,
        )
        self._relays.add(relay)
        return Snapshot(
            catalogue,
            Routes(records, self._model if self._embedded is not None else None),
            {name: self._native(name, upstream) for name, upstream in upstreams.items()},
            relay,
            PriceBook(catalogue.prices),
        )

    def _native(self, name: str, upstream: Upstream) -> Capabilities:
        """What an upstream takes, with its operator's word on its models and its own fields."""
        native = upstream.capabilities
        if name not in self._built:
            return native
        record = self._built[name][0]
        fields = native.fields.intersection(record.fields)
        return msgspec.structs.replace(
            native, fields=fields, fim=record.fim, vocabularies=frozenset(record.vocabularies)
        )


def _fits(planned: UpstreamRecord, now: UpstreamRecord) -> bool:
    """Whether what was planned with an upstream as it was is for it as it is now: it may have more
    models and fields."""
    return (
        all(getattr(planned, name) == getattr(now, name) for name in PLANNED_BY)
        and planned.overrides.forbid == now.overrides.forbid
        and planned.models.items() <= now.models.items()
        and set(planned.fields) <= set(now.fields)
    )
