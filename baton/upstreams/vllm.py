"""Dialect `vllm`: vLLM's OpenAI server, which tells generated token ids and scores prompts.

Its sampling defaults come from the model's generation_config, so the neutral values are always
sent. What it takes without a word and without effect is said in other words (decision 51): with
token ids it leaves the echo's text out, `guided_*` became `structured_outputs`, best_of is gone, a
seed of -1 is none. `suffix` works only with a few renderers, so it is not counted on.
"""

from types import MappingProxyType

from baton.engine_fields import known
from baton.semantics.events import Call
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

STRUCTURED = "structured_outputs"
GUIDED = MappingProxyType(
    {
        "guided_json": "json",
        "guided_regex": "regex",
        "guided_choice": "choice",
        "guided_grammar": "grammar",
    }
)
"""Parts of `structured_outputs` by the names that they had before it."""
NO_SEED, OTHER_SEED = -1, 2**32 - 1
"""The seed that it takes for none, and what is sent in its place."""


class VllmAdapter(OpenAIAdapter):
    name = "vllm"
    capabilities = Capabilities(
        prompt_arrays=True,
        token_prompts=True,
        n=True,
        n_greedy=False,
        echo=True,
        prompt_logprobs=True,
        logprobs=True,
        logprobs_max=20,
        stop_max=4,
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
    top_p_least = 1e-6
    constants = MappingProxyType(
        {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "return_token_ids": True}
    )

    def _add_options(self, call: Call, found: dict[str, object]) -> None:
        super()._add_options(call, found)
        if call.echo:
            del found["return_token_ids"]
        if "logprobs" in found:  # names, also of a server that was started to tell ids in them
            found["return_tokens_as_token_ids"] = False
        if call.seed == NO_SEED:
            found["seed"] = OTHER_SEED

    def _engine_fields(self, extra: dict[str, object]) -> dict[str, object]:
        guided = {GUIDED[name]: value for name, value in extra.items() if name in GUIDED}
        if not guided:
            return extra
        kept = {name: value for name, value in extra.items() if name not in GUIDED}
        told = kept.get(STRUCTURED)
        return kept | {STRUCTURED: guided | told if isinstance(told, dict) else guided}
