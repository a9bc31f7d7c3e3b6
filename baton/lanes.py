"""Lanes of the fast path: what is the same for all plain requests of a key for a model.

A lane says that such requests are for the fast path at all, and has at hand what they need: who
pays, at which price, where to, and what goes out around the prompt. It is believed for `LANE_S`,
and no longer than anything that it was made of: a change of keys or of the configuration, the end
of a window or of the key, and the hour of a new price end it at once.
"""

from baton.admission.gate import Caller, Gate
from baton.configured import Configured, Snapshot
from baton.decoding import PlainRequest
from baton.errors import RequestError
from baton.ledger.settle import Ledger
from baton.protocol import CompletionRequest, RequestLimits, checked
from baton.routing.routes import Candidate
from baton.semantics.events import Call
from baton.semantics.headers import provenance
from baton.sites import Site
from baton.stores.base import PriceRecord
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
        self._limits, self._stops_max = limits, snapshot.native[candidate.upstream].stop_max
        self.told = provenance(candidate.upstream, (), ())
        """The header line that tells who answered."""
        self._prepared: dict[Kind, Prepared | None] = {}
        self.price: PriceRecord
        self.until_s, self.changes = 0.0, 0

    def prepared(self, plain: PlainRequest) -> Prepared | None:
        """What goes out around its prompt; None where it is not for the fast path. Requests of one
        kind are within the limits, or beyond them, together."""
        stop = plain.stop
        stops = None if stop is None else tuple(stop)
        kind = (plain.max_tokens, plain.temperature, plain.top_p, stops)
        prepared = self._prepared
        return prepared[kind] if kind in prepared else self._prepare(kind, plain)

    def request(self, plain: PlainRequest) -> CompletionRequest | None:
        """The request as the room has it; None where it is beyond the limits."""
        try:
            return checked(plain, b"", self._limits)
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


class Lanes:
    """Those of one worker. Owned by its loop."""

    def __init__(
        self, configured: Configured, gate: Gate, ledger: Ledger, limits: RequestLimits
    ) -> None:
        self._configured, self._gate, self._ledger = configured, gate, ledger
        self._limits = limits
        self._lanes: dict[tuple[bytes, str], Lane | None] = {}
        self._until_s = 0.0

    def lane(self, shown: bytes, model: str, now_s: float) -> Lane | None:
        """The lane of the key that was shown; None where there is none."""
        name, lanes = (shown, model), self._lanes
        if now_s < self._until_s and name in lanes:
            lane = lanes[name]
            if lane is None or (
                now_s < lane.until_s
                and lane.changes == self._gate.changes
                and lane.snapshot is self._configured.current
            ):
                return lane
        return self._anew(shown, model, now_s)

    def _anew(self, shown: bytes, model: str, now_s: float) -> Lane | None:
        """Also that there is none is remembered, for as long."""
        if now_s >= self._until_s or len(self._lanes) >= LANES_MAX:
            self._lanes.clear()
            self._until_s = now_s + LANE_S
        lane = self._lanes[shown, model] = self._made(shown, model)
        if lane is None:
            return None
        at_us, book = int(now_s * 1e6), lane.snapshot.prices
        lane.price = book.customer(model, at_us)
        until_s = book.until_us(model, at_us) / 1e6
        lane.until_s = min(now_s + LANE_S, lane.caller.until_s, until_s)
        lane.changes = self._gate.changes
        return lane

    def _made(self, shown: bytes, model: str) -> Lane | None:
        """None where requests of that key for that model need more than the fast path has."""
        caller, current = self._gate.known(shown), self._configured.current
        if caller is None or not (_simple(caller) and caller.allowed(model)):
            return None
        candidates = current.routes.candidates(model)
        if len(candidates) != 1 or current.prices is not self._ledger.prices:
            return None
        name = candidates[0].upstream
        able, site = current.native[name], current.relay.site(name)
        if site is None or not isinstance(site.upstream, HttpUpstream):
            return None
        if not (able.plain and able.exact_usage and _answers_whole(site.upstream)):
            return None
        return Lane(caller, candidates[0], site, current, self._limits)


def _simple(caller: Caller) -> bool:
    """Whether nothing about the key asks for more."""
    record = caller.record
    odd = caller.keeps or caller.networks or caller.lasting or record.strict or record.deterministic
    return not odd


def _answers_whole(upstream: HttpUpstream) -> bool:
    """Whether a plain call is answered by one body in the common shape."""
    call = Call(model="", prompts=[""], max_tokens=1)
    return type(upstream.adapter.decoder(call)) is BodyDecoder
