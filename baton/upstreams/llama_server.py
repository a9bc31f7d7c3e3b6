"""Dialect `llama-server`: llama.cpp's own server on its /v1/completions.

It swallows echo, suffix and best_of without a word, so none is ever sent; it unsets temperature 1
and top_k 0 with defaults of its own, so the neutral values always are. Its whole answers count the
tokens of the first choice only; in its streams each index tells its own usage, so a call with
several choices is streamed from it and summed, whatever the caller asked for. Logprobs come in the
chat shape and, for 0, not at all. n is limited by the number of its slots, which it does not tell.
"""

from types import MappingProxyType

from baton.semantics.events import Call
from baton.upstreams.base import Capabilities
from baton.upstreams.openai import OpenAIAdapter


class LlamaServerAdapter(OpenAIAdapter):
    name = "llama-server"
    capabilities = Capabilities(
        prompt_arrays=True,
        token_prompts=True,
        logprobs=True,
        logprobs_max=20,
        stop_max=1024,
        seed=True,
        penalties=True,
        logit_bias=True,
        stream_usage=True,
        exact_usage=True,
        scored=True,
    )
    explicit_sampling = True
    constants = MappingProxyType(
        {"top_k": 0, "min_p": 0.0, "typical_p": 1.0, "repeat_penalty": 1.0}
    )
    asks_usage_in_streams = False
    usage_per_choice = True

    def fields(self, call: Call) -> dict[str, object]:
        found = super().fields(call)
        if found.get("logprobs") == 0:
            found["logprobs"] = 1
        return found

    def _must_stream(self, call: Call) -> bool:
        return len(call.prompts) * call.n > 1
