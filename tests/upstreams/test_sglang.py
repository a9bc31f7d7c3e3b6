"""What the SGLang dialect sends besides OpenAI's fields, and what it claims."""

import json
from typing import Any

from baton.semantics.events import Call
from baton.upstreams.sglang import SglangAdapter


def sent(call: Call) -> Any:
    return json.loads(SglangAdapter().request(call).body)


def test_neutral_sampling_is_always_sent() -> None:
    """The server's own defaults may come from the model's files."""
    assert sent(Call(model="m", prompts=[[1, 2]], max_tokens=16, temperature=0.5)) == {
        "model": "m",
        "prompt": [1, 2],
        "max_tokens": 16,
        "top_k": -1,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "temperature": 0.5,
        "top_p": 1.0,
    }


def test_native_and_not() -> None:
    """It refuses max_tokens 0, and tells no ids on this route."""
    found = SglangAdapter.capabilities
    assert (found.prompt_logprobs, found.max_tokens_zero, found.token_ids) == (True, False, False)
