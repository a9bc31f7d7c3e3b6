"""llama.cpp's shape: recorded requests of its editors, and the fields that they read."""

import json
from typing import Any

import pytest

from baton.doors.door import Facts
from baton.doors.infill import EXTRA_BYTES_MAX, InfillDoor
from baton.errors import RequestError
from baton.protocol import Choice
from baton.semantics.events import Delta, Usage
from baton.semantics.usage import to_wire

LLAMA_VIM = {
    "id_slot": 0,
    "input_prefix": "def f():\n",
    "input_suffix": "\n    return 1\n",
    "input_extra": [{"text": "import x\n", "time": [1, 2], "filename": "x.py"}],
    "prompt": "    ",
    "n_predict": 128,
    "stop": [],
    "n_indent": 4,
    "top_k": 40,
    "top_p": 0.9,
    "samplers": ["top_k", "top_p", "infill"],
    "stream": False,
    "cache_prompt": True,
    "t_max_prompt_ms": 500,
    "t_max_predict_ms": 1000,
    "response_fields": [
        "content",
        "timings/prompt_n",
        "timings/predicted_per_second",
        "truncated",
        "tokens_cached",
    ],
}
WARMING = {
    "input_prefix": "a",
    "input_suffix": "b",
    "input_extra": [],
    "prompt": "",
    "n_predict": 0,
    "samplers": [],
    "cache_prompt": True,
    "t_max_prompt_ms": 500,
    "t_max_predict_ms": 1,
}
"""llama.vscode's, ahead of the cursor."""
FACTS = Facts("cmpl-1", 7, "m", lambda: (0.5, 0.25))
USAGE = to_wire(Usage(12, 4, cached_tokens=2))


def opened(**fields: Any) -> InfillDoor:
    return InfillDoor(json.dumps({"input_prefix": "a", "input_suffix": "b", **fields}).encode())


def test_llama_vims_request() -> None:
    """The extra texts before the prefix, the cursor's line behind it; the rest is told."""
    door = opened(**LLAMA_VIM)
    assert json.loads(door.body) == {
        "model": "",
        "prompt": "x.py\nimport x\n\n\ndef f():\n    ",
        "suffix": "\n    return 1\n",
        "max_tokens": 128,
        "temperature": 0.8,
        "top_p": 0.9,
        "n": None,
        "seed": None,
        "stop": [],
        "stream": False,
    }
    assert door.ignored == (
        "cache_prompt",
        "id_slot",
        "n_indent",
        "samplers",
        "t_max_predict_ms",
        "t_max_prompt_ms",
        "top_k",
    )


def test_llama_vims_answer() -> None:
    """The fields that it asked for, under their paths."""
    found = opened(**LLAMA_VIM).whole(FACTS, [Choice("x = 1", 0, None, "stop")], USAGE)
    assert json.loads(found) == {
        "content": "x = 1",
        "timings/prompt_n": 10,
        "timings/predicted_per_second": 16.0,
        "truncated": False,
        "tokens_cached": 16,
    }


def test_warming_computes_nothing() -> None:
    """n_predict 0 stays 0; below 0 and absent are a limit; a seed below 0 is none."""
    for given, limit in ((WARMING, 0), ({"n_predict": -1}, 256), ({"seed": -1}, 256)):
        body = json.loads(opened(**given).body)
        assert (body["max_tokens"], body["seed"]) == (limit, None)


def test_whole_answers() -> None:
    """llama.vscode reads content and timings; several choices are an array."""
    door = opened(n_cmpl=2)
    assert json.loads(door.body)["n"] == 2
    choices = [Choice("x", 0, None, "length"), Choice("y", 1, None, "stop")]
    first, second = json.loads(door.whole(FACTS, choices, USAGE))
    assert (first["content"], first["stop_type"], first["stop"]) == ("x", "limit", True)
    assert (second["content"], second["stop_type"], second["index"]) == ("y", "eos", 1)
    assert first["timings"] == {
        "prompt_n": 10,
        "prompt_ms": 500.0,
        "prompt_per_token_ms": 50.0,
        "prompt_per_second": 20.0,
        "predicted_n": 4,
        "predicted_ms": 250.0,
        "predicted_per_token_ms": 62.5,
        "predicted_per_second": 16.0,
        "cache_n": 2,
    }
    idle = Facts("i", 1, "m", lambda: (0.0, 0.0))
    [only] = [json.loads(opened().whole(idle, choices[:1], to_wire(Usage(0, 0))))]
    assert (only["timings"]["prompt_per_second"], only["timings"]["predicted_ms"]) == (0.0, 0.0)


def test_what_comes_at_once_has_no_rate() -> None:
    """A relayed whole answer, or a suffix fill: between first text and last lie microseconds,
    which editors would show as millions of tokens a second."""
    facts = Facts("i", 1, "m", lambda: (0.5, 0.00002))
    told = json.loads(opened().whole(facts, [Choice("x", 0, None, "stop")], USAGE))["timings"]
    assert (told["predicted_n"], told["predicted_ms"]) == (4, 0.0)
    assert (told["predicted_per_token_ms"], told["predicted_per_second"]) == (0.0, 0.0)
    assert told["prompt_ms"] == 500.0


def test_a_stream() -> None:
    """Pieces with stop false, then one with stop true and the counts; no [DONE]."""
    encoder = opened(stream=True).encoder(FACTS)
    events = [encoder.delta(Delta(0, "x")), encoder.delta(Delta(0, "y", "stop"))]
    events.append(encoder.usage(USAGE))
    found = [json.loads(event.removeprefix(b"data: ")) for event in events]
    assert [(each["content"], each["stop"]) for each in found] == [
        ("x", False),
        ("y", False),
        ("", True),
    ]
    assert found[-1]["tokens_predicted"] == 4
    assert encoder.done == b""
    assert b'"error"' in encoder.error(RequestError(502, "lost"))


def test_extra_text_has_a_limit() -> None:
    """The newest are kept, in their order; what is left out is told."""
    old, new = {"text": "o" * EXTRA_BYTES_MAX}, {"text": "new", "filename": "n.py"}
    door = opened(input_extra=[old, new, new])
    assert json.loads(door.body)["prompt"] == "n.py\nnew\n\n" * 2 + "a"
    assert door.ignored == ("input_extra",)
    fits = opened(input_extra=[{"text": "t"}])
    assert json.loads(fits.body)["prompt"] == "snippet\nt\n\na"
    assert fits.ignored == ()


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"input_suffix":"b"}', "input_prefix"),
        (b'{"input_prefix":"a"}', "input_suffix"),
        (b'{"input_prefix":"a","input_suffix":"b","n_predict":"5"}', "n_predict"),
        (b'{"input_prefix":"a","input_suffix":"b","input_extra":["x"]}', "input_extra"),
        (b'{"input_prefix":"a","input_suffix":"b","prompt":[1]}', "prompt"),
    ],
)
def test_refusals_name_the_field(body: bytes, param: str) -> None:
    """400 each."""
    with pytest.raises(RequestError) as caught:
        InfillDoor(body)
    assert (caught.value.status, caught.value.param) == (400, param)


def test_too_many_fields_are_refused() -> None:
    """A bound on what is picked."""
    with pytest.raises(RequestError, match="response_fields") as caught:
        opened(response_fields=["content"] * 65)
    assert caught.value.code == "array_above_max_length"


def test_errors_of_completions_get_this_shapes_names() -> None:
    """What the caller wrote."""
    door = opened()
    assert [door.theirs(name) for name in ("max_tokens", "suffix", "stop", None)] == [
        "n_predict",
        "input_suffix",
        "stop",
        None,
    ]
