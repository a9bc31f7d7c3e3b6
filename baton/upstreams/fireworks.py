"""Dialect `fireworks`: Fireworks' completions.

From the vendor's documentation only. Left to its default it cuts max_tokens down where prompt and
answer do not fit the context, without a word: it is told to refuse instead. Its sampling defaults
come from the model, so the neutral values are sent.
"""

from types import MappingProxyType

from baton.upstreams.base import Capabilities
from baton.upstreams.openai import OpenAIAdapter


class FireworksAdapter(OpenAIAdapter):
    """Fireworks' hosted open models."""

    name = "fireworks"
    capabilities = Capabilities(
        prompt_arrays=True,
        token_prompts=True,
        n=True,
        echo=True,
        logprobs=True,
        logprobs_max=5,
        stop_max=4,
        seed=True,
        penalties=True,
        logit_bias=True,
        stream_usage=True,
        exact_usage=True,
        scored=True,
    )
    explicit_sampling = True
    constants = MappingProxyType(
        {"top_k": 0, "repetition_penalty": 1.0, "context_length_exceeded_behavior": "error"}
    )
    asks_usage_in_streams = False
    """It tells its usage on the last chunk of every stream."""
