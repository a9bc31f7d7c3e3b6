"""Lanes of the fast path: what is the same for all plain requests of a key for a model.

A lane says that such requests are for the fast path at all, and has at hand what they need: who
pays, at which price, where to, and what goes out around the prompt. It is believed for `LANE_S`,
and no longer than anything that it was made of: a change of keys or of the configuration, the end
of a window or of the key, and the hour of a new price end it at once.
"""

from collections.abc import Sequence

from baton.admission.gate import Caller, Gate
from baton.configured import Configured, Snapshot
from baton.decoding import PlainRequest
from baton.errors import RequestError
from baton.ledger.settle import Ledger
from baton.protocol import CompletionRequest, RequestLimits, checked
from baton.routing.routes import Candidate
from baton.semantics.events import Call, Prompt
from baton.semantics.headers import provenance
from baton.sites import Site
from baton.stores.base import PriceRecord
from baton.upstreams.base import Capabilities, Upstream
from baton.upstreams.completions_wire import BodyDecoder
from baton.upstreams.http import HttpUpstream, Prepared

LANE_S = 1.0
LANES_MAX = 10_000
PREPARED_MAX = 64
"""Kinds of requests of one lane (length, sampling, stops): a program seldom varies them."""

Kind = tuple[int, float, float, tuple[str, ...] | None]


class Lane:
    """What is known of a key and a model."""

    __slots__ = (
        "_limits",
        "_prepared",
        "_stops_max",
        "_takes_ids",
        "around_tokens",
        "caller",
        "candidate",
        "changes",
        "price",
        "relay",
        "site",
        "snapshot",
        "told",
        "until_s",
        "upstream",
    )

    def __init__(
        self,
        caller: Caller,
        candidate: Candidate,
        site: Site,
        snapshot: Snapshot,
        limits: RequestLimits,
    ) -> None:
        assert isinstance(site.upstream, HttpUpstream)
        self.caller, self.candidate, self.site = caller, candidate, site
        self.upstream, self.relay, self.snapshot = site.upstream, snapshot.relay, snapshot
        able = snapshot.native[candidate.upstream]
        self._limits, self._stops_max, self._takes_ids = limits, able.stop_max, able.token_prompts
        self.told = provenance(candidate.upstream, (), ())
        """The header line that tells who answered."""
        self._prepared: dict[Kind, Prepared | None] = {}
        self.around_tokens = able.within_tokens
        """At most so many are counted around a prompt, wherever it is answered."""
        self.price: PriceRecord
        self.until_s, self.changes = 0.0, 0

    def prepared(self, plain: PlainRequest) -> Prepared | None:
        """What goes out around its prompt; None where it is not for the fast path. Requests of one
        kind are within the limits, or beyond them, together."""
        if not (self._takes_ids or isinstance(plain.prompt, str)):
            return None
        stop = plain.stop
        stops = None if stop is None else tuple(stop)
        kind = (plain.max_tokens, plain.temperature, plain.top_p, stops)
        prepared = self._prepared
        return prepared[kind] if kind in prepared else self._prepare(kind, plain)

    def request(self, plain: PlainRequest, body: bytes = b"") -> CompletionRequest | None:
        """The request as the room has it, read from this body; None where it is beyond the
        limits."""
        try:
            return checked(plain, body, self._limits)
        except RequestError:
            return None

    def call(self, request: CompletionRequest) -> Call:
        """As `routing.plan` makes it for what every upstream does."""
        record = self.caller.record
        return Call(
            model=self.candidate.model,
            prompts=request.prompts,
            max_tokens=request.max_tokens,
            temperature=request.temperature,
            top_p=request.top_p,
            stop=request.stop,
            parse_special=record.parse_special,
            tenant=record.id,
        )

    def _prepare(self, kind: Kind, plain: PlainRequest) -> Prepared | None:
        request, found = self.request(plain), None
        if request is not None and len(request.stop or ()) <= self._stops_max:
            found = self.upstream.prepared(self.call(request))
        if len(self._prepared) < PREPARED_MAX:
            self._prepared[kind] = found
        return found


class Fork:
    """The lanes of a key for a model that several upstreams have: which of them is asked depends on
    how they are, and on the prompt. Each could answer within a hold that another began with."""

    __slots__ = ("_sites", "changes", "lanes", "relay", "snapshot", "until_s")

    def __init__(self, lanes: Sequence[Lane], sites: Sequence[Site], snapshot: Snapshot) -> None:
        self.lanes, self._sites, self.snapshot, self.relay = lanes, sites, snapshot, snapshot.relay
        self.until_s, self.changes = 0.0, 0

    def choose(self, prompt: Prompt, seed: int) -> Lane | None:
        """That of the upstream which would be asked first."""
        number = self.relay.choose(self._sites, prompt, seed)
        return None if number is None else self.lanes[number]


class Lanes:
    """Those of one worker. Owned by its loop."""

    def __init__(
        self, configured: Configured, gate: Gate, ledger: Ledger, limits: RequestLimits
    ) -> None:
        self._configured, self._gate, self._ledger = configured, gate, ledger
        self._limits = limits
        self._lanes: dict[tuple[bytes, str], Lane | Fork | None] = {}
        self._since_s = self._until_s = 0.0

    def lane(self, shown: bytes, model: str, now_s: float) -> Lane | Fork | None:
        """The lane of the key that was shown, or its lanes; None where there is none."""
        try:  # rather than to ask whether there is one: fewer bytecodes for each request
            lane = self._lanes[shown, model]
        except KeyError:
            return self._anew(shown, model, now_s)
        if self._since_s <= now_s < self._until_s and (
            lane is None
            or (lane.changes == self._gate.changes and lane.snapshot is self._configured.current)
        ):
            return lane
        return self._anew(shown, model, now_s)

    def _anew(self, shown: bytes, model: str, now_s: float) -> Lane | Fork | None:
        """Also that there is none is remembered, for as long."""
        timely = self._since_s <= now_s < self._until_s  # not where the clock was set back
        if not timely or len(self._lanes) >= LANES_MAX:
            self._lanes.clear()
            self._since_s, self._until_s = now_s, now_s + LANE_S
        lane = self._lanes[shown, model] = self._made(shown, model, now_s)
        if lane is not None:  # when the first of them ends all are made anew
            self._until_s = min(self._until_s, lane.until_s)
        return lane

    def _made(self, shown: bytes, model: str, now_s: float) -> Lane | Fork | None:
        """None where requests of that key for that model need more than the fast path has."""
        caller, current = self._gate.known(shown), self._configured.current
        if caller is None or not (_simple(caller) and caller.allowed(model)):
            return None
        if current.prices is not self._ledger.prices:
            return None
        at_us = int(now_s * 1e6)
        until_s = min(now_s + LANE_S, caller.until_s, current.prices.until_us(model, at_us) / 1e6)
        lanes: list[Lane] = []
        for candidate in current.routes.candidates(model):
            site = current.relay.site(candidate.upstream)
            if site is None or not _is_plain(site.upstream, current.native[candidate.upstream]):
                return None
            lane = Lane(caller, candidate, site, current, self._limits)
            lane.price = current.prices.customer(model, at_us)
            lane.until_s, lane.changes = until_s, self._gate.changes
            lanes.append(lane)
        if len(lanes) < 2:
            return lanes[0] if lanes else None
        for lane in lanes:
            lane.around_tokens = max(each.around_tokens for each in lanes)
        fork = Fork(lanes, [lane.site for lane in lanes], current)
        fork.until_s, fork.changes = until_s, self._gate.changes
        return fork


def _is_plain(upstream: Upstream, able: Capabilities) -> bool:
    """Whether plain calls go there as they are, and are answered and counted as most are."""
    if not isinstance(upstream, HttpUpstream):
        return False
    return able.plain and able.exact_usage and _answers_whole(upstream)


def _simple(caller: Caller) -> bool:
    """Whether nothing about the key asks for more."""
    record = caller.record
    odd = caller.keeps or caller.networks or caller.lasting or record.strict or record.deterministic
    return not odd


def _answers_whole(upstream: HttpUpstream) -> bool:
    """Whether a plain call is answered by one body in the common shape."""
    call = Call(model="", prompts=[""], max_tokens=1)
    return type(upstream.adapter.decoder(call)) is BodyDecoder
