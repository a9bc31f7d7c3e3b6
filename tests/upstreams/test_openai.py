"""What the OpenAI dialect sends: an allow-list, nothing at its default but max_tokens."""

import json
from typing import Any

import pytest

from baton.semantics.events import Call
from baton.upstreams.openai import OpenAIAdapter

FULL = Call(
    model="m",
    prompts=["p", "q"],
    max_tokens=0,
    n=2,
    suffix="s",
    temperature=0.0,
    top_p=0.5,
    presence_penalty=-1.0,
    frequency_penalty=0.25,
    logit_bias={50256: -100.0, 7: 0.5},
    stop=["", "a", "\n"],
    logprobs=0,
    echo=True,
    seed=0,
    user="u",
    stream=True,
    deterministic=True,
    tenant="key-1",
    parse_special=False,
)


def sent(call: Call) -> Any:
    return json.loads(OpenAIAdapter().request(call).body)


def test_defaults_are_not_sent_but_max_tokens() -> None:
    """A plain call is model, prompt and max_tokens."""
    assert sent(Call(model="m", prompts=["p"], max_tokens=16)) == {
        "model": "m",
        "prompt": "p",
        "max_tokens": 16,
    }


def test_everything_that_is_set_is_sent() -> None:
    """All fields in OpenAI's types; what is ours (tenant, mode) never; empty stops never."""
    assert sent(FULL) == {
        "model": "m",
        "prompt": ["p", "q"],
        "max_tokens": 0,
        "n": 2,
        "suffix": "s",
        "temperature": 0.0,
        "top_p": 0.5,
        "presence_penalty": -1.0,
        "frequency_penalty": 0.25,
        "logit_bias": {"50256": -100, "7": 0.5},
        "stop": ["a", "\n"],
        "logprobs": 0,
        "echo": True,
        "seed": 0,
        "user": "u",
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize(
    ("prompts", "expected"),
    [(["a"], "a"), ([[1, 2]], [1, 2]), ([[1], [2]], [[1], [2]]), (["", "b"], ["", "b"])],
)
def test_prompts(prompts: list[Any], expected: Any) -> None:
    """One prompt by itself, several as a list, ids as they are."""
    assert sent(Call(model="m", prompts=prompts, max_tokens=1))["prompt"] == expected


@pytest.mark.parametrize("stop", [[], [""], None])
def test_an_empty_stop_is_never_sent(stop: list[str] | None) -> None:
    """Some servers stop at once at an empty string."""
    assert "stop" not in sent(Call(model="m", prompts=["p"], max_tokens=1, stop=stop))


@pytest.mark.parametrize(("logprobs", "expected"), [(None, 1), (0, 1), (3, 3)])
def test_a_scored_call_asks_for_logprobs(logprobs: int | None, expected: int) -> None:
    """The score is their sum."""
    call = Call(model="m", prompts=["p"], max_tokens=1, scored=True, logprobs=logprobs)
    assert sent(call)["logprobs"] == expected


def test_unicode_is_sent_as_utf8() -> None:
    """Text survives to the letter, line separators included."""
    prompt = '日本\u2028 \0 🚀 " \\'
    body = OpenAIAdapter().request(Call(model="m", prompts=[prompt], max_tokens=1)).body
    assert json.loads(body)["prompt"] == prompt
    assert b"\n" not in body
