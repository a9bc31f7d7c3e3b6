"""Dialect `together`: Together's completions.

From the vendor's documentation only: one prompt as a string, no suffix and no best_of. Its sampling
defaults come from the model, so the neutral values are always sent. It echoes into a field of its
own, and its logprobs have no alternatives: neither is counted as native.
"""

from types import MappingProxyType

from baton.upstreams.base import Capabilities
from baton.upstreams.openai import OpenAIAdapter


class TogetherAdapter(OpenAIAdapter):
    """Together's hosted open models."""

    name = "together"
    capabilities = Capabilities(
        n=True,
        stop_max=4,
        seed=True,
        penalties=True,
        logit_bias=True,
        stream_usage=True,
        exact_usage=True,
    )
    explicit_sampling = True
    constants = MappingProxyType({"top_k": 0, "repetition_penalty": 1.0})
    asks_usage_in_streams = False
    """It tells its usage on the last chunk of every stream."""
