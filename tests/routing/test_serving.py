"""Who can do a call as it is."""

from typing import Any

import msgspec
import pytest

from baton.routing.serving import serves
from baton.semantics.events import Call
from baton.upstreams.base import Capabilities
from tests.fakes.words import ALL

EVERYTHING = Capabilities(
    **{field.name: True for field in msgspec.structs.fields(Capabilities) if field.type is bool},  # type: ignore[arg-type]
    stop_max=5,
    n_max=2,
)

NEEDS: list[dict[str, Any]] = [
    {"prompts": ["a", "b"]},
    {"prompts": [[1]]},
    {"n": 2},
    {"max_tokens": 0},
    {"stop": ["1", "2", "3", "4", "5"]},
    {"echo": True},
    {"scored": True},
    {"logprobs": 0},
    {"logprobs": 0, "echo": True},
    {"suffix": "x"},
    {"seed": 1},
    {"logit_bias": {1: 1.0}},
    {"presence_penalty": 1.0},
    {"frequency_penalty": 1.0},
]


def call(**fields: Any) -> Call:
    return Call(**{"model": "m", "prompts": ["a"], "max_tokens": 5, **fields})


@pytest.mark.parametrize("fields", NEEDS)
def test_what_a_bare_upstream_cannot_do(fields: dict[str, Any]) -> None:
    """A plain text is for everybody; each of these needs what not everybody has."""
    assert serves(call(), Capabilities())
    assert not serves(call(**fields), Capabilities())
    assert serves(call(**fields), EVERYTHING)


def test_limits() -> None:
    """What it has goes as far as it says."""
    assert serves(call(echo=True, logprobs=5, n=3, prompts=["a", [1]]), ALL)
    assert not serves(call(logprobs=6), ALL)
    assert not serves(call(n=3), EVERYTHING)
    sampling = msgspec.structs.replace(EVERYTHING, n_greedy=False)
    assert serves(call(n=2, temperature=0.1), sampling)
    assert not serves(call(n=2, temperature=0.0), sampling)
    assert not serves(call(stop=list("abcdef")), EVERYTHING)
    unscored = Capabilities(echo=True, logprobs=True)
    assert not serves(call(echo=True, logprobs=1), unscored)
    assert serves(call(logprobs=1), unscored)
