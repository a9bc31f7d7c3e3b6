"""One request's bookkeeping: its ids and times, its hold and its end, and what is told about it.

Exactly one end: `settled` on the proper path, else `end` closes what is open (the call, the hold)
with what was used until then. Everything here is synchronous but the three waits (`hold`, `held`,
`settled`), so that a cancellation between two lines can lose nothing.
"""

import time
from collections.abc import Sequence
from typing import NamedTuple

from baton.admission.gate import Caller, Passage
from baton.answer import Answer
from baton.doors.door import Door
from baton.ended import CLIENT_GONE, Ended
from baton.errors import RequestError, upstream_error, upstream_lost
from baton.http.exchange import Exchange, HeaderPair, error_lines, header_pairs
from baton.http.kept import KeptExchange
from baton.ledger.entries import Intent, State, Timings
from baton.ledger.holds import Hold, Outcome
from baton.ledger.prices import tokens_upper
from baton.ledger.settle import Ledger
from baton.protocol import CompletionRequest
from baton.randomness import Randomness
from baton.routing.plan import Plan
from baton.semantics.assemble import Encoder
from baton.semantics.events import Delta
from baton.semantics.headers import identity, provenance
from baton.telemetry.log import AccessLog
from baton.telemetry.metrics import Metrics
from baton.telemetry.refused import Asked, Refusals
from baton.upstreams.base import UpstreamError

QUEUED_MIN_S = 0.001
"""Who waited less for its upstream did not wait: an engine's step was under way."""
JSON = b"content-type: application/json\r\n"
EVENTS = (
    b"content-type: text/event-stream; charset=utf-8\r\n"
    b"cache-control: no-cache, no-transform\r\n"
    # nginx in front would otherwise collect events before it sends them.
    b"x-accel-buffering: no\r\n"
)


class Books(NamedTuple):
    """Where every turn of a worker is written down."""

    randomness: Randomness
    ledger: Ledger
    metrics: Metrics
    log: AccessLog
    refusals: Refusals


class Arrival(NamedTuple):
    """When a request came, and what it is called."""

    wall_s: float
    """Since 1970."""
    began_s: float
    """On the clock that measures."""
    entropy: bytes
    """Drawn for it alone."""
    request_id: str
    """Sorts by time, so that the newest rows of a table lie together."""


def arrived(books: Books, wall_s: float) -> Arrival:
    """A request is there: it counts as in flight from now on."""
    entropy = books.randomness.take()
    books.metrics.in_flight += 1
    request_id = f"cmpl-{int(wall_s * 1000):012x}{entropy.hex()}"
    return Arrival(wall_s, time.perf_counter(), entropy, request_id)


class Turn:
    """From the arrival of a request to its last line in the log."""

    caller: Caller
    request: CompletionRequest | None = None
    answer: Answer | None = None
    encoder: Encoder | None = None
    door: Door | None = None
    """The shape of a request that came in another server's."""
    passage: Passage | None = None
    """What was counted for it against its caller's rates, where there are any."""
    cors = b""
    """Header lines that let a page of another origin read the answer."""
    strict = False
    ignored: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    """Fields that Baton filled in before planning."""
    finish_reason: str | None = None
    stood_in = False
    """Whether another turn answers, counts and logs this request (`once`)."""
    follows: KeptExchange | None = None
    """The run whose answer its caller is sent, where that is another turn's."""
    _hold: Hold | None = None
    _outcome: Outcome | None = None
    """How the hold ended."""
    _settling_s = -1.0
    _streaming = False
    """Whether the caller has a part of the answer."""
    _status = 200
    _error: RequestError | None = None
    _expelled: RequestError | None = None
    _upstream = ""
    """Who answered, where there is no `answer` to ask."""
    _held_at = _first_at = _last_at = 0.0
    _batches = _poured = 0

    def __init__(self, exchange: Exchange, books: Books, arrival: Arrival | None = None) -> None:
        self.exchange, self._books = exchange, books
        if arrival is None:
            arrival = arrived(books, time.time())
        self._wall, self._began, self._entropy, self.request_id = arrival

    def was_answered(self, upstream: str, first_s: float) -> None:
        """Its upstream gave the answer, and that was settled: only the journal is waited for."""
        self._upstream, self._first_at = upstream, first_s

    def goes_on(self, hold: Hold | None, held_s: float, outcome: Outcome | None) -> None:
        """What the fast path did for it: the hold, since when, and how that ended, if it did."""
        self._hold, self._held_at, self._outcome = hold, held_s, outcome

    @property
    def seed(self) -> int:
        """Of what is drawn for this request alone, 32 bits."""
        return int.from_bytes(self._entropy[:4])

    @property
    def age_s(self) -> float:
        """Since its first line."""
        return time.perf_counter() - self._began

    @property
    def created(self) -> int:
        """Seconds since 1970."""
        return int(self._wall)

    # The money

    async def hold(self, planned: Plan) -> None:
        """Reserve the worst case; RequestError 429 when the caller may not spend it."""
        if self._hold is not None:
            return
        request = planned.request
        intent = Intent(
            request_id=self.request_id,
            payer=self.caller.payer,
            model=request.model,
            prompt_tokens_max=_prompt_tokens_max(planned),
            completions=len(request.prompts) * planned.candidates_max,
            max_tokens=request.max_tokens,
            user=request.user,
            stream=request.stream,
            created_us=int(self._wall * 1e6),
        )
        if self.passage is not None and self.passage.lasts:
            await self.passage.reserve(intent.tokens_max)
        self._hold = await self._books.ledger.hold(intent)
        self._held_at = time.perf_counter()
        self._books.metrics.held()

    async def held(self) -> None:
        """Returns once the hold is durable: before the first byte of an answer."""
        assert self._hold is not None
        await self._books.ledger.durable(self._hold.ticket)

    async def settled(self, finish_reason: str | None) -> None:
        """The answer is whole: charge it, and return once that is durable."""
        self.finish_reason = finish_reason
        ticket, before = self._settle("settled"), time.perf_counter()
        await self._books.ledger.durable(ticket)
        self._settling_s = time.perf_counter() - before
        self._pass_out()

    def _settle(self, state: State) -> int:
        assert self._hold is not None
        self._outcome = outcome = self._ends_as(state)
        return self._books.ledger.settle(self._hold, outcome)

    def _ends_as(self, state: State) -> Outcome:
        answer, began, fills = self.answer, self._began, self.fills
        held, first, last = self._held_at, self._first_at, self._last_at
        waited_s = answer.queued_s if answer is not None else 0.0
        timings = Timings(
            int((held - began + waited_s) * 1e6) if waited_s >= QUEUED_MIN_S else None,
            int((held - began) * 1e6) if held else None,
            int((first - began) * 1e6) if first else None,
            int((last - began) * 1e6) if last else None,
        )
        code = self._error.code if self._error is not None else None
        told = ",".join(fills) if fills else ""
        if answer is None:
            return Outcome(
                state=state,
                status=self._status,
                error_code=code,
                finish_reason=self.finish_reason,
                fills=told,
                attempts=0,
                delivered=self._streaming,
                timings=timings,
            )
        return Outcome(
            state=state,
            usage=answer.usage,
            upstream=answer.upstream,
            spent=answer.spent,
            asked=answer.asked,
            status=self._status,
            error_code=code,
            finish_reason=self.finish_reason,
            fills=told,
            handoffs=answer.handoffs,
            attempts=answer.attempts,
            delivered=self._streaming,
            timings=timings,
        )

    def came(self, batch: Sequence[Delta]) -> None:
        """Deltas arrived: when, how many, and the finish that the ledger shall know."""
        if not self._batches:
            self._first_at = time.perf_counter()
        reason = batch[-1].finish_reason
        if reason is not None:
            self.finish_reason = reason
        self._last_at = time.perf_counter()
        self._batches += 1

    def poured(self, texts: int) -> None:
        """So many texts went out in all without being told here, one by one."""
        if texts > self._poured:
            self._poured, self._last_at = texts, time.perf_counter()

    def checkpoint(self) -> None:
        """Let the ledger see how far the stream is: twice a second, as looking costs more than it
        tells."""
        if self._hold is not None and self.answer is not None and self._streaming:
            self._books.ledger.checkpoint(self._hold, self.answer.generated, self.answer)

    def spent_s(self) -> tuple[float, float]:
        """Until the first text, and from it to the last one so far."""
        first = self._first_at or self._began
        return first - self._began, max(0.0, self._last_at - first)

    def start_stream(self) -> None:
        """The head of a streamed answer goes out."""
        self._streaming = True
        self.exchange.start_stream(EVENTS + self._common())

    # The end

    def refused(self, error: RequestError) -> None:
        """Answer with an error: plain before the first byte, as an event after it."""
        self._error, self._status = error, error.status
        self._close()
        exchange = self.exchange
        if exchange.done:
            return
        if not exchange.started:
            lines = self._common() + error_lines(error)
            exchange.respond(error.status, lines, error.body())
            if self._hold is None and not self.stood_in:  # else it is on the ledger, or another's
                key_id = self.caller.record.id if hasattr(self, "caller") else ""
                self._books.refusals.note(key_id, error, self._asked)
            return None
        if self.encoder is None:  # the stream is another turn's: its shape is not known here
            return exchange.abort()
        exchange.keep_alive = False
        exchange.send(self.encoder.error(error))
        exchange.end()

    def upstream_failed(self, error: UpstreamError) -> None:
        """No upstream is left that could answer (or go on)."""
        if self.exchange.started:
            self.refused(upstream_lost("The answer broke off: its upstream was lost."))
        else:
            self.refused(upstream_error(error))

    def expel(self, error: RequestError) -> bool:
        """Whoever cancels this turn now ends it with that error. False once its end is settled, and
        where it is sent the answer of a run: that is ended itself, and tells all who follow it."""
        if self._hold is not None and self._hold.state != "reserved":
            return False
        if self.follows is not None and self.exchange.started and not self.follows.done:
            return False
        self._expelled = error
        return True

    def abandoned(self) -> None:
        """The caller left, or is left: the drain time is over, or its key is."""
        if self._expelled is not None:
            return self.refused(self._expelled)
        self._status = CLIENT_GONE
        self.exchange.abort()

    def end(self) -> None:
        """Close what is open, then tell of it. Nothing here waits."""
        self._close()
        books = self._books
        books.metrics.in_flight -= 1
        if not self.stood_in:
            ended = self._told()
            books.metrics.ended(ended)
            books.log.append(ended)

    def _close(self) -> None:
        if self.answer is not None:
            self.answer.close()
        if self._hold is not None and self._hold.state == "reserved":
            self._settle(self._open_state())
        self._pass_out()

    def _pass_out(self) -> None:
        """It is under way no more, for the rates of its caller: before its last byte goes out, as
        another worker may have the next request before this one goes on here."""
        if self.passage is not None and self.passage.lasts:
            ending = self._hold.ending if self._hold is not None else None
            self.passage.end(0 if ending is None else ending.tokens)

    def _told(self) -> Ended:
        first, gaps = self._first_at, self._batches + self._poured - 1
        request = self.request
        return Ended(
            self.request_id,
            self.caller.record.id if hasattr(self, "caller") else "",
            request.model if request is not None else "",
            self._outcome or self._ends_as("released"),
            self._hold,
            self._error,
            self._status,
            self._wall,
            time.perf_counter() - self._began,
            first - self._began if first else 0.0,
            gaps,
            (self._last_at - first) / gaps if gaps > 0 else 0.0,
            self._settling_s,
        )

    def _asked(self) -> Asked:
        model = None if self.request is None else self.request.model
        return self.exchange.asked(self.request_id, model)

    def _open_state(self) -> State:
        """How a hold ends that was not settled: left by its caller, who pays for what was generated
        until then; cut, with what came so far; or nothing came, and whatever was generated for it
        is the operator's to pay."""
        if self.answer is None:
            return "released"
        if self._status == CLIENT_GONE:
            return "settled"
        return "interrupted" if self._streaming else "released"

    # What is told

    def headers(self) -> bytes:
        """The header lines of a whole answer."""
        handoffs = self.answer.handoffs if self.answer is not None else 0
        return b"%b%bx-baton-handoffs: %d\r\n" % (JSON, self._common(), handoffs)

    def _common(self) -> bytes:
        passage, answer = self.passage, self.answer
        return b"%b%b%b%b" % (
            identity(self.request_id, time.perf_counter() - self._began),
            passage.lines if passage is not None else b"",
            self.cors,
            provenance(
                answer.upstream if answer is not None else self._upstream, self.fills, self.ignored
            ),
        )

    def own(self) -> list[HeaderPair]:
        """What is about the caller, whoever made the answer."""
        limits = self.passage.lines if self.passage is not None else b""
        return [*header_pairs(limits), *header_pairs(self.cors)]

    @property
    def fills(self) -> tuple[str, ...]:
        """Everything that Baton made in the caller's or the upstream's place."""
        made = self.answer.fills if self.answer is not None else ()
        return self.named + made if self.named else made


def _prompt_tokens_max(planned: Plan) -> int:
    """At least as many tokens as prompts, suffix and what is put around them can be."""
    request = planned.request
    prompts = request.prompts
    if len(prompts) == 1 and request.suffix is None and not planned.wrapping_tokens:
        return tokens_upper(prompts[0])
    around = planned.wrapping_tokens + (tokens_upper(request.suffix) if request.suffix else 0)
    return sum(map(tokens_upper, prompts)) + around * len(prompts)
