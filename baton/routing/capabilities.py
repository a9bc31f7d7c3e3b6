"""What a request asks, minus what an upstream does natively: fills, or a refusal. Pure.

One place decides it for every field, so that nothing is accepted and ignored. A fill that is not
listed here does not exist: the field is then refused with a 400 that names it.
"""

from baton.errors import RequestError, unsupported
from baton.protocol import CompletionRequest
from baton.upstreams.base import Capabilities

FILLS = ("echo", "best_of", "suffix")
"""What Baton can do in an upstream's place, in the order in which it is applied to an answer."""


def fills(request: CompletionRequest, native: Capabilities) -> tuple[str, ...]:
    """The fields that Baton must fill in for this upstream.

    RequestError when one can be had neither natively nor by a fill.
    """
    if request.plain and (request.stop is None or len(request.stop) <= native.stop_max):
        return ()
    refusal = _refused(request, native)
    if refusal is not None:
        raise refusal
    needed = []
    if request.echo and not native.echo:
        needed.append("echo")
    if request.best_of > request.n and not native.best_of:
        needed.append("best_of")
    if request.suffix is not None and not native.suffix:
        needed.append("suffix")
    return tuple(needed)


def _refused(request: CompletionRequest, native: Capabilities) -> RequestError | None:
    """The first field that this upstream cannot have, with what would work."""
    for field, remedy in (
        *_prompt_refusals(request, native),
        *_sampling_refusals(request, native),
        *_fill_refusals(request, native),
    ):
        return unsupported(field, request.model, remedy)
    return None


def _prompt_refusals(request: CompletionRequest, native: Capabilities) -> list[tuple[str, str]]:
    found = []
    if len(request.prompts) > 1 and not native.prompt_arrays:
        found.append(("prompt", "it takes one prompt a request."))
    if not native.token_prompts and not all(isinstance(p, str) for p in request.prompts):
        found.append(("prompt", "it takes text, not token ids."))
    if request.max_tokens == 0 and not native.max_tokens_zero:
        found.append(("max_tokens", "it takes 1 or more."))
    return found


def _sampling_refusals(request: CompletionRequest, native: Capabilities) -> list[tuple[str, str]]:
    found = []
    if max(request.n, request.best_of) > (native.n_max if native.n else 1):
        field = "n" if request.n > 1 else "best_of"
        limit = native.n_max if native.n else 1
        found.append((field, f"it takes at most {limit}."))
    if request.stop is not None and len(request.stop) > native.stop_max:
        found.append(("stop", f"it takes at most {native.stop_max} stop strings."))
    if request.seed is not None and not native.seed:
        found.append(("seed", "leave it out."))
    if request.presence_penalty and not native.penalties:
        found.append(("presence_penalty", "leave it out."))
    if request.frequency_penalty and not native.penalties:
        found.append(("frequency_penalty", "leave it out."))
    if request.logit_bias and not native.logit_bias:
        found.append(("logit_bias", "leave it out."))
    return found


def _fill_refusals(request: CompletionRequest, native: Capabilities) -> list[tuple[str, str]]:
    found = []
    if request.logprobs is not None:
        if not native.logprobs:
            found.append(("logprobs", "leave it out."))
        elif request.logprobs > native.logprobs_max:
            found.append(("logprobs", f"it takes at most {native.logprobs_max}."))
        elif request.echo and not native.prompt_logprobs:
            found.append(("echo", "it goes without logprobs only."))
    if request.echo and not native.echo and not all(isinstance(p, str) for p in request.prompts):
        found.append(("echo", "it needs prompts as text."))
    if request.best_of > request.n and not (native.best_of or native.scored):
        found.append(("best_of", "leave it out, or ask for n."))
    if request.suffix is not None and not native.suffix:
        found += _suffix_refusals(request, native)
    return found


def _suffix_refusals(request: CompletionRequest, native: Capabilities) -> list[tuple[str, str]]:
    """The likelihood-ranked fill needs scored prompts and samples, and text to compare."""
    if not (native.prompt_logprobs and native.n):
        return [("suffix", "it has no fill-in-the-middle tokens and no prompt logprobs.")]
    if not all(isinstance(prompt, str) for prompt in request.prompts):
        return [("suffix", "it needs prompts as text.")]
    if request.best_of > request.n:
        return [("best_of", "the suffix is filled by ranking candidates already.")]
    if request.logprobs is not None:
        return [("logprobs", "leave it out where a suffix is filled by ranking candidates.")]
    if request.max_tokens == 0:
        return [("max_tokens", "a suffix needs 1 or more.")]
    return []
