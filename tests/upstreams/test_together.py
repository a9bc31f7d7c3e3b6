"""What the together dialect sends."""

import json

from baton.semantics.events import Call
from baton.upstreams.together import TogetherAdapter


def test_sampling_is_explicit() -> None:
    """Its models' own defaults are unset; usage comes unasked."""
    call = Call(model="m", prompts=["p"], max_tokens=1, stream=True)
    assert json.loads(TogetherAdapter().request(call).body) == {
        "model": "m",
        "prompt": "p",
        "max_tokens": 1,
        "temperature": 1.0,
        "top_p": 1.0,
        "top_k": 0,
        "repetition_penalty": 1.0,
        "stream": True,
    }


def test_what_differs_from_openai_is_not_native() -> None:
    """It echoes beside the text, and tells no alternatives."""
    found = TogetherAdapter.capabilities
    assert (found.echo, found.logprobs, found.suffix) == (False, False, False)
