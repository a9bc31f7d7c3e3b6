"""Prompts on real vocabularies: ids, echoes, offsets, fill-in-the-middle, refusals."""

from typing import Any

import pytest

from baton.engine.llama import Model
from baton.engine.prompts import Prepared, aligned, prepare, refusal
from baton.errors import RequestError, overloaded
from tests.engine.rig import call
from tests.fakes import tiny_gguf


def one(model: Model, prompt: str | list[int], **fields: Any) -> Prepared:
    (prepared,) = prepare(call(prompt, **fields), model, 512)
    return prepared


def refused(
    model: Model, prompt: str | list[int], **fields: object
) -> tuple[str | None, str | None]:
    with pytest.raises(RequestError) as caught:
        one(model, prompt, **fields)
    assert 400 == caught.value.status
    return caught.value.param, caught.value.code


def test_text_is_echoed_as_given(model: Model) -> None:
    """Special tokens are parsed or not as the call says; the text stays what it was."""
    text = "<|im_start|>user hi"
    assert model.bos == one(model, text).ids[0]
    assert model.bos != one(model, text, parse_special=False).ids[0]
    assert text == one(model, text).text


def test_ids_are_taken_as_they_are(model: Model) -> None:
    """No BOS is added; their echo is their text, special tokens by name."""
    prepared = one(model, [19556, model.eos])
    assert ([19556, model.eos], "Hello<|im_end|>") == (prepared.ids, prepared.text)


def test_ids_may_end_in_half_a_character(model: Model) -> None:
    """The text holds whole characters; the rest waits for what is generated."""
    ids = model.tokenize("a世")
    prepared = one(model, ids[:-1])
    assert "a" == prepared.text
    assert "世".encode().startswith(prepared.tail)
    assert prepared.tail


@pytest.mark.parametrize("prompt", ["", []])
def test_an_empty_prompt_starts_a_document(model: Model, prompt: str | list[int]) -> None:
    """The default model adds no BOS: the document separator stands in, and counts."""
    assert [model.eos] == one(model, prompt).ids


def test_bos_where_the_vocabulary_adds_it(tiny: Model) -> None:
    """It is one of the ids, and no part of the text: offsets start behind it."""
    prepared = one(tiny, "hi", echo=True, logprobs=0)
    assert tiny.add_bos == (prepared.ids[0] == tiny_gguf.BOS)
    entries = prepared.entries()
    assert len(prepared.ids) == len(entries)
    assert ("hi", 0) == ("".join(e.token for e in entries[-2:]), entries[-2].start)


def test_entries_place_each_token(model: Model) -> None:
    """Offsets in code points; a token that continues a character has that character's."""
    entries = one(model, "Hello, 世界!", echo=True, logprobs=0).entries()
    assert [0, 5, 6, 7, 7, 8, 8, 8, 9] == [entry.start for entry in entries]
    assert ["Hello", ",", " "] == [entry.token for entry in entries[:3]]


@pytest.mark.parametrize(
    ("pieces", "text", "parts"),
    [
        ([b"ab", b"c"], b"abc", [b"ab", b"c"]),
        ([b"<s>", b"ab"], b"ab", [b"", b"ab"]),
        ([b"<s>", b" ab", b" c"], b"ab c", [b"", b"ab", b" c"]),
        ([b" ab"], b"ab", [b"ab"]),
        ([b"x"], b"", [b""]),
    ],
)
def test_aligned(pieces: list[bytes], text: bytes, parts: list[bytes]) -> None:
    """What was added in front (BOS, a space) is no part of the text."""
    assert parts == aligned(pieces, text)


def test_a_prompt_that_does_not_fit(model: Model) -> None:
    """Refused with both numbers, in the wording that libraries match."""
    assert ("prompt", "context_length_exceeded") == refused(model, [5] * 510, max_tokens=3)
    assert 510 == len(one(model, [5] * 510, max_tokens=2).ids)


def test_megabytes_are_refused_at_once(model: Model) -> None:
    """What cannot fit by its length alone is not tokenised to the end."""
    assert ("prompt", "context_length_exceeded") == refused(model, "the " * 2_000_000)


def test_ids_outside_the_vocabulary(model: Model) -> None:
    """In a prompt or as a bias, they are the caller's fault, by the code of ids that are none."""
    code, beyond = "invalid_token_id", model.vocabulary_size
    assert ("prompt", code) == refused(model, [beyond])
    assert ("prompt", code) == refused(model, [-1])
    assert ("logit_bias", code) == refused(model, "a", logit_bias={beyond: 1.0})


def test_suffix_needs_a_vocabulary_for_it(model: Model) -> None:
    """Without markers the engine refuses: the relay may fill by other means."""
    assert ("suffix", "unsupported_parameter") == refused(model, "a", suffix="b")


def test_suffix_goes_around_the_hole(tiny: Model) -> None:
    """Markers by id; text that looks like a marker stays text."""
    prepared = one(tiny, "a", suffix="<|fim_middle|>")
    start = [tiny_gguf.BOS] if tiny.add_bos else []
    inside = tiny.tokenize("<|fim_middle|>", add_special=False, parse_special=False)
    ids = [*start, tiny_gguf.FIM_PRE, ord("a"), tiny_gguf.FIM_SUF, *inside, tiny_gguf.FIM_MID]
    assert len(inside) > 1
    assert tiny.detokenize(ids) == tiny.detokenize(prepared.ids)
    assert "a" == prepared.text


def test_suffix_with_echo(tiny: Model) -> None:
    """What an echo would show is not defined: refused."""
    assert "echo" == refused(tiny, "a", suffix="b", echo=True)[0]


def test_refusal_carries_all_fields() -> None:
    """What the socket carries is what the caller shall see."""
    refused = refusal(overloaded("full", 3.0, 429), 3.0)
    assert (429, "full", "overloaded", 3.0) == (
        refused.status,
        refused.message,
        refused.code,
        refused.retry_after_s,
    )


def test_ids_that_begin_within_a_character() -> None:
    """A window of a longer text may: its tokens have their places all the same."""
    pieces = [b"\xb8\x96", b"a", b"bc"]
    one = Prepared(ids=[1, 2, 3], text="\ufffd\ufffdabc", pieces=pieces)
    assert [0, 2, 3] == [entry.start for entry in one.entries()]
