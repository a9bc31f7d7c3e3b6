"""Dialect `vllm`: vLLM's OpenAI server, which tells generated token ids and scores prompts.

Its sampling defaults come from the model's generation_config, so the neutral values are always
sent.
best_of is gone from it; `suffix` works only with a few renderers, so it is not counted on.
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
        "spaces_between_special_tokens",
        "add_special_tokens",
        "stop_token_ids",
        "bad_words",
        "allowed_token_ids",
        "priority",
        "guided_json",
        "guided_regex",
        "guided_choice",
        "guided_grammar",
        "structured_outputs",
        "response_format",
    )
)


class VllmAdapter(OpenAIAdapter):
    name = "vllm"
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
        max_tokens_zero=True,
        stream_usage=True,
        exact_usage=True,
        token_ids=True,
        scored=True,
        fields=FIELDS,
        bounded=True,
        special_text=True,
    )
    explicit_sampling = True
    constants = MappingProxyType(
        {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "return_token_ids": True}
    )
