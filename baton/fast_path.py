"""The fast path: plain requests whose every stage has its answer at hand, run without a task.

Theory of operation. Most requests are plain (one text or its ids, how long, how random, where to
stop), come on a kept connection with the head of the last one, from a key that is at hand, for a
model that one HTTP upstream has, whose connection is free and whose lease has room. Nothing of such
a request has to be waited for until its upstream answers, and that answer mostly comes whole in one
read. So it runs in three callbacks instead of a task with its coroutines and futures:

    board, begin    decode, count, hold, write the call     in the call that read the request
    _heard          decode the answer, settle               in the call that read the answer
    _charged        write                                   in the call that tells of the commit

What is the same for all requests of a key for a model is looked up once and kept for a second at
most (`lanes.py`). What is decided is decided as in `completions.py`, mostly by the same functions;
left out is what the plain case does not need: an order of upstreams, fills, a task to cancel.

Whatever turns out not to be plain goes on in that room, from where it is (`land`): an answer that
comes in parts or has anything special, a failure of the upstream, a stale connection, no lease. So
nothing is decided twice, and the fast path has no errors of its own. Those whom turns concern
(`UnderWay`) have flights land first, and all that take longer than half a second land by
themselves. A caller that leaves is closed as a turn. Before `begin` nothing was done but counted.
"""

import functools
import re
import time

from baton.admission.gate import Gate
from baton.admission.rates import Decision
from baton.completions import AUTHORIZATION, Begun, Completions
from baton.config import Settings
from baton.configured import Configured
from baton.decoding import PlainRequest, parse_plain
from baton.ended import Ended
from baton.errors import RequestError, internal, store_unavailable
from baton.http.exchange import WHOLE, Exchange
from baton.http.shared import Flight, FlightLine
from baton.http.usual import Usual
from baton.lanes import LANES_MAX, Fork, Lane, Lanes
from baton.ledger.entries import Intent, Timings
from baton.ledger.holds import Hold, Outcome
from baton.ledger.prices import tokens_upper
from baton.ledger.settle import Ledger
from baton.long_text import LONG_BYTES, written
from baton.relay import Opening
from baton.routing.plan import Attempt, Plan
from baton.semantics.assemble import encode_text
from baton.semantics.headers import IDENTITY
from baton.stores.base import StoreUnavailable
from baton.telemetry import diary
from baton.turn import JSON, Turn, arrived
from baton.upstreams.completions_wire import BodyDecoder
from baton.upstreams.http import Prepared
from baton.upstreams.response import Response
from baton.upstreams.usual_answer import one_whole

DEAR_BYTES = 64 * 1024
"""Requests from here on are not worth to be decoded twice, where they turn out to be something
else: of a key that sent such a one, they are the room's for `DEAR_S`."""
DEAR_S = 1.0
STREAM, STREAMS = b'"stream"', re.compile(rb'"stream": ?true')
"""Most streams are the room's before anything is decoded."""
ENDS_BYTES = 2048
"""Of a body, where fields are that a prompt does not stand before and behind: looking for a word in
all of a long text costs twice what decoding it does."""
OK = 200
ANSWER = WHOLE.replace(b"%b%b", b"%b" + JSON + IDENTITY + b"%b%bx-baton-handoffs: 0\r\n", 1)
"""As `Turn.headers` and `Exchange.respond` put it together."""


class FastPath:
    """The fast path of one worker. Owned by its loop."""

    def __init__(
        self,
        settings: Settings,
        configured: Configured,
        gate: Gate,
        ledger: Ledger,
        room: Completions,
    ) -> None:
        self.gate, self.ledger, self.room, self.books = gate, ledger, room, room.books
        self.flights: dict[_Flight, None] = {}
        """Until their hold ends, in the order of arrival."""
        self._lanes = Lanes(configured, gate, ledger, settings.request_limits())
        self._dear: dict[bytes, float] = {}
        """Until when long requests that show a key are the room's."""
        room.under_way.land = self.land

    def board(self, line: FlightLine, head: Usual, body: bytes) -> Flight | None:
        """A request that is for the fast path; else None, and nothing is done. What fails here
        fails in the room again, which tells of it."""
        try:
            if len(body) >= LONG_BYTES:
                return self._long(line, head, body)
            return None if _streams(body) else self._boarded(line, head, body)
        except Exception:  # noqa: BLE001 — the boundary of a callback
            diary.exception("the fast path failed")
            return None

    def _long(self, line: FlightLine, head: Usual, body: bytes) -> Flight | None:
        """The same of a long request."""
        if _streams(body[:ENDS_BYTES]) or _streams(body[-ENDS_BYTES:]):
            return None
        if len(body) < DEAR_BYTES:
            return self._boarded(line, head, body)
        shown, now_s = head.noted[AUTHORIZATION], time.time()
        if self._dear.get(shown, 0.0) > now_s:
            return None
        flight = self._boarded(line, head, body)
        if flight is None:
            if len(self._dear) >= LANES_MAX:
                self._dear.clear()
            self._dear[shown] = now_s + DEAR_S
        return flight

    def _boarded(self, line: FlightLine, head: Usual, body: bytes) -> Flight | None:
        plain, now_s = parse_plain(body), time.time()
        if plain is None or plain.stream or plain.stream_options is not None:
            return None
        lane = self._lanes.lane(head.noted[AUTHORIZATION], plain.model, now_s)
        if isinstance(lane, Fork):
            lane = lane.choose(plain.prompt, self.books.randomness.number())
        if lane is None or lane.site.health.troubled:
            return None
        prepared, decision = lane.prepared(plain), None
        if prepared is None:
            return None
        if lane.caller.limits:
            decision = self.gate.enter_at_once(lane.caller)
            if decision is None:
                return None
        return _Flight(self, (line, head, body), lane, (plain, prepared), decision, now_s)

    def land(self, older_s: float) -> None:
        """Have flights that began so long ago go on in the room."""
        before_s = time.perf_counter() - older_s
        for flight in list(self.flights):
            if flight.arrival.began_s > before_s:
                return
            flight.land()


def _streams(part: bytes) -> bool:
    """Whether a stream is asked for here, as most write it."""
    return STREAM in part and STREAMS.search(part) is not None


class _Flight:
    """One request on the fast path, until it is answered or lands."""

    _hold: Hold | None = None
    _outcome: Outcome | None = None
    _response: Response | None = None
    _held_s = _first_s = 0.0
    _text = b""
    _over = False
    """Whether its caller was answered, or left."""

    def __init__(
        self,
        path: FastPath,
        asked: tuple[FlightLine, Usual, bytes],
        lane: Lane,
        asks: tuple[PlainRequest, Prepared],
        decision: Decision | None,
        now_s: float,
    ) -> None:
        self._path, self._asked, self._line, self._lane = path, asked, asked[0], lane
        self._plain, self._prepared = asks
        self._decision = decision
        self.arrival = arrived(path.books, now_s)

    def begin(self) -> None:
        """Hold, and write the call; where something has to be waited for, land."""
        try:
            self._send()
        except RequestError as error:
            self._path.flights.pop(self, None)
            self._fail(error)
        except Exception:  # noqa: BLE001 — the boundary of a callback
            self._break()

    def _send(self) -> None:
        path, lane, plain, arrival = self._path, self._lane, self._plain, self.arrival
        path.flights[self] = None
        prompt = plain.prompt
        intent = Intent(
            request_id=arrival.request_id,
            payer=lane.caller.payer,
            model=plain.model,
            prompt_tokens_max=tokens_upper(prompt) + lane.around_tokens,
            completions=1,
            max_tokens=plain.max_tokens,
            created_us=int(arrival.wall_s * 1e6),
        )
        self._hold = path.ledger.hold_at_once(intent, lane.price)
        if self._hold is None:
            return self.land()
        path.books.metrics.holds += 1
        self._held_s = time.perf_counter()
        body = self._asked[2]
        json = written(prompt, body) if len(body) >= LONG_BYTES else None
        self._response = response = lane.upstream.begin(self._prepared, prompt, json)
        if response is None:
            return self.land()
        lane.relay.begun()
        response.listen(self._heard)
        return None

    # Away from the fast path

    def land(self) -> None:
        """Go on in the room, unless the end is near."""
        path, lane, response = self._path, self._lane, self._response
        if path.flights.pop(self, self) is self:
            return
        turn, opening = self._turn(), None
        request = turn.request
        assert request is not None
        call = lane.call(request)
        if response is not None:
            response.unheard()
            go_on = functools.partial(lane.upstream.receive, call, response)
            opening = Opening(lane.upstream, go_on)
        attempt = Attempt(lane.candidate.upstream, call, ())
        planned = Plan(request, (attempt,), turn.seed, lane.around_tokens)
        begun = Begun(turn, planned, opening, lane.relay, self._let_go)
        turns = path.room.under_way.turns

        def forsaken() -> None:
            turns.pop(turn, None)
            self._close(turn)

        self._line.land(turn.exchange, lambda exchange: path.room(exchange, begun), forsaken)
        turns[turn] = turn.exchange.task

    def lost(self) -> None:
        """The caller is gone: what is not charged yet is released, its upstream let go."""
        if not self._over:
            self._over = True
            self._path.flights.pop(self, None)
            self._close(self._turn())

    def _close(self, turn: Turn) -> None:
        turn.abandoned()
        self._let_go()
        turn.end()

    def _let_go(self) -> None:
        if self._response is not None:
            self._response.close()

    def _fail(self, error: RequestError) -> None:
        """Answer with an error."""
        turn, self._over = self._turn(), True
        self._line.answers(turn.exchange)
        turn.refused(error)
        turn.end()

    def _break(self) -> None:
        """A bug of ours is a 500, logged, as in the room."""
        request_id = self.arrival.request_id
        diary.exception("request failed", request_id=request_id)
        if self._over:
            return
        self._path.flights.pop(self, None)
        self._let_go()
        try:
            self._fail(internal(request_id))
        except Exception:  # noqa: BLE001 — nobody is left to tell but the caller
            self._line.abort()

    def _turn(self) -> Turn:
        """This request as the room knows requests."""
        line, head, body = self._asked
        exchange = Exchange(line, head.noted, where=head.where, http_1_0=False, keep=True)
        exchange.take(body)
        turn = Turn(exchange, self._path.books, self.arrival)
        turn.caller, turn.request = self._lane.caller, self._lane.request(self._plain, body)
        if self._decision is not None:
            turn.passage = self._path.gate.passage(turn.caller, self._decision)
        turn.goes_on(self._hold, self._held_s, self._outcome)
        if self._outcome is not None:
            turn.was_answered(self._outcome.upstream, self._first_s)
        return turn

    # Its news

    def _heard(self) -> None:
        """The upstream answered, or failed."""
        try:
            if not self._taken():
                self.land()
        except Exception:  # noqa: BLE001 — the boundary of a callback
            self._break()

    def _taken(self) -> bool:
        """Settle an answer that is whole, plain and credible; of any other the room finds out what
        it is."""
        response, plain, arrival = self._response, self._plain, self.arrival
        assert response is not None
        body = response.whole_body
        if body is None or response.status != OK or not response.is_of(BodyDecoder.media_type):
            return False
        found = one_whole(body, plain.max_tokens)
        if found is None:
            return False
        delta, usage = found
        fits = usage.completion_tokens <= plain.max_tokens
        if not fits or usage.prompt_tokens > len(plain.prompt):
            return False
        created_s = int(arrival.wall_s)
        text = encode_text(arrival.request_id, created_s, plain.model, delta, usage, None)
        if text is None:
            return False
        self._text = text
        response.taken()
        path, lane, began_s, hold = self._path, self._lane, arrival.began_s, self._hold
        assert hold is not None
        if lane.site.health.troubled:  # by what happened to others meanwhile
            lane.site.accepted()
            lane.site.whole()
        self._first_s = first_s = time.perf_counter()
        first_us = int((first_s - began_s) * 1e6)
        self._outcome = outcome = Outcome(
            usage=usage,
            upstream=lane.candidate.upstream,
            finish_reason=delta.finish_reason,
            delivered=False,
            timings=Timings(None, int((self._held_s - began_s) * 1e6), first_us, first_us),
        )
        del path.flights[self]
        path.ledger.tell(path.ledger.settle(hold, outcome, possible=True), self._charged)
        return True

    def _charged(self, error: StoreUnavailable | None) -> None:
        """The charge is durable, or cannot be."""
        if self._over:
            return
        try:
            if error is None:
                self._answer()
            else:
                self._fail(store_unavailable())
        except Exception:  # noqa: BLE001 — the boundary of a callback
            self._break()

    def _answer(self) -> None:
        """Write it; then the log and the numbers."""
        line, lane, arrival, text = self._line, self._lane, self.arrival, self._text
        request_id, began_s = arrival.request_id, arrival.began_s
        decision, books = self._decision, self._path.books
        first_s, now_s = self._first_s, time.perf_counter()
        rates = b"" if decision is None else decision.lines()
        told = request_id.encode(), int((now_s - began_s) * 1000), rates, lane.told
        line.write(ANSWER % (line.date(), *told, len(text), text))
        self._over = True
        line.flown(self)
        assert self._outcome is not None
        ended = Ended(
            request_id,
            lane.caller.record.id,
            self._plain.model,
            self._outcome,
            self._hold,
            None,
            OK,
            arrival.wall_s,
            now_s - began_s,
            first_s - began_s,
            settling_s=now_s - first_s,
        )
        books.metrics.in_flight -= 1
        books.metrics.ended(ended)
        books.log.append(ended)
