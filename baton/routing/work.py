"""What Baton does itself in one attempt: how the fills are to be made. Pure.

`capabilities.py` says which fields need a fill; here it becomes the call that is sent and the
`Work` around it. A plain request on an upstream that is trusted with it has no work at all.
"""

import sys
from collections.abc import Sequence

import msgspec

from baton.errors import unsupported
from baton.protocol import CompletionRequest, FillLimits
from baton.semantics.events import Call
from baton.semantics.fim import TEMPLATES, family
from baton.semantics.stop import hints
from baton.upstreams.base import Capabilities

ANY = sys.maxsize


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What is done around an attempt's call. The default is nothing."""

    prompts_max: int = ANY
    """Prompts of one call; more go in several."""
    samples_max: int = ANY
    """Samples of one prompt in a call."""
    parallel_max: int = 1
    detokenize: bool = False
    """The text of ids is read before anything else, and takes their place."""
    ids_kept: bool = False
    """The text is shown and the ids are sent: it may be divided into other tokens."""
    template: str = ""
    """Name of the fill-in-the-middle template that takes prompt and suffix."""
    ranked: bool = False
    """A suffix by ranking candidates."""
    alone: bool = False
    """The answer needs no call: nothing is to be generated or scored."""
    stops: tuple[str, ...] = ()
    """What Baton cuts at itself."""
    tokens_max: int | None = None
    """Tokens of a choice after which Baton cuts; None: the upstream is trusted with it."""
    best: bool = False
    echo: bool = False
    counted: bool = False
    """Counts and max_tokens by the vocabulary that the operator gave of this model."""
    unscored: bool = False
    """Logprobs are asked for the work's own sake, and not shown."""

    @property
    def divided(self) -> bool:
        return self.prompts_max is not ANY or self.samples_max is not ANY


NOTHING = Work()


def worked(
    request: CompletionRequest,
    call: Call,
    needed: Sequence[str],
    native: Capabilities,
    limits: FillLimits,
) -> tuple[Call, Work]:
    """The call that is sent and what Baton does around it. `call` says what the request says.

    RequestError where it would take too many calls.
    """
    best = request.best_of > request.n
    ranked, template = False, ""
    if "suffix" in needed:
        template = template_of(native, call.model)
        ranked = not template
    samples = request.n * limits.suffix_candidates if ranked else request.best_of
    alone = "max_tokens" in needed and not _scores_prompts(request)
    stops = [*(request.stop or ()), *(TEMPLATES[template].marks if template else ())]
    cuts = len(stops) > native.stop_max
    detokenize = _detokenizes(request, needed, native)
    work = Work(
        prompts_max=ANY if arrays_taken(request, native) or not (ranked or call.prompts[1:]) else 1,
        samples_max=_samples_max(samples, native.samples_max(request.temperature)),
        detokenize=detokenize,
        ids_kept=detokenize and ids_taken(request, native) and "suffix" not in needed,
        template=template,
        ranked=ranked,
        alone=alone,
        stops=tuple(stops) if cuts else (),
        tokens_max=_tokens_max(request, needed, native),
        best=best,
        echo="echo" in needed,
        counted=native.has_vocabulary(call.model),
        unscored=best and cuts and request.logprobs is None,
    )
    if work.divided:
        work = msgspec.structs.replace(work, parallel_max=limits.parallel_max)
    _check_calls(request, samples, work, limits)
    call = msgspec.structs.replace(
        call,
        n=samples,
        stop=(hints(stops, native.stop_max) if cuts else stops) or None,
        echo=call.echo and not work.echo,
        scored=best,
        stream=native.streams and (cuts or (call.stream and not best and not ranked)),
        max_tokens=call.max_tokens if "max_tokens" not in needed or alone else 1,
        logprobs=0 if work.unscored else call.logprobs,
    )
    return call, work


def wrapped_tokens(native: Capabilities, work: Work) -> int:
    """Upper bound of the tokens that are put around each prompt: none has less than a byte."""
    if not work.template:
        return native.around_tokens
    return native.around_tokens + len(TEMPLATES[work.template].prompt("", "").encode())


def ids_read(native: Capabilities, model: str) -> bool:
    """Whether somebody tells the text of this model's token ids."""
    return native.detokenizes or native.has_vocabulary(model)


def arrays_taken(request: CompletionRequest, native: Capabilities) -> bool:
    """Whether several prompts may go in one call."""
    return native.prompt_arrays and not _apart(request, native)


def ids_taken(request: CompletionRequest, native: Capabilities) -> bool:
    """Whether prompts may go as token ids."""
    return native.token_prompts and not _apart(request, native)


def _apart(request: CompletionRequest, native: Capabilities) -> bool:
    return request.suffix is not None and native.suffix and native.suffix_apart


def template_of(native: Capabilities, model: str) -> str:
    """The name of the template that a suffix on this model takes; "" where none is known.

    The operator's word counts before the model's name, and that only where text that names a
    special token becomes it: elsewhere the marks would be read as letters.
    """
    told = native.fim.get(model) or native.fim.get("*")
    if told:
        return told
    return family(model) if native.special_text else ""


def _scores_prompts(request: CompletionRequest) -> bool:
    return request.echo and request.logprobs is not None


def _detokenizes(request: CompletionRequest, needed: Sequence[str], native: Capabilities) -> bool:
    """Whether ids are of no use: they are not taken, or their text is to be shown or wrapped."""
    if all(isinstance(prompt, str) for prompt in request.prompts):
        return False
    return not ids_taken(request, native) or "echo" in needed or "suffix" in needed


def _tokens_max(
    request: CompletionRequest, needed: Sequence[str], native: Capabilities
) -> int | None:
    if "max_tokens" in needed:
        return 0
    ids = not all(isinstance(prompt, str) for prompt in request.prompts)
    if native.bounded or (request.echo and ids and request.logprobs is None):
        return None  # in the second case nothing tells where the echo ends
    return request.max_tokens


def _samples_max(samples: int, most: int) -> int:
    return ANY if samples <= most else most


def _check_calls(request: CompletionRequest, samples: int, work: Work, limits: FillLimits) -> None:
    prompts = -(-len(request.prompts) // work.prompts_max)
    calls = prompts * -(-samples // work.samples_max)
    if calls > limits.calls_max:
        field = "prompt" if prompts > 1 else "n"
        remedy = f"it would take {calls} calls, at most {limits.calls_max} are made; send less."
        raise unsupported(field, request.model, remedy)
