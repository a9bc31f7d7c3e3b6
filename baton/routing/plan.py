"""A request becomes a plan: which upstreams to try, what to ask each, what Baton fills in. Pure."""

from collections.abc import Mapping

import msgspec

from baton.errors import RequestError, strictly_unfilled, unknown_model
from baton.protocol import CompletionRequest
from baton.routing.capabilities import fills
from baton.routing.routes import Candidate, Routes
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
    fills: tuple[str, ...]


class Plan(msgspec.Struct, frozen=True):
    """The ways to answer, by priority. Who of them is asked first is decided when it is run, by how
    they are then (`routing/order.py`)."""

    request: CompletionRequest
    attempts: tuple[Attempt, ...]
    seed: int = 0
    """Of what is drawn for this request: equal seeds draw equally."""

    @property
    def candidates_max(self) -> int:
        """Generated candidates of one prompt, whichever attempt answers: what a hold must cover."""
        return max(attempt.call.n for attempt in self.attempts)


def plan(
    request: CompletionRequest,
    terms: Terms,
    routes: Routes,
    native: Mapping[str, Capabilities],
    *,
    seed: int,
    suffix_candidates: int,
) -> Plan:
    """RequestError 404 for an unknown model; 400 when no upstream of the model can serve a field
    (the refusal of the one that would have been tried first)."""
    candidates = routes.candidates(request.model)
    if not candidates:
        raise unknown_model(request.model)
    attempts = []
    refusal: RequestError | None = None
    for candidate in candidates:
        try:
            attempts.append(_attempt(request, terms, candidate, native, suffix_candidates))
        except RequestError as error:
            refusal = refusal or error
    if not attempts:
        assert refusal is not None
        raise refusal
    return Plan(request, tuple(attempts), seed)


def _attempt(
    request: CompletionRequest,
    terms: Terms,
    candidate: Candidate,
    native: Mapping[str, Capabilities],
    suffix_candidates: int,
) -> Attempt:
    capable = native[candidate.upstream]
    if request.plain and (request.stop is None or len(request.stop) <= capable.stop_max):
        return Attempt(candidate.upstream, _plain_call(request, terms, candidate.model), ())
    needed = fills(request, capable)
    if needed and terms.strict:
        raise strictly_unfilled(needed, request.model)
    call = _call(request, terms, candidate.model)
    if "echo" in needed:
        call = msgspec.structs.replace(call, echo=False)
    if request.best_of > request.n:
        call = msgspec.structs.replace(call, n=request.best_of, scored=True, stream=False)
    if "suffix" in needed:
        samples = request.n * suffix_candidates
        call = msgspec.structs.replace(call, n=samples, stream=False)
    return Attempt(candidate.upstream, call, needed)


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
        parse_special=terms.parse_special,
        tenant=terms.tenant,
    )
