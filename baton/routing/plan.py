"""A request becomes a plan: which upstreams to try, what to ask each, what Baton fills in. Pure."""

from collections.abc import Mapping

import msgspec

from baton.errors import RequestError, strictly_unfilled, strictly_unknown, unknown_model
from baton.protocol import CompletionRequest, FillLimits
from baton.routing.capabilities import fills
from baton.routing.routes import Candidate, Routes
from baton.routing.work import NOTHING, Work, worked, wrapped_tokens
from baton.semantics.events import Call
from baton.upstreams.base import Capabilities


class Terms(msgspec.Struct, frozen=True):
    """On whose terms a request is planned: what of the caller and its key matters here."""

    tenant: str
    """The fairness unit of queues."""
    strict: bool = False
    """Fills are refused instead of made."""
    deterministic: bool = False
    parse_special: bool = True


class Attempt(msgspec.Struct, frozen=True):
    """One way to answer the whole request: an upstream, the call to it, and the fills."""

    upstream: str
    call: Call
    """What is sent, perhaps in parts."""
    fills: tuple[str, ...]
    work: Work | None = None
    """What Baton does around the call; None: it is relayed as it is."""
    ignored: tuple[str, ...] = ()
    """Fields of one engine that were asked for and that this upstream does not take."""
    around_tokens: int = 0
    """At most so many are put around each prompt, by a chat or a template, and counted."""


class Plan(msgspec.Struct, frozen=True):
    """The ways to answer, by priority. Who of them is asked first is decided when it is run, by how
    they are then (`routing/order.py`)."""

    request: CompletionRequest
    attempts: tuple[Attempt, ...]
    seed: int = 0
    """Of what is drawn for this request: equal seeds draw equally."""
    wrapping_tokens: int = 0
    """The most that any attempt puts around each prompt: a hold must cover it."""

    @property
    def candidates_max(self) -> int:
        """Generated candidates of one prompt, whichever attempt answers: what a hold must cover."""
        return max(each.call.n * each.call.candidates for each in self.attempts)


def plan(
    request: CompletionRequest,
    terms: Terms,
    routes: Routes,
    native: Mapping[str, Capabilities],
    *,
    seed: int,
    limits: FillLimits,
) -> Plan:
    """RequestError 404 for an unknown model; 400 when no upstream of the model can serve a field
    (the refusal of the one that would have been tried first)."""
    candidates = routes.candidates(request.model)
    if not candidates:
        raise unknown_model(request.model)
    attempts: list[Attempt] = []
    refusal: RequestError | None = None
    wrapping = 0
    for candidate in candidates:
        try:
            attempt = _attempt(request, terms, candidate, native, limits)
        except RequestError as error:
            refusal = refusal or error
            continue
        attempts.append(attempt)
        wrapping = max(wrapping, attempt.around_tokens)
    if not attempts:
        assert refusal is not None
        raise refusal
    if request.extra:
        attempts = _fewest_ignored(attempts)
    return Plan(request, tuple(attempts), seed, wrapping)


def _attempt(
    request: CompletionRequest,
    terms: Terms,
    candidate: Candidate,
    native: Mapping[str, Capabilities],
    limits: FillLimits,
) -> Attempt:
    able = native[candidate.upstream]
    if able.plain and request.plain and (not request.stop or len(request.stop) <= able.stop_max):
        call = _plain_call(request, terms, candidate.model)
        return Attempt(candidate.upstream, call, (), None, (), able.within_tokens)
    needed = fills(request, able, candidate.model)
    if needed and terms.strict:
        raise strictly_unfilled(needed, request.model)
    call = _call(request, terms, candidate.model)
    if able.within_tokens and request.suffix is not None:
        call = msgspec.structs.replace(call, candidates=limits.suffix_candidates)
    ignored: tuple[str, ...] = ()
    if request.extra:
        call, ignored = _with_extra(request.extra, call, able)
        if ignored and terms.strict:
            raise strictly_unknown(ignored)
    trusted = able.bounded and not able.vocabularies
    if not needed and trusted and request.best_of == request.n:
        return Attempt(candidate.upstream, call, (), None, ignored, able.within_tokens)
    call, work = worked(request, call, needed, able, limits)
    around = wrapped_tokens(able, work)
    done = None if work == NOTHING else work
    return Attempt(candidate.upstream, call, needed, done, ignored, around)


def _with_extra(
    extra: dict[str, object], call: Call, able: Capabilities
) -> tuple[Call, tuple[str, ...]]:
    """The call with the fields of one engine that this upstream takes; the names of the others."""
    taken = {name: value for name, value in extra.items() if name in able.fields}
    ignored = tuple(sorted(extra.keys() - taken.keys()))
    return msgspec.structs.replace(call, extra=taken or None), ignored


def _fewest_ignored(attempts: list[Attempt]) -> list[Attempt]:
    """Those that take most of the fields of one engine: nothing is ignored that another takes."""
    fewest = min(len(attempt.ignored) for attempt in attempts)
    return [attempt for attempt in attempts if len(attempt.ignored) == fewest]


def _plain_call(request: CompletionRequest, terms: Terms, model: str) -> Call:
    """What every upstream can do needs no comparison with what this one can."""
    return Call(
        model=model,
        prompts=request.prompts,
        max_tokens=request.max_tokens,
        temperature=request.temperature,
        top_p=request.top_p,
        stream=request.stream,
        stop=request.stop,
        deterministic=terms.deterministic,
        strict=terms.strict,
        parse_special=terms.parse_special,
        tenant=terms.tenant,
    )


def _call(request: CompletionRequest, terms: Terms, model: str) -> Call:
    return Call(
        model=model,
        prompts=request.prompts,
        max_tokens=request.max_tokens,
        n=request.n,
        suffix=request.suffix,
        temperature=request.temperature,
        top_p=request.top_p,
        presence_penalty=request.presence_penalty,
        frequency_penalty=request.frequency_penalty,
        logit_bias=request.logit_bias,
        stop=request.stop,
        logprobs=request.logprobs,
        echo=request.echo,
        seed=request.seed,
        user=request.user,
        stream=request.stream,
        deterministic=terms.deterministic,
        strict=terms.strict,
        parse_special=terms.parse_special,
        tenant=terms.tenant,
    )
