"""Native, filled or refused: never ignored."""

import msgspec
import pytest

from baton.errors import RequestError
from baton.protocol import CompletionRequest
from baton.routing.capabilities import FILLS, fills
from baton.upstreams.base import Capabilities

NOTHING = Capabilities(stop_max=0, n_max=1)
EVERYTHING = Capabilities(
    **{field.name: True for field in msgspec.structs.fields(Capabilities) if field.type is bool},
    logprobs_max=20,
    stop_max=16,
)
ASKED: list[tuple[str, dict[str, object]]] = [
    ("prompt", {"prompts": ["a", "b"]}),
    ("prompt", {"prompts": [[1, 2]]}),
    ("max_tokens", {"max_tokens": 0}),
    ("n", {"n": 2, "best_of": 2}),
    ("best_of", {"best_of": 2}),
    ("stop", {"stop": ["x"]}),
    ("seed", {"seed": 1}),
    ("presence_penalty", {"presence_penalty": 0.5}),
    ("frequency_penalty", {"frequency_penalty": -0.5}),
    ("logit_bias", {"logit_bias": {5: 1.0}}),
    ("logprobs", {"logprobs": 0}),
    ("suffix", {"suffix": "tail"}),
]


def request(**fields: object) -> CompletionRequest:
    return CompletionRequest(**({"model": "m", "prompts": ["a"]} | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(("field", "fields"), ASKED)
def test_what_cannot_be_had_is_refused_by_name(field: str, fields: dict[str, object]) -> None:
    """An upstream that can nothing refuses each field with a 400 that names it."""
    with pytest.raises(RequestError) as refused:
        fills(request(**fields), NOTHING)
    assert (400, field) == (refused.value.status, refused.value.param)


@pytest.mark.parametrize(("field", "fields"), ASKED)
def test_what_is_native_needs_no_fill(field: str, fields: dict[str, object]) -> None:
    """An upstream that can everything gets everything as it is."""
    assert () == fills(request(**fields), EVERYTHING)


def test_echo_of_text_can_always_be_filled() -> None:
    """The prompt's text is known; its logprobs and the text of ids are not."""
    assert ("echo",) == fills(request(echo=True), NOTHING)
    scoring = msgspec.structs.replace(NOTHING, logprobs=True, token_prompts=True)
    for fields in ({"logprobs": 1}, {"prompts": [[1]]}):
        with pytest.raises(RequestError) as refused:
            fills(request(echo=True, **fields), scoring)
        assert "echo" == refused.value.param


def test_best_of_is_filled_where_samples_are_scored() -> None:
    """n and scores make best_of."""
    native = msgspec.structs.replace(NOTHING, n=True, n_max=8, scored=True)
    assert ("best_of",) == fills(request(best_of=3), native)


def test_a_suffix_is_filled_where_prompts_are_scored() -> None:
    """Ranking needs prompt logprobs and samples; what cannot go with it is refused by name."""
    native = msgspec.structs.replace(EVERYTHING, suffix=False)
    assert ("suffix",) == fills(request(suffix="x"), native)
    for field, fields in (
        ("suffix", {"prompts": [[1]]}),
        ("best_of", {"best_of": 2}),
        ("logprobs", {"logprobs": 1}),
        ("max_tokens", {"max_tokens": 0}),
    ):
        with pytest.raises(RequestError) as refused:
            fills(request(suffix="x", **fields), native)
        assert field == refused.value.param


def test_fills_come_in_the_stated_order() -> None:
    """The order is the one in which they are applied."""
    native = msgspec.structs.replace(NOTHING, n=True, n_max=8, scored=True)
    needed = fills(request(best_of=3, echo=True), native)
    assert ("echo", "best_of") == needed
    assert sorted(needed, key=FILLS.index) == list(needed)


def test_more_than_native_limits_is_refused() -> None:
    """Counts beyond what the upstream takes name the field and the limit."""
    native = msgspec.structs.replace(EVERYTHING, n_max=4, logprobs_max=5, stop_max=4)
    for field, fields in (
        ("n", {"n": 5, "best_of": 5}),
        ("logprobs", {"logprobs": 6}),
        ("stop", {"stop": list("abcde")}),
    ):
        with pytest.raises(RequestError) as refused:
            fills(request(**fields), native)
        assert field == refused.value.param
        assert "at most" in refused.value.message
