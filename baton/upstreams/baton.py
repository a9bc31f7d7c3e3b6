"""Dialect `baton`: another Baton. What it lacks it fills itself, so everything is native here.

A caller's wishes for determinism and strictness travel on as headers. Its own upstreams may still
refuse a field: that is a 400 in a Baton's own words, and is passed on as one. Its wire has no token
ids. It bills what its fills used, and its usage tells: a hold covers candidates for a suffix, as
many as this Baton would make itself, and what a chat behind it may put around a prompt.
"""

import msgspec

from baton.engine_fields import TYPES
from baton.semantics.events import Call
from baton.upstreams.base import Capabilities, HttpRequest
from baton.upstreams.completions_wire import Manner
from baton.upstreams.continuation import WRAPPING_TOKENS_MAX
from baton.upstreams.openai import OpenAIAdapter


class BatonAdapter(OpenAIAdapter):
    """Another Baton, with what stands behind it."""

    name = "baton"
    manner = Manner(exact=True)
    capabilities = Capabilities(
        prompt_arrays=True,
        token_prompts=True,
        n=True,
        best_of=True,
        echo=True,
        prompt_logprobs=True,
        logprobs=True,
        logprobs_max=20,
        suffix=True,
        stop_max=16,
        seed=True,
        penalties=True,
        logit_bias=True,
        max_tokens_zero=True,
        zero_without_echo=True,
        bounded=True,
        fields=frozenset(TYPES),
        stream_usage=True,
        exact_usage=True,
        deterministic=True,
        scored=True,
        within_tokens=WRAPPING_TOKENS_MAX,
    )

    def request(self, call: Call) -> HttpRequest:
        request = super().request(call)
        if not (call.deterministic or call.strict):
            return request
        wishes = (("X-Baton-Deterministic", call.deterministic), ("X-Baton-Strict", call.strict))
        headers = tuple((name, "true") for name, wished in wishes if wished)
        return msgspec.structs.replace(request, headers=headers)
