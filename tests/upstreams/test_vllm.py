"""What the vLLM dialect sends besides OpenAI's fields, and what it claims."""

import json
from typing import Any

from baton.semantics.events import Call
from baton.upstreams.vllm import VllmAdapter


def sent(call: Call) -> Any:
    return json.loads(VllmAdapter().request(call).body)


def test_neutral_sampling_is_always_sent() -> None:
    """The server's own defaults come from the model's files; ids are always asked for."""
    assert sent(Call(model="m", prompts=["p"], max_tokens=16)) == {
        "model": "m",
        "prompt": "p",
        "max_tokens": 16,
        "top_k": -1,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "return_token_ids": True,
        "temperature": 1.0,
        "top_p": 1.0,
    }


def test_native_and_not() -> None:
    """Prompt logprobs and ids are there; suffix and best_of are not counted on."""
    found = VllmAdapter.capabilities
    assert (found.prompt_logprobs, found.token_ids, found.exact_usage) == (True, True, True)
    assert (found.suffix, found.best_of) == (False, False)
