"""POST /v1/completions: the life of one request, top to bottom.

Who asks, within which rates · decode and validate · plan (calls, fills) · hold · open the upstream
· relay what comes · settle · the last byte. A stream and a whole answer differ in one function
each. What is durable before which byte: the hold before the first, the settle before the last.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from baton.admission import sessions
from baton.admission.gate import Gate, bearer
from baton.answer import Answer
from baton.config import Settings
from baton.configured import Configured
from baton.content import HeardAnswer, Keeper
from baton.doors.door import Facts, renamed
from baton.doors.doors import DOORS
from baton.errors import (
    RequestError,
    Unheeded,
    internal,
    invalid,
    store_unavailable,
    strictly_unknown,
    unknown_model,
)
from baton.http.exchange import Exchange, header_lines
from baton.http.kept import IDEMPOTENCY_KEY, REPLAYED, KeptExchange, follow, replay
from baton.ledger.settle import Ledger
from baton.once import Once
from baton.protocol import CompletionRequest, CompletionUsage, RequestLimits, decode
from baton.randomness import Randomness
from baton.relay import Opening, Relay
from baton.routing.plan import Plan, Terms, plan
from baton.semantics.assemble import (
    ChunkEncoder,
    Encoder,
    assemble,
    encode_completion,
    encode_text,
)
from baton.semantics.events import Delta
from baton.semantics.usage import so_far, to_wire
from baton.stores.base import StoreUnavailable
from baton.telemetry import diary
from baton.telemetry.log import AccessLog
from baton.telemetry.metrics import Metrics
from baton.telemetry.refused import Refusals
from baton.turn import Books, Turn
from baton.under_way import UnderWay
from baton.upstreams.base import UpstreamError
from baton.web.cors import Cors

TRUE = (b"true", b"1")
AUTHORIZATION = b"authorization"


class Begun(NamedTuple):
    """A turn whose request is decoded and planned; of one from the fast path more may be done."""

    turn: Turn
    planned: Plan
    opening: Opening | None = None
    """How the plan's first attempt goes on, where it is under way."""
    relay: Relay | None = None
    """The one that it began with."""
    close: Callable[[], None] = staticmethod(lambda: None)
    """Lets go of it, if nobody did."""


class Completions:
    """The room that runs every completion of a worker. Raises nothing; answers every exchange."""

    once: Once
    """Set by who makes the room: it answers what came under an Idempotency-Key."""
    keeper: Keeper
    """Likewise: it keeps contents where a key opted in."""

    def __init__(
        self,
        settings: Settings,
        configured: Configured,
        gate: Gate,
        ledger: Ledger,
        metrics: Metrics,
        log: AccessLog,
    ) -> None:
        self._settings, self._limits = settings, settings.request_limits()
        self._strict_limits = self._limits.strict()
        self._fill_limits = settings.fill_limits()
        self._deterministic = settings.engine_deterministic
        self._configured, self._gate = configured, gate
        refusals = Refusals(metrics, kept=settings.refusals_days > 0)
        self.books = Books(Randomness(), ledger, metrics, log, refusals)
        self.under_way = UnderWay()
        self._cors = Cors.of(settings.cors_origins) if settings.cors_origins else None

    async def __call__(self, exchange: Exchange, begun: Begun | None = None) -> None:
        """`begun`: how far the fast path came with it; it goes on from there."""
        turn = Turn(exchange, self.books) if begun is None else begun.turn
        if self._cors is not None:
            turn.cors = header_lines(self._cors.headers(exchange.header(b"origin")))
        turns = self.under_way.turns
        turns[turn] = exchange.task or asyncio.current_task()
        try:
            await (self._answer(turn) if begun is None else self._go_on(turn, begun))
        except asyncio.CancelledError:
            turn.abandoned()  # the client is gone, or the drain time is over: nobody to tell
        except Unheeded as error:
            turn.refused(error.on(turn.request.model) if turn.request is not None else error)
        except RequestError as error:
            turn.refused(error)
        except UpstreamError as error:
            turn.upstream_failed(error)
        except StoreUnavailable:
            turn.refused(store_unavailable())
        except Exception:  # noqa: BLE001 — the request boundary: a bug of ours is a 500, logged
            diary.exception("request failed", request_id=turn.request_id)
            turn.refused(internal(turn.request_id))
        finally:
            del turns[turn]
            turn.end()
            if begun is not None:
                begun.close()

    async def _answer(self, turn: Turn) -> None:
        noted = turn.exchange.noted
        if IDEMPOTENCY_KEY in noted:
            return await self._once(turn)
        caller = self._gate.known(noted.get(AUTHORIZATION))
        if caller is None:
            await self._identify(turn)
        else:
            turn.caller = caller
            if caller.restricted:
                await self._admit(turn)
        request = self._decode(turn)
        return await self._go_on(turn, Begun(turn, self._plan(turn, request)))

    async def _go_on(self, turn: Turn, begun: Begun) -> None:
        """Hold, unless that is done; open, or go on with what is; relay; settle."""
        planned = begun.planned
        request, relay = planned.request, begun.relay
        if relay is None:
            relay = self._configured.current.relay  # what was planned with, whatever changes now
        else:
            planned = self._replanned(turn, planned)
        await turn.hold(planned)
        if relay is not self._configured.current.relay and begun.opening is None:
            relay, planned = self._as_now(turn, relay, planned)
        if turn.caller.keeps:
            answer = await self._heard(turn, relay, planned)
        else:
            answer = await relay.open(planned, begun.opening)
        turn.answer = answer
        if answer.attempt.ignored:
            turn.ignored = tuple(sorted((*turn.ignored, *answer.attempt.ignored)))
        if request.stream:
            await self._stream(turn, request, answer)
        else:
            await self._whole(turn, request, answer)

    def _as_now(self, turn: Turn, relay: Relay, planned: Plan) -> tuple[Relay, Plan]:
        """Planned anew where nobody is left as it was planned with: all of them were changed, or
        removed, while the hold was waited for. As far as the hold covers it."""
        if relay.knows(planned):
            return relay, planned
        anew = self._plan(turn, planned.request)
        if (anew.candidates_max, anew.wrapping_tokens) != (
            planned.candidates_max,
            planned.wrapping_tokens,
        ):
            return relay, planned
        return self._configured.current.relay, anew

    def _replanned(self, turn: Turn, begun: Plan) -> Plan:
        """With whoever else could answer what the fast path began at one upstream."""
        try:
            planned = self._plan(turn, begun.request)
        except RequestError:  # the model was taken away: who has begun may end
            return begun
        first = begun.attempts[0]
        others = [
            each
            for each in planned.attempts
            if each.upstream != first.upstream
            and not each.fills  # the hold covers none
            and each.around_tokens <= begun.wrapping_tokens
        ]
        return msgspec.structs.replace(begun, attempts=(first, *others))

    async def _heard(self, turn: Turn, relay: Relay, planned: Plan) -> Answer:
        """An answer that is kept as far as it comes, with what was asked; where there is none, what
        was asked."""
        hearing = self.keeper.hear(turn.request_id, turn.caller.record.id, planned.request)
        answer = None
        try:
            answer = await relay.open(planned)
            return HeardAnswer(answer, hearing)
        finally:
            if answer is None:
                hearing.end()

    async def _once(self, turn: Turn) -> None:
        """Under an Idempotency-Key: a run apart from this connection answers, now or earlier."""
        exchange, shown = turn.exchange, _credential(turn.exchange)
        turn.caller = self._gate.known(shown) or await self._gate.identify(shown)
        found, turn.stood_in = await self.once.find(turn.caller.record.id, exchange)
        turn.follows = found if isinstance(found, KeptExchange) else None
        if turn.follows is not None and turn.stood_in:
            return await follow(turn.follows, exchange, None)
        await self._identify(turn)  # anew, as looking took its time; and now its limits count
        own = [REPLAYED, *turn.own()]
        if isinstance(found, KeptExchange):
            return await follow(found, exchange, own)
        return replay(found, exchange, own)

    async def _identify(self, turn: Turn) -> None:
        """Whose key it is, and whether it may ask now."""
        shown = _credential(turn.exchange)
        turn.caller = self._gate.known(shown) or await self._gate.identify(shown)
        if turn.caller.restricted:
            await self._admit(turn)

    async def _admit(self, turn: Turn) -> None:
        """Let a restricted caller in: from its addresses, within its rates."""
        if turn.caller.networks:
            exchange = turn.exchange
            self._gate.check_origin(turn.caller, exchange.client, exchange.headers)
        turn.passage = await self._gate.enter(turn.caller)

    def _decode(self, turn: Turn) -> CompletionRequest:
        """The request as the caller means it; the model is settled here."""
        exchange, record = turn.exchange, turn.caller.record
        turn.strict = record.strict or exchange.noted.get(b"x-baton-strict") in TRUE
        limits = self._strict_limits if turn.strict else self._limits
        if exchange.door:
            request = turn.request = self._decode_at_door(turn, limits)
        else:
            request = turn.request = decode(exchange.body, limits, model=exchange.model or None)
        turn.ignored = request.ignored
        if turn.strict and request.ignored:
            raise strictly_unknown(request.ignored)
        if request.model:
            return request
        if turn.strict:
            message = "'model' is empty: name one, as strictness lets nothing be filled in."
            raise invalid(message, "model", "unsupported_parameter")
        turn.named = ("model",)
        turn.request = msgspec.structs.replace(request, model=self._default_model(turn))
        return turn.request

    def _decode_at_door(self, turn: Turn, limits: RequestLimits) -> CompletionRequest:
        """A request in another server's shape: the same completion."""
        exchange = turn.exchange
        door = turn.door = DOORS[exchange.door](exchange.body)
        try:
            request = decode(door.body, limits, model=exchange.model or None)
        except RequestError as error:
            raise renamed(error, door) from None
        return msgspec.structs.replace(request, ignored=door.ignored)

    def _default_model(self, turn: Turn) -> str:
        """What an empty model means: the key's default, else the only one that it reaches."""
        record = turn.caller.record
        if record.default_model is not None:
            return record.default_model
        reached = [m for m in self._configured.current.routes.models if turn.caller.allowed(m)]
        if not reached:
            raise invalid("'model' is empty; the key reaches no model.", "model")
        if len(reached) > 1:
            said = "'model' is empty; the key has no default model and reaches several models: "
            raise invalid(said + "name one, or ask under /m/{model}.", "model")
        return reached[0]

    def _plan(self, turn: Turn, request: CompletionRequest) -> Plan:
        record, current = turn.caller.record, self._configured.current
        if not turn.caller.allowed(request.model):
            raise unknown_model(request.model)
        asked = turn.exchange.noted.get(b"x-baton-deterministic") in TRUE
        deterministic = asked or record.deterministic or self._deterministic
        terms = Terms(record.id, turn.strict, deterministic, record.parse_special)
        seed, limits = turn.seed, self._fill_limits
        return plan(request, terms, current.routes, current.native, seed=seed, limits=limits)

    async def _whole(self, turn: Turn, request: CompletionRequest, answer: Answer) -> None:
        deltas: list[Delta] = []
        while batch := await answer.read():
            turn.came(batch)
            deltas += batch
        body, exchange = _body(turn, request, answer, deltas), turn.exchange
        if isinstance(exchange, KeptExchange):
            await exchange.keep(turn.headers(), body)
        await turn.settled(turn.finish_reason)
        exchange.respond(200, turn.headers(), body)

    async def _stream(self, turn: Turn, request: CompletionRequest, answer: Answer) -> None:
        exchange = turn.exchange
        encoder = turn.encoder = _encoder(turn, request, answer)
        continuous, encode, send = request.continuous_usage, encoder.delta, exchange.send

        def pass_on(batch: Sequence[Delta]) -> bool:
            turn.came(batch)
            keeps_up = True
            for delta in batch:
                keeps_up = send(encode(delta, _so_far(answer)) if continuous else encode(delta))
            return keeps_up

        pass_text = None
        if isinstance(encoder, ChunkEncoder) and not continuous:
            pass_text = exchange.sender(*encoder.around_text)

        while batch := await answer.read():
            if not exchange.started:
                await turn.held()
                turn.start_stream()
            if pass_on(batch):
                try:
                    await answer.pour(pass_on, pass_text)
                finally:
                    turn.poured(answer.poured)
            if exchange.paused:
                await exchange.drain()
        last = b""
        if request.include_usage:
            last = encoder.usage(to_wire(answer.usage, answer.handoffs))
        await self._end_stream(turn, last, encoder.done)

    async def _end_stream(self, turn: Turn, last: bytes, done: bytes) -> None:
        """All that was generated is out: charge it, then let the caller take it for whole."""
        exchange = turn.exchange
        if isinstance(exchange, KeptExchange):
            if not exchange.started:
                turn.start_stream()
            await exchange.keep(b"", last, done)
        await turn.settled(turn.finish_reason)
        if not exchange.started:
            turn.start_stream()
        if last:
            exchange.send(last)
        exchange.end(done)


def _body(turn: Turn, request: CompletionRequest, answer: Answer, deltas: list[Delta]) -> bytes:
    """The body of a whole answer; the turn notes how its first choice ended."""
    usage, fingerprint = answer.usage, answer.fingerprint
    told = turn.request_id, turn.created, request.model
    if len(deltas) == 1 and request.plain and turn.door is None:
        body = encode_text(*told, deltas[0], usage, fingerprint)
        if body is not None:
            return body
    choices = assemble(deltas, request.choices, logprobs=request.logprobs is not None)
    turn.finish_reason = choices[0].finish_reason if choices else None
    if turn.door is not None:
        return turn.door.whole(_facts(turn, request), choices, to_wire(usage))
    return encode_completion(*told, choices, to_wire(usage), fingerprint)


def _so_far(answer: Answer) -> CompletionUsage:
    return to_wire(so_far(answer.usage, answer.generated))


def _encoder(turn: Turn, request: CompletionRequest, answer: Answer) -> Encoder:
    if turn.door is not None:
        return turn.door.encoder(_facts(turn, request))
    return ChunkEncoder(
        turn.request_id,
        turn.created,
        request.model,
        answer.fingerprint,
        include_usage=request.include_usage,
    )


def _facts(turn: Turn, request: CompletionRequest) -> Facts:
    return Facts(turn.request_id, turn.created, request.model, turn.spent_s)


def _credential(exchange: Exchange) -> bytes | None:
    """As `gate.credential` finds it for all other routes."""
    shown = exchange.header(AUTHORIZATION)
    return _other_credential(exchange) if shown is None else shown


def _other_credential(exchange: Exchange) -> bytes | None:
    api_key = exchange.header(b"x-api-key")
    if api_key is not None:
        return bearer(api_key)
    return sessions.shown(exchange.header(b"cookie"), exchange.header(sessions.MARK_HEADER))
