"""What the fireworks dialect sends."""

import json

from baton.semantics.events import Call
from baton.upstreams.fireworks import FireworksAdapter


def test_too_long_is_refused_not_cut() -> None:
    """Its default would cut max_tokens down in silence."""
    call = Call(model="m", prompts=["p"], max_tokens=1)
    assert json.loads(FireworksAdapter().request(call).body) == {
        "model": "m",
        "prompt": "p",
        "max_tokens": 1,
        "temperature": 1.0,
        "top_p": 1.0,
        "top_k": 0,
        "repetition_penalty": 1.0,
        "context_length_exceeded_behavior": "error",
    }
