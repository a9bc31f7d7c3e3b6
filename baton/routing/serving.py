"""Whether an upstream can do a call as it is: what decides who may take a call over. Pure."""

from baton.semantics.events import Call
from baton.upstreams.base import Capabilities


def serves(call: Call, native: Capabilities) -> bool:
    """Whether an upstream can do this call as it is, without any fill."""
    return all(
        (
            len(call.prompts) == 1 or native.prompt_arrays,
            native.token_prompts or all(isinstance(prompt, str) for prompt in call.prompts),
            call.n <= native.samples_max(call.temperature),
            call.max_tokens > 0 or native.max_tokens_zero,
            len(call.stop or ()) <= native.stop_max,
            _scores(call, native),
            native.suffix or call.suffix is None,
            native.seed or call.seed is None,
            native.logit_bias or not call.logit_bias,
            native.penalties or call.presence_penalty == 0 == call.frequency_penalty,
        )
    )


def _scores(call: Call, native: Capabilities) -> bool:
    """Whether it echoes and tells logprobs as the call wants them."""
    if (call.echo and not native.echo) or (call.scored and not native.scored):
        return False
    if call.logprobs is None:
        return True
    told = native.logprobs and call.logprobs <= native.logprobs_max
    return told and (native.prompt_logprobs or not call.echo)
