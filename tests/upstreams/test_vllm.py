"""What the vLLM dialect sends besides OpenAI's fields, and what it claims."""

import json
from typing import Any

import pytest

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
    assert (found.stop_max, found.samples_max(0.0), found.samples_max(1.0)) == (4, 1, 128)


def test_ids_are_not_asked_for_with_an_echo() -> None:
    """Where they are, the text of the echo is left out."""
    call = Call(model="m", prompts=["p"], max_tokens=16, echo=True)
    assert "return_token_ids" not in sent(call)


def test_logprobs_name_tokens() -> None:
    """Also of a server that was started to tell ids in their place."""
    plain = Call(model="m", prompts=["p"], max_tokens=16)
    assert "return_tokens_as_token_ids" not in sent(plain)
    for asked in ({"logprobs": 0}, {"scored": True}):
        call = Call(model="m", prompts=["p"], max_tokens=16, **asked)
        assert sent(call)["return_tokens_as_token_ids"] is False


def test_what_it_takes_for_nothing_is_said_otherwise() -> None:
    """A top_p of 0 is refused, a seed of -1 is none."""
    call = Call(model="m", prompts=["p"], max_tokens=16, top_p=0.0, seed=-1)
    body = sent(call)
    assert 0 < body["top_p"] <= 1e-5
    assert body["seed"] >= 0
    assert sent(Call(model="m", prompts=["p"], max_tokens=16, seed=-2))["seed"] == -2


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"guided_json": {"type": "object"}}, {"json": {"type": "object"}}),
        ({"guided_regex": "a+"}, {"regex": "a+"}),
        ({"guided_choice": ["a", "b"]}, {"choice": ["a", "b"]}),
        ({"guided_grammar": "root ::= a"}, {"grammar": "root ::= a"}),
        ({"structured_outputs": {"json": {}}}, {"json": {}}),
        (
            {"guided_regex": "a+", "structured_outputs": {"disable_any_whitespace": True}},
            {"regex": "a+", "disable_any_whitespace": True},
        ),
    ],
)
def test_guided_fields_go_by_their_new_name(asked: Any, expected: Any) -> None:
    """The old ones are taken and ignored; what comes with them stays."""
    extra = {**asked, "top_k": 5}
    body = sent(Call(model="m", prompts=["p"], max_tokens=16, extra=extra))
    assert (body["structured_outputs"], body["top_k"]) == (expected, 5)
    assert not [name for name in body if name.startswith("guided_")]
