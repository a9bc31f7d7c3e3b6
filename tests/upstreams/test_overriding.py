"""Requests changed as an operator wants them, and capabilities taken away."""

import json
from typing import Any, get_args

import msgspec

from baton.semantics.events import Call
from baton.semantics.overrides import Forbidden, Overrides
from baton.upstreams.llama_server import LlamaServerAdapter
from baton.upstreams.openai import OpenAIAdapter
from baton.upstreams.openai_chat import OpenAIChatAdapter
from baton.upstreams.overriding import LACKS, OverridingAdapter, lacking

CALL = Call(model="m", prompts=["p"], max_tokens=1, user="u")


def sent(**overrides: Any) -> Any:
    return json.loads(OverridingAdapter(OpenAIAdapter(), Overrides(**overrides)).request(CALL).body)


def test_fields() -> None:
    """Forced, given, taken away; without either the body is the adapter's own."""
    plain = {"model": "m", "prompt": "p", "max_tokens": 1, "user": "u"}
    assert sent(force={"top_k": 3}, remove=("user",), default={"max_tokens": 9}) == {
        "model": "m",
        "prompt": "p",
        "max_tokens": 1,
        "top_k": 3,
    }
    assert sent(forbid=("seed",)) == plain


def test_every_word_takes_something_away() -> None:
    """Each forbidden field is one that the planner then fills in or refuses."""
    assert set(LACKS) == set(get_args(Forbidden))
    own = OpenAIAdapter.capabilities
    for name in LACKS:
        assert lacking(own, Overrides(forbid=(name,))) != own, name


def test_a_server_that_takes_no_stream_options() -> None:
    """Mistral's chat refuses them with a 422: nothing else of a stream's request changes."""
    call = msgspec.structs.replace(CALL, stream=True)
    own = json.loads(OpenAIChatAdapter().request(call).body)
    assert own.pop("stream_options") == {"include_usage": True}
    unasked = OverridingAdapter(OpenAIChatAdapter(), Overrides(forbid=("stream_options",)))
    assert json.loads(unasked.request(call).body) == own
    assert unasked.request(CALL) == OpenAIChatAdapter().request(CALL)


def test_the_rest_is_the_adapters() -> None:
    """Its name, its decoders, its errors."""
    adapter = OverridingAdapter(OpenAIAdapter(), Overrides(forbid=("n",)))
    assert adapter.name == "openai"
    assert adapter.decoder(CALL).media_type == b"application/json"
    assert str(adapter.error(503, b"", None)) == str(OpenAIAdapter().error(503, b"", None))
    assert not adapter.capabilities.n


def test_ids_are_told_as_the_adapter_has_it() -> None:
    """Its route and its answer, unchanged."""
    adapter = OverridingAdapter(LlamaServerAdapter(), Overrides(force={"top_k": 3}))
    assert LlamaServerAdapter().detokenization("m", [1]) == adapter.detokenization("m", [1])
    assert "a" == adapter.detokenized(b'{"content":"a"}')
