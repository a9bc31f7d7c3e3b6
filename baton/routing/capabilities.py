"""What a request asks, minus what an upstream does natively: fills, or a refusal. Pure.

One place decides it for every field, so that nothing is accepted and ignored. A fill that is not
listed here does not exist: the field is then refused with a 400 that names it.
"""

from collections.abc import Iterator

from baton.errors import unsupported
from baton.protocol import CompletionRequest
from baton.routing.work import arrays_taken, ids_read, ids_taken, template_of
from baton.semantics.fim import TEMPLATES
from baton.upstreams.base import Capabilities

FILLS = ("continuation", "prompt", "n", "suffix", "stream", "max_tokens", "stop", "best_of", "echo")
"""What Baton can do in an upstream's place, in the order in which it is done (`baton/fills`)."""

Refusal = tuple[str, str]
"""A field and what would work."""


def fills(request: CompletionRequest, native: Capabilities, model: str = "") -> tuple[str, ...]:
    """The fields that Baton must fill in for this upstream, which calls the model `model`.

    RequestError when one can be had neither natively nor by a fill.
    """
    for field, remedy in _refusals(request, native, model):
        raise unsupported(field, request.model, remedy)
    lacking = dict(_lacking(request, native))
    if lacking["max_tokens"] and request.logprobs is None:
        lacking["echo"] = request.echo  # nothing is generated: the prompt alone is the answer
    return tuple(field for field in FILLS if lacking[field])


def _lacking(request: CompletionRequest, native: Capabilities) -> Iterator[tuple[str, bool]]:
    """Of each field whether it is asked for and not native."""
    n_max = native.samples_max(request.temperature)
    yield "continuation", native.wrapping_tokens > 0
    yield (
        "prompt",
        (len(request.prompts) > 1 and not arrays_taken(request, native))
        or not (ids_taken(request, native) or _all_text(request)),
    )
    yield "n", request.n > n_max
    yield "suffix", request.suffix is not None and not native.suffix
    yield "stream", request.stream and not native.streams
    yield "max_tokens", request.max_tokens == 0 and not _zero(request, native)
    yield "stop", request.stop is not None and len(request.stop) > native.stop_max
    yield (
        "best_of",
        request.best_of > request.n and not (native.best_of and request.best_of <= n_max),
    )
    yield "echo", request.echo and not native.echo


def _zero(request: CompletionRequest, native: Capabilities) -> bool:
    return native.max_tokens_zero and (request.echo or native.zero_without_echo)


def _all_text(request: CompletionRequest) -> bool:
    return all(isinstance(prompt, str) for prompt in request.prompts)


def _refusals(request: CompletionRequest, native: Capabilities, model: str) -> Iterator[Refusal]:
    yield from _prompt_refusals(request, native, model)
    yield from _sampling_refusals(request, native)
    yield from _logprobs_refusals(request, native)
    yield from _candidate_refusals(request, native)
    if request.suffix is not None and not native.suffix:
        yield from _suffix_refusals(request, native, model)


def _prompt_refusals(
    request: CompletionRequest, native: Capabilities, model: str
) -> Iterator[Refusal]:
    """Ids that somebody has to read as text, and nobody can."""
    if _all_text(request) or ids_read(native, model):
        return
    if not ids_taken(request, native):
        yield "prompt", "it takes text, not token ids."
    if request.echo and not native.echo:
        yield "echo", "it needs prompts as text."
    if request.max_tokens == 0 and request.echo and not _zero(request, native):
        yield "max_tokens", "with echo it needs prompts as text, or 1 or more."
    stops = request.stop or ()
    if request.echo and request.logprobs is None and len(stops) > native.stop_max:
        yield "stop", f"with echo of token ids it takes at most {native.stop_max} stop strings."


def _sampling_refusals(request: CompletionRequest, native: Capabilities) -> Iterator[Refusal]:
    if request.temperature > native.temperature_max:
        yield "temperature", f"it takes at most {native.temperature_max:g}."
    asked = (
        ("seed", request.seed is not None, native.seed),
        ("presence_penalty", request.presence_penalty != 0, native.penalties),
        ("frequency_penalty", request.frequency_penalty != 0, native.penalties),
        ("logit_bias", bool(request.logit_bias), native.logit_bias),
    )
    for field, wanted, had in asked:
        if wanted and not had:
            yield field, "leave it out."


def _logprobs_refusals(request: CompletionRequest, native: Capabilities) -> Iterator[Refusal]:
    if request.logprobs is None:
        return
    if not native.logprobs:
        yield "logprobs", "leave it out."
    elif request.logprobs > native.logprobs_max:
        yield "logprobs", f"it takes at most {native.logprobs_max}."
    elif request.echo and not (native.prompt_logprobs and native.echo):
        yield "echo", "it goes without logprobs only."


def _candidate_refusals(request: CompletionRequest, native: Capabilities) -> Iterator[Refusal]:
    """The best of candidates can be told where each is scored, also after Baton has cut it."""
    if request.best_of == request.n:
        return
    if not (native.best_of or native.scored):
        yield "best_of", "leave it out, or ask for n."
    elif len(request.stop or ()) > native.stop_max and not native.logprobs:
        yield "best_of", f"it goes with at most {native.stop_max} stop strings."


def _suffix_refusals(
    request: CompletionRequest, native: Capabilities, model: str
) -> Iterator[Refusal]:
    """A template needs text without its marks; ranking, scored prompts and text to compare."""
    name = template_of(native, model)
    if not _all_text(request) and not ids_read(native, model):
        yield "suffix", "it needs prompts as text."
    elif name:
        texts = [prompt for prompt in (*request.prompts, request.suffix) if isinstance(prompt, str)]
        if any(TEMPLATES[name].marked(text) for text in texts):
            yield "suffix", "prompt or suffix hold the model's own marks of fill-in-the-middle."
    elif not native.prompt_logprobs:
        yield "suffix", "it has no fill-in-the-middle tokens and no prompt logprobs."
    elif request.best_of > request.n:
        yield "best_of", "the suffix is filled by ranking candidates already."
    elif request.logprobs is not None:
        yield "logprobs", "leave it out where a suffix is filled by ranking candidates."
    elif request.max_tokens == 0:
        yield "max_tokens", "a suffix needs 1 or more."
