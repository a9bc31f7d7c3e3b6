"""Offsets and scores over the deltas of a choice."""

import json

import pytest

from baton.errors import Unheeded
from baton.semantics.events import Call, FinishReason, Logprobs
from baton.upstreams.base import UpstreamError
from baton.upstreams.wire_logprobs import LogprobsReader


def legacy(*tokens: tuple[str, float | None]) -> bytes:
    """The legacy object as SGLang sends it: offsets that say nothing."""
    return json.dumps(
        {
            "tokens": [token for token, _ in tokens],
            "token_logprobs": [value for _, value in tokens],
            "top_logprobs": [None if v is None else {t: v} for t, v in tokens],
            "text_offset": [-1] * len(tokens),
        }
    ).encode()


def test_offsets_follow_the_text_of_each_choice() -> None:
    """From the prompt's length, per choice, put right where tokens and text differ in length."""
    reader = LogprobsReader(Call(model="m", prompts=["ab", "c"], max_tokens=9, logprobs=1))
    first = reader.delta(0, "x", None, legacy(("x", -1.0)), None)
    other = reader.delta(1, "日", None, legacy(("bytes:\\xe6\\x97\\xa5", -2.0)), None)
    second = reader.delta(1, "yz", "stop", legacy(("y", -1.0), ("z", -0.5)), [7, 8])
    offsets = [d.logprobs.text_offset for d in (first, other, second) if d.logprobs]
    assert offsets == [[2], [1], [2, 3]]
    assert second.token_ids == [7, 8]
    assert second.logprobs == Logprobs(["y", "z"], [-1.0, -0.5], [{"y": -1.0}, {"z": -0.5}], [2, 3])


def test_echo_counts_from_the_start() -> None:
    """With the prompt echoed the first offset is 0."""
    reader = LogprobsReader(Call(model="m", prompts=["ab"], max_tokens=9, logprobs=1, echo=True))
    delta = reader.delta(0, "abx", None, legacy(("ab", None), ("x", -1.0)), None)
    assert delta.logprobs is not None
    assert delta.logprobs.text_offset == [0, 2]
    assert delta.logprobs.token_logprobs == [None, -1.0]


def test_a_prompt_of_ids_is_as_long_as_its_server_says() -> None:
    """Nobody else knows its text; each choice goes on from where it began."""
    reader = LogprobsReader(Call(model="m", prompts=[[5, 6], [7]], max_tokens=9, logprobs=1))
    told = b'{"tokens":["x","y"],"token_logprobs":[-1,-1],"text_offset":[11,12]}'
    later = b'{"tokens":["z"],"token_logprobs":[-1],"text_offset":[99]}'
    found = [
        reader.delta(0, "xy", None, told, None),
        reader.delta(0, "z", None, later, None),
        reader.delta(1, "x", None, legacy(("x", -1.0)), None),
    ]
    assert [d.logprobs.text_offset for d in found if d.logprobs] == [[11, 12], [13], [0]]


def test_what_a_stop_cut_off_has_no_logprobs() -> None:
    """The lists end where the text does; what `length` cut, or an echo, keeps all of its tokens."""

    def names(reason: FinishReason, echo: bool, *tokens: str) -> list[str]:
        call = Call(model="m", prompts=["p"], max_tokens=9, logprobs=1, echo=echo)
        raw = legacy(*((token, -1.0) for token in tokens))
        delta = LogprobsReader(call).delta(0, "ab", reason, raw, None)
        assert delta.logprobs is not None
        assert len(delta.logprobs.text_offset) == len(delta.logprobs.tokens)
        return delta.logprobs.tokens

    assert names("stop", False, "a", "b", " st", "op") == ["a", "b"]
    assert names("stop", False, "a", "bc", "<eos>") == ["a", "bc"]
    assert names("length", False, "a", "b", "<pad>") == ["a", "b", "<pad>"]
    assert names("stop", True, "a", "b", "<eos>") == ["a", "b", "<eos>"]
    half = r"bytes:\xe2"
    assert names("stop", False, "a", "b", half) == ["a", "b", half]


@pytest.mark.parametrize(("reason", "rest"), [("stop", []), ("length", [" st", "op"])])
def test_tokens_wait_for_their_text(reason: FinishReason, rest: list[str]) -> None:
    """llama-server names what it holds back, and what the stop was, before it ends."""
    reader = LogprobsReader(Call(model="m", prompts=["p"], max_tokens=9, logprobs=1))
    found = [
        reader.delta(0, "a", None, legacy(("a", -1.0)), None),
        reader.delta(0, "", None, legacy((" x", -1.0)), None),
        reader.delta(0, " xy", None, legacy(("y", -1.0)), None),
        reader.delta(0, "", None, legacy((" st", -1.0)), None),
        reader.delta(0, "", None, legacy(("op", -1.0)), None),
        reader.delta(0, "", reason, b"null", None),
    ]
    told = [delta.logprobs.tokens for delta in found if delta.logprobs]
    assert told == [["a"], [], [" x", "y"], [], [], rest]
    assert [2] == found[2].logprobs.text_offset[:1] if found[2].logprobs else False


def test_a_name_may_come_before_any_text() -> None:
    """What follows begins behind the text that it names."""
    reader = LogprobsReader(Call(model="m", prompts=["p"], max_tokens=9, logprobs=1, echo=False))
    reader.delta(0, "", None, legacy(("a", -1.0)), None)
    reader.delta(0, "a", None, b"null", None)
    found = reader.delta(0, "b", None, legacy(("b", -1.0)), None)
    assert found.logprobs is not None
    assert found.logprobs.text_offset == [2]


def test_a_choice_that_ends_at_once_has_empty_lists() -> None:
    """In a stream, too: logprobs were asked for, and there was no token."""
    call = Call(model="m", prompts=["p"], max_tokens=9, logprobs=1)
    delta = LogprobsReader(call).delta(0, "", "stop", b"null", None)
    assert delta.logprobs == Logprobs([], [], [], [])


def test_another_baton_is_believed() -> None:
    """What it tells behind its text are special tokens that were generated, and no stop."""
    call = Call(model="m", prompts=["p"], max_tokens=9, logprobs=1)
    raw = legacy(("a", -1.0), ("<|im_start|>", -1.0))
    delta = LogprobsReader(call, exact=True).delta(0, "a", "stop", raw, None)
    assert delta.logprobs is not None
    assert delta.logprobs.tokens == ["a", "<|im_start|>"]
    half = LogprobsReader(call, exact=True).delta(0, "\ufffd", None, EMPTY, None)
    assert half.logprobs is not None, "of a prompt of ids that ended within a character"
    assert half.logprobs.tokens == []


@pytest.mark.parametrize("prompt", ["ab", [5, 6]])
def test_the_score_leaves_the_prompt_out(prompt: str | list[int]) -> None:
    """Echoed tokens do not count, told as text or as ids."""
    call = Call(model="m", prompts=[prompt], max_tokens=9, scored=True, echo=True)
    reader = LogprobsReader(call)
    reader.delta(0, "abx", None, legacy(("a", None), ("b", -8.0), ("x", -1.0)), None)
    last = reader.delta(0, "y", "stop", legacy(("y", -0.25)), None)
    assert (last.score, last.logprobs) == (-1.25, None)
    assert last.scored_tokens == 2, "best_of ranks by the mean, also where no ids are told"


def test_the_score_knows_parts_of_characters() -> None:
    """Their names, longer than they are, do not make the prompt's last tokens generated ones."""
    call = Call(model="m", prompts=["🙂b"], max_tokens=9, scored=True, echo=True)
    parts = (r"bytes:\xf0\x9f", None), (r"bytes:\x99\x82", -7.0)
    raw = legacy(*parts, ("b", -8.0), ("x", -1.0))
    last = LogprobsReader(call).delta(0, "🙂bx", "stop", raw, None)
    assert (last.score, last.scored_tokens) == (-1.0, 1)


def test_each_sample_has_a_score_on_its_end() -> None:
    """Not before, and behind its own prompt, whichever of several it is."""
    call = Call(model="m", prompts=["ab", "c"], max_tokens=9, n=2, scored=True, echo=True)
    reader = LogprobsReader(call)
    for index, prompt in enumerate(("ab", "ab", "c", "c")):
        named = ((letter, -8.0) for letter in prompt)
        first = reader.delta(index, prompt + "x", None, legacy(*named, ("x", -1.0)), None)
        assert (first.score, first.scored_tokens) == (None, None)
        last = reader.delta(index, "y", "length", legacy(("y", -float(index))), None)
        assert (last.score, last.scored_tokens) == (-1.0 - index, 2)


def test_no_text_no_score() -> None:
    """A choice that ends at once has no score, not a score of 0."""
    reader = LogprobsReader(Call(model="m", prompts=["a"], max_tokens=9, scored=True))
    assert reader.delta(0, "", "stop", b"null", None).score is None


EMPTY = b'{"tokens":[],"token_logprobs":[],"top_logprobs":[],"text_offset":[]}'


@pytest.mark.parametrize("raw", [b"null", EMPTY, b'{"content":[]}'])
def test_a_server_that_tells_none_is_found_out(raw: bytes) -> None:
    """With its first text: an empty list is no logprobs of it, and candidates cannot be ranked."""
    for field, asked in (("logprobs", {"logprobs": 0}), ("best_of", {"scored": True})):
        call = Call(model="m", prompts=["a", "b"], max_tokens=9, **asked)
        reader = LogprobsReader(call)
        reader.delta(0, "x", None, legacy(("x", -1.0)), None)
        reader.delta(0, "y", None, raw, None)  # one of several tokens of a character
        with pytest.raises(Unheeded) as refused:
            reader.delta(1, "x", "stop", raw, None)
        assert field == refused.value.param


@pytest.mark.parametrize("raw", [b"5", b'{"tokens":5}', b'{"content":[{"token":1}]}', b"[]"])
def test_other_shapes_are_no_answer(raw: bytes) -> None:
    """What is no logprobs object is an UpstreamError."""
    reader = LogprobsReader(Call(model="m", prompts=["a"], max_tokens=9, logprobs=1))
    with pytest.raises(UpstreamError):
        reader.delta(0, "x", None, raw, None)
