"""Dialect `sglang`: SGLang's OpenAI server. Flat errors, text_offset always -1, max_tokens above 0.

Its sampling defaults may come from the model's generation_config, so the neutral values are sent.
`suffix` works only where the server was started with a completion template: not counted on.
"""

from types import MappingProxyType

from baton.engine_fields import known
from baton.upstreams.base import Capabilities
from baton.upstreams.openai import OpenAIAdapter

FIELDS = known(
    (
        "top_k",
        "min_p",
        "repetition_penalty",
        "min_tokens",
        "ignore_eos",
        "skip_special_tokens",
        "stop_token_ids",
        "regex",
        "ebnf",
        "json_schema",
        "response_format",
        "priority",
    )
)


class SglangAdapter(OpenAIAdapter):
    name = "sglang"
    capabilities = Capabilities(
        prompt_arrays=True,
        token_prompts=True,
        n=True,
        echo=True,
        prompt_logprobs=True,
        logprobs=True,
        logprobs_max=20,
        stop_max=1024,
        seed=True,
        penalties=True,
        logit_bias=True,
        stream_usage=True,
        exact_usage=True,
        scored=True,
        fields=FIELDS,
        bounded=True,
        special_text=True,
    )
    explicit_sampling = True
    constants = MappingProxyType({"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0})
