"""The echoed prompt: once per choice, first, and of the right prompt."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baton.semantics.echo import Echo
from baton.semantics.events import Delta, Logprobs


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text("ab", max_size=3), min_size=1, max_size=3),
    st.integers(1, 3),
    st.lists(st.tuples(st.integers(0, 8), st.text("xy", max_size=2)), max_size=20),
)
def test_each_choice_begins_with_its_prompt(
    prompts: list[str], n: int, came: list[tuple[int, str]]
) -> None:
    """However choices are mixed: the prompt, then what came; nothing for one that never came."""
    deltas = [Delta(index % (len(prompts) * n), text) for index, text in came]
    echo = Echo(prompts, n)
    out = [delta for each in deltas for delta in echo.feed([each])]
    for index in range(len(prompts) * n):
        texts = [delta.text for delta in deltas if delta.index == index]
        expected = prompts[index // n] + "".join(texts) if texts else ""
        assert "".join(delta.text for delta in out if delta.index == index) == expected
    assert out == Echo(prompts, n).feed(deltas)


def test_what_came_is_left_alone() -> None:
    """The delta keeps its logprobs and its finish; an empty prompt adds nothing."""
    last = Delta(0, "x", "stop", Logprobs(["x"], [-1.0], [{"x": -1.0}], [4]))
    assert Echo(["Once"], 1).feed([last]) == [Delta(0, "Once"), last]
    assert Echo([""], 1).feed([last]) == [last]


def test_ids_cannot_be_echoed() -> None:
    """Planning refuses them; here they are a bug of ours."""
    with pytest.raises(AssertionError):
        Echo([[1, 2]], 1).feed([Delta(0, "x")])
