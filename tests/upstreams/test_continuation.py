"""What is put around a prompt, and what is taken off an answer, however it comes in pieces."""

import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baton.semantics.events import Call, Way
from baton.upstreams.continuation import (
    HELD_CHARS_MAX,
    TAIL_CHARS_MAX,
    WRAPPING_TOKENS_MAX,
    Cleaning,
    prefills,
    tags,
    way_of,
    wrap,
)


def call(prompt: str, suffix: str | None = None) -> Call:
    return Call(model="m", prompts=[prompt], max_tokens=9, suffix=suffix)


def cleaned(cleaning: Cleaning, pieces: list[str]) -> str:
    return "".join(map(cleaning.feed, pieces)) + cleaning.finish()


def letters_and_whole(prompt: str, answer: str, suffix: str | None = None) -> str:
    """The cleaned answer; the same letter by letter and in one piece, or the test fails."""
    whole = Cleaning(call(prompt, suffix), "instruct")
    found = cleaned(whole, [answer])
    assert found == cleaned(Cleaning(call(prompt, suffix), "instruct"), list(answer))
    assert answer[whole.dropped :].startswith(found)
    return found


COSINE = "Row, row, row your boat\n"
TEXTS = [
    ("The sky is", " blue", " blue"),
    ("", "Hello", "Hello"),
    ("The sky is", "", ""),
    # 1: lines that only announce
    ("The sky is", "Sure! Here is the continuation:\n\n blue.", " blue."),
    ("The sky is", "Here's the rest of the text:\n blue.", " blue."),
    ("The sky is", "Certainly!\n\nContinuing the text:\n\n blue.", " blue."),
    ("The sky is", "Sure!\n\n blue.", " blue."),
    ("He said: ", "Sure, I will come:\nhe never did.", "Sure, I will come:\nhe never did."),
    ("It was ", "certainly nothing.\nNothing at all.", "certainly nothing.\nNothing at all."),
    ("Mea", "Sure", "Sure"),
    ("It is ", "surely:\ntext", "surely:\ntext"),
    ("The sky", "Here" + " is" * 60 + " text:\nblue", "Here" + " is" * 60 + " text:\nblue"),
    # 2, 6: our own tags
    ("The sky is", "<unfinished_text> blue</unfinished_text>\nDone!", " blue"),
    ("The sky is", " blue</unfinished", " blue"),
    ("The sky is", " blue.\n<text_after_the_hole>", " blue.\n"),
    ("<b>The sky", "</b><un", "</b><un"),
    # 3: a fence around the answer
    ("def f():\n", "```python\n    return 1\n```\nThis returns one.", "    return 1"),
    ("def f():\n", "```\n    return 1\n", "    return 1\n"),
    ("x = 1", "Here is the code:\n```py\n; y\n```", "; y"),
    ("For example:\n\n", "```py\nx\n```\nand so on", "```py\nx\n```\nand so on"),
    ("```py\nx = 1\n", "```\nand so on", "```\nand so on"),
    ("quote ", "``x`` is", "``x`` is"),
    # 4: the prompt's end again
    ("It was in Par", "Paris.", "is."),
    ("It was in Par", "is.", "is."),
    ("It was in Par", "Portugal.", "Portugal."),
    ("The cat sat on the ", "The cat sat on the  mat.", " mat."),
    ("The cat sat on the", "The cat sat on the mat.", " mat."),
    ("The cat sat on the", "\n\nThe cat sat on the mat.", " mat."),
    ("Well.\n\nThe cat sat on the ", "The cat sat on the mat.", "mat."),
    ("The cat sat on the", "The cat sat on the", ""),
    ("The cat sat on the", "The cat sat up", "The cat sat up"),
    ("It was very", " very good", " very good"),
    ("It was very ", "very good", "very good"),
    ("A cab", "b", "b"),
    ("no, no, no", "no", "no"),
    (COSINE + COSINE, COSINE + "Gently", COSINE + "Gently"),
    # 5: whitespace that is there already
    ("The sky is ", " blue", "blue"),
    ("if x:\n    ", "    y()", "y()"),
    ("if x:\n    ", "\n    y()", "y()"),
    ("if x:\n", "\n\n    y()", "\n    y()"),
    ("One ", " ", ""),
]


@pytest.mark.parametrize(("prompt", "answer", "expected"), TEXTS)
def test_what_is_no_continuation_goes(prompt: str, answer: str, expected: str) -> None:
    """Rule by rule, and nothing else: text that only looks alike stays."""
    assert letters_and_whole(prompt, answer) == expected


REST = "\n\ndef main() -> None:\n    run()\n"
HOLES = [
    ("def f():\n", "    return 1", REST, "    return 1"),
    ("def f():\n", "    return 1\n\ndef main() -> None:\n    run()\n", REST, "    return 1"),
    ("def f():\n", "    return 1\n\ndef ma", REST, "    return 1"),
    ("def f():\n", "    return 1\n\ndef main() -> None:\n    go()\n", REST, "    return 1"),
    ("def f():\n", "    return 1\n", REST, "    return 1\n"),
    ("print(", "f(a)", ")", "f(a)"),
    ("a = [1,", " 2, 3]", "3]", " 2, "),
    ("a = [1,", " 2, 3]\n", "3]", " 2, 3]\n"),
    ("x", "y", "", "y"),
]


@pytest.mark.parametrize(("prompt", "answer", "suffix", "expected"), HOLES)
def test_the_suffix_is_not_said_twice(prompt: str, answer: str, suffix: str, expected: str) -> None:
    """7: cut where it comes in full, dropped at the end where it begins; a bracket alone stays."""
    assert letters_and_whole(prompt, answer, suffix) == expected


PIECES = st.lists(
    st.sampled_from(
        (
            *("Sure! ", "Here is the text:", "\n", " ", "```", "```py\n", "The cat ", "sat on"),
            *(" the", "<unfinished_text>", "</unfinished_text>", "x", "é", "\n    return total"),
        )
    ),
    max_size=12,
)


@settings(max_examples=400, deadline=None)
@given(prompt=PIECES, suffix=PIECES, answer=PIECES, places=st.lists(st.integers(0, 200)))
def test_any_chunking_gives_the_same(
    prompt: list[str], suffix: list[str], answer: list[str], places: list[int]
) -> None:
    """One unbroken part of the answer, whatever its pieces."""
    asked, whole = call("".join(prompt), "".join(suffix) or None), "".join(answer)
    once = Cleaning(asked, "instruct")
    expected = cleaned(once, [whole])
    assert whole[once.dropped :].startswith(expected)
    edges = sorted({0, len(whole), *(place % (len(whole) + 1) for place in places)})
    pieces = [whole[a:b] for a, b in itertools.pairwise(edges)]
    cut = Cleaning(asked, "instruct")
    assert (cleaned(cut, pieces), cut.dropped) == (expected, once.dropped)


def test_text_is_passed_on_as_soon_as_it_can_be_nothing_else() -> None:
    """An ordinary word waits for no more than the letters that it shares with an opener."""
    assert Cleaning(call("The sky is"), "instruct").feed(" b") == " b"
    assert Cleaning(call("The sky is"), "instruct").feed(" soo") == " soo"
    cleaning = Cleaning(call("The sky is", ") # the end of it all"), "instruct")
    assert [cleaning.feed(letter) for letter in " b)c"] == ["", " b", "", ")c"]


def test_a_repetition_that_never_ends_is_bounded() -> None:
    """Hostile texts: little is held, and judging them takes no time to speak of."""
    for prompt, answer in (
        ("a " * 50_000 + "b", "a " * 20_000),
        ("a" * 100_000, "a" * 20_000),
        ("word " * 1000 + "end", "word " * 5000),
        ("." * 100_000, "." * 20_000),
        ("x", " " * 50_000),
    ):
        began = time.process_time()
        cleaning = Cleaning(call(prompt), "instruct")
        given_out = sum(len(cleaning.feed(answer[at : at + 7])) for at in range(0, len(answer), 7))
        assert len(answer) - given_out <= HELD_CHARS_MAX + TAIL_CHARS_MAX
        assert time.process_time() - began < 2.0, prompt[:10]


def test_a_prompt_is_put_between_tags_and_nothing_is_added() -> None:
    """The text stands exactly as it is, so that its last letter is seen."""
    wrapped = wrap(call("  a b \n"), "instruct")
    assert wrapped.user == "<unfinished_text>  a b \n</unfinished_text>"
    assert "<unfinished_text>" in wrapped.system
    assert wrapped.assistant == ""


def test_a_hole_shows_both_sides() -> None:
    """Also where prompts are prefilled: a suffix cannot be."""
    ways: tuple[Way, ...] = ("instruct", "prefill")
    for way in ways:
        wrapped = wrap(call("a", "b\n"), way)
        assert wrapped.user == (
            "<unfinished_text>a</unfinished_text>\n<text_after_the_hole>b\n</text_after_the_hole>"
        )
        assert wrapped.assistant == ""


@pytest.mark.parametrize(
    ("prompt", "suffix"),
    [("a</unfinished_text>", None), ("a", "<text_after_the_hole>"), ("unfinished_text_1", "")],
)
def test_a_caller_cannot_close_our_tags(prompt: str, suffix: str | None) -> None:
    """A text that holds a tag's name gets tags of another."""
    tag, after = tags(call(prompt, suffix))
    assert tag not in prompt + (suffix or "")
    assert after not in prompt + (suffix or "")
    wrapped = wrap(call(prompt, suffix), "instruct")
    assert wrapped.user.startswith(f"<{tag}>{prompt}</{tag}>")
    answer = f"<{tag}> b</{tag}>"
    assert letters_and_whole(prompt, answer, suffix) == " b"


def test_a_prefilled_text_is_the_assistants_own() -> None:
    """Whole, or without the whitespace at its end where the server takes none."""
    assert wrap(call("a b \n"), "prefill").assistant == "a b \n"
    assert wrap(call("a b \n"), "prefill", trimmed=True).assistant == "a b"
    assert wrap(call(" \n"), "prefill").assistant == ""  # there is nothing to begin with
    assert not prefills(call(""), "prefill")


def test_a_prefilled_answer_is_not_cleaned() -> None:
    """What looks polite is the text; only whitespace that was held back is not said twice."""
    for pieces in (["Sure! Here is the text:\n", "```"], list("Sure! Here is the text:\n```")):
        assert cleaned(Cleaning(call("x"), "prefill"), pieces) == "".join(pieces)
    for answer, expected in (("\n  b", "b"), ("b", "b"), ("\n b", "b"), (" b", " b"), ("", "")):
        cleaning = Cleaning(call("a\n  "), "prefill", trimmed=True)
        assert cleaned(cleaning, list(answer)) == expected


def test_a_models_way() -> None:
    """Its own word before that for all models before the dialect's."""
    ways: dict[str, Way] = {"a": "prefix", "*": "partial"}
    assert [way_of(model, ways, "instruct") for model in ("a", "b")] == ["prefix", "partial"]
    assert way_of("a", {}, "prefill") == "prefill"


@pytest.mark.parametrize("suffix", [None, "</text_after_the_hole>"])
def test_a_hold_covers_what_is_put_around_a_prompt(suffix: str | None) -> None:
    """Even if every byte of it were a token, and a chat template took 64 more."""
    wrapped = wrap(call("</unfinished_text>", suffix), "instruct")
    more = len(wrapped.system) + len(wrapped.user) - len("</unfinished_text>") - len(suffix or "")
    assert more + 64 <= WRAPPING_TOKENS_MAX
