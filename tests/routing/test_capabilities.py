"""Native, filled or refused: never ignored."""

import msgspec
import pytest

from baton.errors import RequestError
from baton.protocol import CompletionRequest
from baton.routing.capabilities import FILLS, fills
from baton.upstreams.base import Capabilities

NOTHING = Capabilities(stop_max=0, n_max=1, streams=False, temperature_max=1.0)
EVERYTHING = Capabilities(
    **{field.name: True for field in msgspec.structs.fields(Capabilities) if field.type is bool},  # type: ignore[arg-type]
    logprobs_max=20,
    stop_max=16,
)
ASKED: list[tuple[str, dict[str, object]]] = [
    ("prompt", {"prompts": [[1, 2]]}),
    ("best_of", {"best_of": 2}),
    ("temperature", {"temperature": 1.5}),
    ("seed", {"seed": 1}),
    ("presence_penalty", {"presence_penalty": 0.5}),
    ("frequency_penalty", {"frequency_penalty": -0.5}),
    ("logit_bias", {"logit_bias": {5: 1.0}}),
    ("logprobs", {"logprobs": 0}),
    ("suffix", {"suffix": "tail"}),
]
"""What Baton has no means for where the upstream has none."""
FILLED: list[tuple[str, dict[str, object]]] = [
    ("prompt", {"prompts": ["a", "b"]}),
    ("n", {"n": 2, "best_of": 2}),
    ("max_tokens", {"max_tokens": 0}),
    ("stop", {"stop": ["x"]}),
    ("echo", {"echo": True}),
    ("stream", {"stream": True}),
]
"""What Baton can do for any upstream."""


def request(**fields: object) -> CompletionRequest:
    return CompletionRequest(**({"model": "m", "prompts": ["a"]} | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(("field", "fields"), ASKED)
def test_what_cannot_be_had_is_refused_by_name(field: str, fields: dict[str, object]) -> None:
    """An upstream that can nothing refuses each field with a 400 that names it."""
    with pytest.raises(RequestError) as refused:
        fills(request(**fields), NOTHING)
    assert (400, field) == (refused.value.status, refused.value.param)


@pytest.mark.parametrize(("field", "fields"), FILLED)
def test_what_can_always_be_filled(field: str, fields: dict[str, object]) -> None:
    """An upstream that can nothing needs the fill of that name, and no other."""
    assert (field,) == fills(request(**fields), NOTHING)


@pytest.mark.parametrize(("field", "fields"), ASKED + FILLED)
def test_what_is_native_needs_no_fill(field: str, fields: dict[str, object]) -> None:
    """An upstream that can everything gets everything as it is."""
    assert () == fills(request(**fields), EVERYTHING)


def test_what_one_field_needs_is_not_asked_for_another() -> None:
    """A native suffix needs nothing of what stands in for it, ids without an echo no text."""
    native = msgspec.structs.replace(NOTHING, suffix=True, token_prompts=True)
    assert () == fills(request(suffix="x"), native)
    assert () == fills(request(prompts=[[1]]), native)
    told = msgspec.structs.replace(NOTHING, fim={"*": "qwen"}, detokenizes=True)
    assert ("prompt", "suffix") == fills(request(prompts=[[1]], suffix="x"), told)


@pytest.mark.parametrize("lacking", ["echo", "prompt_logprobs"])
def test_logprobs_of_an_echo_need_both(lacking: str) -> None:
    """To show the prompt is not to score it."""
    native = msgspec.structs.replace(EVERYTHING, **{lacking: False})
    with pytest.raises(RequestError) as refused:
        fills(request(echo=True, logprobs=1), native)
    assert "echo" == refused.value.param


def test_echo_of_text_can_always_be_filled() -> None:
    """The prompt's text is known; its logprobs and the text of ids are not."""
    assert ("echo",) == fills(request(echo=True), NOTHING)
    scoring = msgspec.structs.replace(NOTHING, logprobs=True, token_prompts=True)
    for fields in ({"logprobs": 1}, {"prompts": [[1]]}):
        with pytest.raises(RequestError) as refused:
            fills(request(echo=True, **fields), scoring)
        assert "echo" == refused.value.param


def test_ids_become_text_where_the_upstream_tells_it() -> None:
    """Then they may go where only text is taken, and be echoed."""
    telling = msgspec.structs.replace(NOTHING, detokenizes=True)
    assert ("prompt",) == fills(request(prompts=[[1]]), telling)
    assert ("prompt", "echo") == fills(request(prompts=[[1]], echo=True), telling)


def test_best_of_is_filled_where_samples_are_scored() -> None:
    """Scores make best_of, whether samples come in one call or in many."""
    scored = msgspec.structs.replace(NOTHING, scored=True)
    assert ("best_of",) == fills(request(best_of=3), scored)
    several = msgspec.structs.replace(scored, n=True, n_max=8)
    assert ("best_of",) == fills(request(best_of=3), several)
    # What Baton cuts it has to score itself.
    with pytest.raises(RequestError) as refused:
        fills(request(best_of=3, stop=["x"]), scored)
    assert "best_of" == refused.value.param
    cut = msgspec.structs.replace(scored, logprobs=True)
    assert ("stop", "best_of") == fills(request(best_of=3, stop=["x"]), cut)


def test_a_suffix_is_filled_where_prompts_are_scored() -> None:
    """Ranking needs prompt logprobs; what cannot go with it is refused by name."""
    native = msgspec.structs.replace(EVERYTHING, suffix=False, special_text=False)
    assert ("suffix",) == fills(request(suffix="x"), native)
    blind = msgspec.structs.replace(native, detokenizes=False)
    for able, field, fields in (
        (blind, "suffix", {"prompts": [[1]]}),
        (native, "best_of", {"best_of": 2}),
        (native, "logprobs", {"logprobs": 1}),
        (native, "max_tokens", {"max_tokens": 0}),
    ):
        with pytest.raises(RequestError) as refused:
            fills(request(suffix="x", **fields), able)
        assert field == refused.value.param


def test_a_suffix_is_filled_by_the_template_of_the_family() -> None:
    """By the operator's word, or by the model's name where marks in a text become tokens; a text
    that holds marks itself is refused."""
    told = msgspec.structs.replace(NOTHING, fim={"*": "qwen"})
    special = msgspec.structs.replace(NOTHING, special_text=True)
    assert ("suffix",) == fills(request(suffix="x"), told)
    assert ("suffix",) == fills(request(suffix="x"), special, "Qwen/Qwen2.5-Coder-7B")
    for able, model, fields in (
        (special, "general-7b", {}),
        (NOTHING, "Qwen/Qwen2.5-Coder-7B", {}),
        (told, "any", {"prompts": ["<|fim_suffix|>"]}),
        (told, "any", {"suffix": "<|fim_middle|>"}),
    ):
        with pytest.raises(RequestError) as refused:
            fills(request(**{"suffix": "x", **fields}), able, model)
        assert "suffix" == refused.value.param


def test_nothing_is_generated_for_no_tokens() -> None:
    """The echoed prompt alone needs no upstream; its logprobs do."""
    native = msgspec.structs.replace(
        NOTHING, echo=True, logprobs=True, prompt_logprobs=True, token_prompts=True
    )
    assert ("max_tokens", "echo") == fills(request(max_tokens=0, echo=True), native)
    assert ("max_tokens",) == fills(request(max_tokens=0, echo=True, logprobs=1), native)
    assert ("max_tokens",) == fills(request(max_tokens=0), native)
    with pytest.raises(RequestError) as refused:
        fills(request(max_tokens=0, echo=True, prompts=[[1]]), native)
    assert "max_tokens" == refused.value.param
    zero = msgspec.structs.replace(native, max_tokens_zero=True)
    assert () == fills(request(max_tokens=0, echo=True), zero)
    assert ("max_tokens",) == fills(request(max_tokens=0), zero)


def test_an_echo_without_a_length_is_not_cut() -> None:
    """Nobody can tell where the echo of ids ends unless they come with logprobs."""
    native = msgspec.structs.replace(
        NOTHING, echo=True, token_prompts=True, logprobs=True, prompt_logprobs=True
    )
    fields: dict[str, object] = {"prompts": [[1]], "echo": True, "stop": ["x"]}
    with pytest.raises(RequestError) as refused:
        fills(request(**fields), native)
    assert "stop" == refused.value.param
    assert ("stop",) == fills(request(**fields, logprobs=0), native)


def test_chatting_is_told() -> None:
    """Also of a request that asks for nothing special."""
    assert ("continuation",) == fills(
        request(), msgspec.structs.replace(NOTHING, wrapping_tokens=9)
    )


def test_fills_come_in_the_stated_order() -> None:
    """The order is the one in which they are applied."""
    native = msgspec.structs.replace(NOTHING, scored=True, logprobs=True)
    needed = fills(request(prompts=["a", "b"], best_of=3, n=2, echo=True, stop=["x"]), native)
    assert ("prompt", "n", "stop", "best_of", "echo") == needed
    assert sorted(needed, key=FILLS.index) == list(needed)


def test_more_than_native_limits() -> None:
    """Counts beyond what the upstream takes in a call are filled; logprobs cannot be."""
    native = msgspec.structs.replace(EVERYTHING, n_max=4, logprobs_max=5, stop_max=4)
    assert ("n",) == fills(request(n=5, best_of=5), native)
    assert ("stop",) == fills(request(stop=list("abcde")), native)
    with pytest.raises(RequestError) as refused:
        fills(request(logprobs=6), native)
    assert "logprobs" == refused.value.param
    assert "at most" in refused.value.message
