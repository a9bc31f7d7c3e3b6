"""Mistral's shape: what editors send becomes the same completion, and its answer theirs."""

import json
from typing import Any

import pytest

from baton.doors.door import Facts
from baton.doors.fim import FimDoor
from baton.errors import RequestError
from baton.protocol import Choice
from baton.semantics.events import Delta, Usage
from baton.semantics.usage import to_wire

CONTINUE = {
    "model": "codestral",
    "prompt": "def f(",
    "suffix": "return 1",
    "max_tokens": 256,
    "temperature": 0.01,
    "stop": ["[PREFIX]", "[SUFFIX]", "/src/", "#- coding: utf-8"],
    "stream": True,
}
"""What Continue posts for a model with Mistral's route (its undefined fields are absent)."""
FACTS = Facts("cmpl-1", 7, "m", lambda: (0.0, 0.0))
USAGE = to_wire(Usage(3, 2))


def opened(**fields: Any) -> FimDoor:
    return FimDoor(json.dumps(fields).encode())


def test_continues_request() -> None:
    """Field by field; a stream always tells its usage."""
    door = opened(**CONTINUE)
    assert json.loads(door.body) == {**CONTINUE, "stream_options": {"include_usage": True}}
    assert door.ignored == ()


def test_what_is_left_out() -> None:
    """No model is the key's default one; no limit is a limit; null is absent; seed has a name."""
    door = opened(prompt="a", max_tokens=None, random_seed=4, suffix=None)
    assert json.loads(door.body) == {
        "model": "",
        "prompt": "a",
        "suffix": None,
        "max_tokens": 256,
        "seed": 4,
        "stream": False,
    }


def test_fields_of_completions_are_not_let_in() -> None:
    """What this shape does not have is told as ignored, also where OpenAI's would have it."""
    assert opened(prompt="a", n=3, echo=True, min_tokens=1, **{"a,b": 1}).ignored == (
        "a?b",
        "echo",
        "min_tokens",
        "n",
    )


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"[]", None),
        (b"{", None),
        (b'{"suffix":"a"}', "prompt"),
        (b'{"prompt":["a"]}', "prompt"),
        (b'{"prompt":"a","stream":"yes"}', "stream"),
    ],
)
def test_refusals_name_the_field(body: bytes, param: str | None) -> None:
    """400 each."""
    with pytest.raises(RequestError) as caught:
        FimDoor(body)
    assert (caught.value.status, caught.value.param) == (400, param)


def test_errors_of_completions_get_this_shapes_names() -> None:
    """`seed` is `random_seed` here; what both have stays."""
    door = opened(prompt="a")
    names = [door.theirs(name) for name in ("seed", "max_tokens", "prompt", None)]
    assert names == ["random_seed", "max_tokens", "prompt", None]


def test_a_whole_answer() -> None:
    """In the chat shape."""
    found = json.loads(opened(prompt="a").whole(FACTS, [Choice("xy", 0, None, "stop")], USAGE))
    assert {**found, "usage": 0} == {
        "id": "cmpl-1",
        "object": "chat.completion",
        "created": 7,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"content": "xy", "role": "assistant"},
                "finish_reason": "stop",
            }
        ],
        "usage": 0,
    }
    assert found["usage"]["total_tokens"] == 5


def test_a_stream() -> None:
    """Every chunk has a choice; the last one reason and usage."""
    encoder = opened(prompt="a").encoder(FACTS)
    events = [encoder.delta(Delta(0, "x")), encoder.delta(Delta(0, "", "length"))]
    events.append(encoder.usage(USAGE))
    chunks = [json.loads(event.removeprefix(b"data: ")) for event in events]
    said = [(c["choices"][0]["delta"]["content"], c["choices"][0]["finish_reason"]) for c in chunks]
    assert said == [("x", None), ("", None), ("", "length")]
    assert [chunk.get("usage", {}).get("total_tokens") for chunk in chunks] == [None, None, 5]
    assert encoder.done == b"data: [DONE]\n\n"
    assert b'"error"' in encoder.error(RequestError(502, "lost"))
