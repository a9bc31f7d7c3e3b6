"""Taking a body apart: what is taken, passed on, left over."""

import json

from baton.doors.door import Given, completion_body, renamed
from baton.doors.fim import FimDoor
from baton.errors import invalid


def test_what_nobody_takes_is_ignored() -> None:
    """Names only, sorted, bounded in number and length, and only such as can stand in a header."""
    fields = {f"field_{number:03}": 1 for number in range(50)}
    odd = {"b\r\nx": 1, "b,y": 1, "a" * 100: 1}
    given = Given(json.dumps({"taken": "t", **odd, **fields}).encode())
    assert given.text("taken") == "t"
    assert len(given.ignored) == 32
    assert given.ignored[:3] == ("a" * 64, "b??x", "b?y")


def test_null_is_as_if_left_out() -> None:
    """A field of no value was not asked for: nothing is said of it."""
    assert Given(b'{"a": null, "b": 0}').ignored == ("b",)


def test_a_body_for_completions() -> None:
    """An empty model means the key's default one; a stream tells its usage."""
    assert json.loads(completion_body({"prompt": "p"}, stream=False)) == {
        "model": "",
        "prompt": "p",
        "stream": False,
    }
    streamed = json.loads(completion_body({"model": "m"}, stream=True))
    assert streamed["stream_options"] == {"include_usage": True}
    assert streamed["model"] == "m"


def test_a_refusal_gets_the_callers_name() -> None:
    """The rest of it stays."""
    error = renamed(invalid("no", "seed", "c"), FimDoor(b'{"prompt":"p"}'))
    assert (error.param, error.message, error.code) == ("random_seed", "no", "c")
