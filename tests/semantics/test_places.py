"""Where tokens begin, however text and names come."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton.semantics.places import Places, is_part, name_of


@pytest.mark.parametrize(
    ("piece", "text"),
    [(b" Paris", " Paris"), ("世".encode()[:2], "bytes:\\xe4\\xb8"), (b"\x96", "bytes:\\x96")],
)
def test_the_name_of_a_token(piece: bytes, text: str) -> None:
    """OpenAI's way to write a token that is no whole character."""
    assert text == name_of(piece)


def test_parts_of_a_character_begin_where_it_does() -> None:
    """Their names are longer than they are; a stray byte is a character of its own."""
    parts = [r"bytes:\xf0\x9f", r"bytes:\x99", r"bytes:\x82"]
    names = ["a", *parts, "b", r"bytes:\x99", "bytes:", "c"]
    assert [7, 8, 8, 8, 9, 10, 11, 17] == Places(7).of("a🙂b\ufffdbytes:c", names)
    assert list(map(is_part, names)) == [False, True, True, True, False, True, False, False]


def test_half_a_character_has_room_once_the_next_token_ends_it() -> None:
    """As the embedded engine has it: both begin where the replacement character does."""
    assert [0, 0, 2] == Places(0).of("\ufffdbc", [r"bytes:\xf0\x9f", "b", "c"])


def test_half_a_character_may_be_shown_before_the_next_token() -> None:
    """As the embedded engine streams it: the offsets are those of the whole answer."""
    names = [r"bytes:\xd1", r"bytes:\xd4", r"bytes:\xfb", "c"]
    assert [0, 0, 1, 3] == Places(0).of("\ufffd\ufffd\ufffdc", names)
    places = Places(0)
    assert [0] == places.of("\ufffd", names[:1])
    assert [0, 1] == places.of("\ufffd\ufffd", names[1:3])
    assert [3] == places.of("c", names[3:])


def test_names_that_vllm_gives_the_tokens_of_a_character() -> None:
    """None but the last has one, and the first of a prompt a stray one: recorded of 0.32.0."""
    names = [
        "\ufffd",
        "",
        "本",
        "",
        "",
        "語",
        " gr",
        "ö",
        "ß",
        "e",
        "",
        "",
        " 🚀",
        "",
        "",
        "🚀",
        " na",
    ]
    offsets = [0, 0, 1, 2, 2, 2, 3, 6, 7, 8, 9, 9, 9, 11, 11, 11, 12]
    assert offsets == Places(0).of("日本語 größe 🚀🚀 naïve", names)


def test_special_tokens_have_no_room() -> None:
    """Named "<|im_start|>", they are no text, in one delta or in one of their own."""
    names = ["\n", "<|im_start|>", "<|x|>", "ass", "istant"]
    assert [3, 4, 4, 4, 7] == Places(3).of("\nassistant", names)
    places = Places(3)
    assert [3] == places.of("\n", ["\n"])
    assert [4] == places.of("", ["<|im_start|>"])
    assert [4, 7] == places.of("assistant", ["ass", "istant"])


def test_text_that_is_held_back_comes_after_its_names() -> None:
    """A server waits whether it becomes a stop; the names do not."""
    places = Places(0)
    assert [0] == places.of("", [" a"])
    assert [2] == places.of(" a random", [" random"])
    assert [9, 11] == places.of(" b", [" b", " c"])
    assert [13] == places.of("", [" d"])
    assert [15] == places.of(" c d", []) + places.of(" e", [" e"])


def test_text_may_come_before_its_names() -> None:
    """As the embedded engine streams: a token is named once all of it is shown, or cut."""
    places = Places(0)
    assert [0] == places.of("b", ["b"])
    assert [] == places.of("ooki", [])
    assert [1] == places.of("", ["ooking"])
    places = Places(0)
    assert [0, 5] == places.of("Hello", ["\u2581Hello"]) + places.of(" you", ["\u2581you"])


def test_other_spellings_move_what_follows_by_nothing() -> None:
    """Names with marks of a vocabulary: the next one that stands in the text is found again."""
    assert [0, 5, 11] == Places(0).of("Hello world!", ["\u2581Hello", " world", "!"])
    assert [0, 5] == Places(0).of("Hello world", ["token_id:7", " world"])
    assert [0, 2, 3] == Places(0).of("\ufffdabc", ["a", "b", "c"]), "behind a prompt's half"


def test_a_name_is_looked_for_near_by() -> None:
    """Within twice what was missed; where nothing was missed, only where the text goes on."""
    for names, places in (
        (["?", "c"], [0, 2]),
        (["?", "d"], [0, 0]),
        (["?", "!", "e"], [0, 0, 4]),
        (["?", "a", "c"], [0, 0, 1]),
        (["a", "c", "d"], [0, 1, 3]),
    ):
        assert places == Places(0).of("abcdefgh", names), names


def test_what_was_named_comes_in_parts() -> None:
    """The same name again is another token."""
    places = Places(0)
    assert [0] == places.of("", ["ab"])
    assert [] == places.of("a", [])
    assert [2] == places.of("b", ["b"])


def test_a_cut_token_reaches_over_the_end() -> None:
    """Of a text that a stop cut; what follows begins behind it."""
    assert [0, 2, 5] == Places(0).of("abc", ["ab", "cde", "f"])


@given(st.lists(st.text("ab<é🙂", max_size=3), max_size=8), st.lists(st.integers(0, 30)))
def test_names_that_are_the_text(names: list[str], cuts: list[int]) -> None:
    """Each begins where those before it end, whether its text comes with it or later."""
    text = "".join(names)
    starts = [len("".join(names[:count])) for count in range(len(names))]
    assert Places(0).of(text, names) == starts
    edges = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    places = Places(0)
    found = places.of("", names)
    for begin, end in itertools.pairwise(edges):
        assert [] == places.of(text[begin:end], [])
    assert (found, places.end) == (starts, len(text))


@pytest.mark.parametrize("name", ["bytes:", r"bytes:\xzz", "bytes", r"x bytes:\xe2"])
def test_no_parts(name: str) -> None:
    """What only looks like the name of one is a text."""
    assert not is_part(name)
    assert [0, len(name)] == Places(0).of(name + "a", [name, "a"])
