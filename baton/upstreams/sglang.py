"""Dialect `sglang`: SGLang's OpenAI server. Flat errors, text_offset always -1, max_tokens above 0.

Its sampling defaults may come from the model's generation_config, so the neutral values are sent.
`suffix` works only where the server was started with a completion template: not counted on.
It takes top_p above 0 alone, a schema as a string alone and 32 stops (each is a 400 otherwise), and
scores an echoed prompt only for logprobs above 0.
Seeds count only on a server with `--enable-deterministic-inference`. Ids come with
`return_token_ids`; they are not asked for, as a chunk that is a text alone costs Baton least.
"""

import json
from types import MappingProxyType

from baton.engine_fields import known
from baton.semantics.events import Call
from baton.upstreams.base import Capabilities
from baton.upstreams.completions_wire import Manner
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

STOP_MAX = 32
"""`MAX_STOP_COUNT` of its sampling_params.py."""


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
        stop_max=STOP_MAX,
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
    top_p_least = 1e-6
    constants = MappingProxyType({"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0})
    manner = Manner(lettered=True)

    def fields(self, call: Call) -> dict[str, object]:
        found = super().fields(call)
        if call.echo and call.logprobs == 0:
            found["logprobs"] = 1
        if call.extra is not None and isinstance(schema := found.get("json_schema"), dict):
            found["json_schema"] = json.dumps(schema, ensure_ascii=False)
        return found
