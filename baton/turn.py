"""One request's bookkeeping: its ids and times, its hold and its end, and what is told about it.

Exactly one end: `settled` on the proper path, else `end` closes what is open (the call, the hold)
with what was used until then. Everything here is synchronous but the three waits (`hold`, `held`,
`settled`), so that a cancellation between two lines can lose nothing.
"""

import os
import time
from collections.abc import Sequence
from typing import NamedTuple

from baton.admission.gate import Caller, Passage
from baton.answer import Answer
from baton.doors.door import Door
from baton.errors import RequestError, upstream_error, upstream_lost
from baton.http.exchange import Exchange, HeaderPair, error_lines, header_pairs
from baton.ledger.entries import Intent, State, Timings
from baton.ledger.prices import tokens_upper
from baton.ledger.settle import Hold, Ledger, Outcome
from baton.protocol import CompletionRequest
from baton.routing.plan import Plan
from baton.semantics.assemble import Encoder
from baton.semantics.events import Delta
from baton.semantics.headers import identity, line, provenance
from baton.telemetry.log import AccessLine, AccessLog, now
from baton.telemetry.metrics import Metrics, Reason
from baton.upstreams.base import UpstreamError

JSON = b"content-type: application/json\r\n"
EVENTS = (
    b"content-type: text/event-stream; charset=utf-8\r\n"
    b"cache-control: no-cache, no-transform\r\n"
    # nginx in front would otherwise collect events before it sends them.
    b"x-accel-buffering: no\r\n"
)
CHECKPOINT_BATCHES = 16
"""At least so often the ledger sees how many tokens came, and"""
CHECKPOINT_LOOK_S = 0.25
"""so often how long ago the last checkpoint was: looking at each batch costs more than it tells."""
CLIENT_GONE = 499
"""Status of a request whose caller left, as nginx writes it; nobody receives it."""


class Randomness:
    """Bytes from the system's generator, drawn in bulk: a call a request costs 2 µs, and 100 more
    when another thread takes the interpreter meanwhile."""

    BYTES = 12
    BULK_BYTES = 4096 * BYTES

    def __init__(self) -> None:
        self._bulk, self._at = b"", 0

    def take(self) -> bytes:
        """`BYTES` bytes that nobody was given before."""
        at = self._at
        if at >= len(self._bulk):
            self._bulk, at = os.urandom(self.BULK_BYTES), 0
        self._at = after = at + self.BYTES
        return self._bulk[at:after]


class Books(NamedTuple):
    """Where every turn of a worker is written down."""

    randomness: Randomness
    ledger: Ledger
    metrics: Metrics
    log: AccessLog


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
    limits: tuple[tuple[str, str], ...] = ()
    """Headers that tell what is left of the caller's rate."""
    cors = b""
    """Header lines that let a page of another origin read the answer."""
    strict = False
    ignored: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    """Fields that Baton filled in before planning."""
    finish_reason: str | None = None
    stood_in = False
    """Whether another turn answers, counts and logs this request (`once`)."""
    _hold: Hold | None = None
    _streaming = False
    """Whether the caller has a part of the answer."""
    _status = 200
    _error: RequestError | None = None
    _expelled: RequestError | None = None
    _held_at = _first_at = _last_at = _look_at = 0.0
    _batches = 0

    def __init__(self, exchange: Exchange, books: Books) -> None:
        self.exchange, self._books = exchange, books
        self._wall = wall = time.time()
        self._began = time.perf_counter()
        self._entropy = entropy = books.randomness.take()
        self.request_id = f"cmpl-{int(wall * 1000):012x}{entropy.hex()}"
        """Sorts by time, so that the newest rows of a table lie together."""
        books.metrics.in_flight += 1

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
        request = planned.request
        prompts = request.prompts
        if len(prompts) == 1:
            tokens_max = tokens_upper(prompts[0])
        else:
            tokens_max = sum(map(tokens_upper, prompts))
        if request.suffix is not None or planned.wrapping_tokens:
            more = tokens_upper(request.suffix) if request.suffix else 0
            tokens_max += (planned.wrapping_tokens + more) * len(prompts)
        intent = Intent(
            request_id=self.request_id,
            payer=self.caller.payer,
            model=request.model,
            prompt_tokens_max=tokens_max,
            completions=len(prompts) * planned.candidates_max,
            max_tokens=request.max_tokens,
            user=request.user,
            stream=request.stream,
            created_us=int(self._wall * 1e6),
        )
        if self.passage is not None:
            await self.passage.reserve(intent.tokens_max)
            self.limits = self.passage.headers
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
        books, ticket = self._books, self._settle("settled")
        before = time.perf_counter()
        await books.ledger.durable(ticket)
        books.metrics.journal_wait.observe(time.perf_counter() - before)

    def _settle(self, state: State) -> int:
        assert self._hold is not None
        self._books.metrics.hold_ended(state)
        return self._books.ledger.settle(self._hold, self._outcome(state))

    def _outcome(self, state: State) -> Outcome:
        answer = self.answer
        timings = Timings(
            None, self._us(self._held_at), self._us(self._first_at), self._us(self._last_at)
        )
        code = self._error.code if self._error is not None else None
        if answer is None:
            return Outcome(
                state=state,
                status=self._status,
                error_code=code,
                finish_reason=self.finish_reason,
                fills=",".join(self.named),
                attempts=0,
                delivered=self._streaming,
                timings=timings,
            )
        return Outcome(
            state=state,
            usage=answer.usage,
            upstream=answer.upstream,
            spent=answer.spent,
            status=self._status,
            error_code=code,
            finish_reason=self.finish_reason,
            fills=",".join(self.fills),
            handoffs=answer.handoffs,
            attempts=answer.attempts,
            delivered=self._streaming,
            timings=timings,
        )

    def came(self, batch: Sequence[Delta]) -> None:
        """Deltas arrived: when, how many, and the finish that the ledger shall know."""
        self._last_at = now = time.perf_counter()
        if not self._batches:
            self._first_at = self._look_at = now
        self._batches += 1
        reason = batch[-1].finish_reason
        if reason is not None:
            self.finish_reason = reason
        if now >= self._look_at or self._batches % CHECKPOINT_BATCHES == 0:
            self._checkpoint(now)

    def _checkpoint(self, now: float) -> None:
        """Let the ledger see how far the answer is, a few times a second."""
        self._look_at = now + CHECKPOINT_LOOK_S
        if self._hold is not None and self.answer is not None and self.exchange.started:
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
        exchange = self.exchange
        if exchange.done:
            return
        if not exchange.started:
            lines = self._common() + error_lines(error)
            return exchange.respond(error.status, lines, error.body())
        exchange.keep_alive = False
        if self.encoder is not None:
            exchange.send(self.encoder.error(error))
        exchange.end()

    def upstream_failed(self, error: UpstreamError) -> None:
        """No upstream is left that could answer (or go on)."""
        if self.exchange.started:
            self.refused(upstream_lost("The answer broke off: its upstream was lost."))
        else:
            self.refused(upstream_error(error))

    def expel(self, error: RequestError) -> bool:
        """Whoever cancels this turn now ends it with that error. False once its end is settled."""
        if self._hold is not None and self._hold.state != "reserved":
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
        """Close what is open, then count and log. Nothing here waits."""
        if self.answer is not None:
            self.answer.close()
        if self._hold is not None and self._hold.state == "reserved":
            self._settle(self._open_state())
        if self.passage is not None:
            ending = self._hold.ending if self._hold is not None else None
            self.passage.end(0 if ending is None else ending.tokens)
        self._books.metrics.in_flight -= 1
        if self.stood_in:
            return
        self._count()
        self._books.log.append(self._line())

    def _open_state(self) -> State:
        """How a hold ends that was not settled: nothing used, left by the caller, or cut."""
        if self.answer is None:
            return "released"
        if self._status == CLIENT_GONE:
            return "settled"
        used = self._streaming or self.answer.generated
        return "interrupted" if used else "released"

    # What is told

    def headers(self) -> bytes:
        """The header lines of a whole answer."""
        handoffs = self.answer.handoffs if self.answer is not None else 0
        return b"%b%bx-baton-handoffs: %d\r\n" % (JSON, self._common(), handoffs)

    def _common(self) -> bytes:
        lines = identity(self.request_id, time.perf_counter() - self._began)
        for name, value in self.limits:
            lines += line(name.encode(), value)
        if self.cors:
            lines += self.cors
        upstream = self.answer.upstream if self.answer is not None else ""
        return lines + provenance(upstream, self.fills, self.ignored)

    def own(self) -> list[HeaderPair]:
        """What is about the caller, whoever made the answer."""
        limits = [(name.encode(), value.encode()) for name, value in self.limits]
        return [*limits, *header_pairs(self.cors)]

    @property
    def fills(self) -> tuple[str, ...]:
        """Everything that Baton made in the caller's or the upstream's place."""
        made = self.answer.fills if self.answer is not None else ()
        return self.named + made if self.named else made

    def _charge(self) -> int:
        """What the ledger took, nano-USD."""
        ending = self._hold.ending if self._hold is not None else None
        return ending.charge if ending is not None else 0

    def _us(self, at: float) -> int | None:
        return int((at - self._began) * 1e6) if at else None

    def _count(self) -> None:
        answer, request = self.answer, self.request
        if answer is None and self._error is not None:
            self._books.metrics.rejected(rejection(self._error))
        model = request.model if answer is not None and request is not None else ""
        series = self._books.metrics.series(model, answer.upstream if answer is not None else "")
        status = 0 if self._status == CLIENT_GONE else self._status
        series.answered(status, time.perf_counter() - self._began)
        if answer is None or self._hold is None:
            return
        if answer.attempt.fills or self.named:
            self._books.metrics.filled(self.fills)
        usage = answer.usage
        series.charged(
            usage.prompt_tokens,
            usage.completion_tokens,
            usage.cached_tokens or 0,
            self._charge(),
        )
        if self._first_at and request is not None and request.stream:
            gaps = self._batches - 1
            mean = (self._last_at - self._first_at) / gaps if gaps else 0.0
            series.streamed(self._first_at - self._began, mean, gaps)

    def _line(self) -> AccessLine:
        answer = self.answer
        usage = answer.usage if answer is not None else None
        return AccessLine(
            time=now(),
            request_id=self.request_id,
            status=0 if self._status == CLIENT_GONE else self._status,
            total_ms=round((time.perf_counter() - self._began) * 1000, 3),
            key=self.caller.record.id if hasattr(self, "caller") else "",
            model=self.request.model if self.request is not None else "",
            upstream=answer.upstream if answer is not None else "",
            prompt_tokens=usage.prompt_tokens if usage is not None else 0,
            completion_tokens=usage.completion_tokens if usage is not None else 0,
            charge_nano=self._charge(),
            first_byte_ms=round((self._first_at - self._began) * 1000, 3)
            if self._first_at
            else None,
            fills=",".join(self.fills),
            handoffs=answer.handoffs if answer is not None else 0,
            error=self._error.code if self._error is not None else None,
        )


REJECTIONS: dict[str, Reason] = {
    "missing_api_key": "key",
    "invalid_api_key": "key",
    "forbidden": "forbidden",
    "model_not_found": "model",
    "rate_limit_exceeded": "rate",
    "insufficient_quota": "quota",
    "overloaded": "overloaded",
    "context_length_exceeded": "context",
    "request_too_large": "size",
}


def rejection(error: RequestError) -> Reason:
    """The bounded label under which a refusal is counted."""
    return REJECTIONS.get(error.code or "", "invalid" if error.status == 400 else "other")
