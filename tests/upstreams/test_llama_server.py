"""What the llama-server dialect sends, and how it gets usage that can be trusted."""

import json
from typing import Any

from baton.semantics.events import Call
from baton.upstreams.llama_server import LlamaServerAdapter


def sent(call: Call) -> Any:
    return json.loads(LlamaServerAdapter().request(call).body)


def test_neutral_sampling_is_always_sent() -> None:
    """Its own defaults are temperature 0.8, top_k 40 and min_p 0.05."""
    assert sent(Call(model="m", prompts=["p"], max_tokens=16)) == {
        "model": "m",
        "prompt": "p",
        "max_tokens": 16,
        "top_k": 0,
        "min_p": 0.0,
        "typical_p": 1.0,
        "repeat_penalty": 1.0,
        "temperature": 1.0,
        "top_p": 1.0,
    }


def test_several_choices_are_streamed() -> None:
    """Whole answers count the first choice only: then its stream is asked for, and summed."""
    adapter = LlamaServerAdapter()
    one = Call(model="m", prompts=["p"], max_tokens=1)
    assert adapter.decoder(one).media_type == b"application/json"
    for call in (
        Call(model="m", prompts=["p", "q"], max_tokens=1),
        Call(model="m", prompts=["p"], max_tokens=1, n=2),
    ):
        assert sent(call)["stream"] is True
        assert "stream_options" not in sent(call)
        assert adapter.decoder(call).media_type == b"text/event-stream"


def test_logprobs_0_asks_for_1() -> None:
    """It answers null to 0; the alternative that is too many is dropped again."""
    assert sent(Call(model="m", prompts=["p"], max_tokens=1, logprobs=0))["logprobs"] == 1


def test_what_it_swallows_is_not_native() -> None:
    """echo, suffix and best_of are accepted by it and ignored; max_tokens 0 generates."""
    found = LlamaServerAdapter.capabilities
    swallowed = (found.echo, found.suffix, found.best_of, found.max_tokens_zero)
    assert swallowed == (False, False, False, False)
