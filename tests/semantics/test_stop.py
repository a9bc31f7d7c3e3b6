"""StopMatcher against a one-line oracle, over random texts, stops and chunkings."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baton.semantics.stop import StopMatcher, hints


def expected(text: str, stops: list[str]) -> tuple[str, str | None]:
    """The definition: grow the text by one character until it ends with a stop."""
    for end in range(len(text) + 1):
        hits = [stop for stop in stops if text[:end].endswith(stop)]
        if hits:
            longest = max(hits, key=len)
            return text[: end - len(longest)], longest
    return text, None


def run(chunks: list[str], stops: list[str]) -> tuple[str, str | None]:
    """What comes out of a matcher, and the stop that it names."""
    matcher = StopMatcher(stops)
    sent = "".join(matcher.feed(chunk) for chunk in chunks) + matcher.finish()
    return sent, matcher.matched


# Two letters and a few rare ones make stops overlap, nest and begin often.
letters = st.sampled_from("ab\n]^-世🙂")
short = st.text(letters, min_size=1, max_size=5)


@settings(max_examples=800, deadline=None)
@given(st.lists(st.text(letters, max_size=6), max_size=12), st.lists(short, max_size=5))
def test_any_chunking_equals_the_definition(chunks: list[str], stops: list[str]) -> None:
    """The output and the named stop depend only on the concatenated text."""
    assert run(chunks, stops) == expected("".join(chunks), stops)


@settings(max_examples=250, deadline=None)
@given(st.text(letters, max_size=30), st.lists(short, max_size=5))
def test_nothing_of_a_stop_is_sent_before_it_is_decided(text: str, stops: list[str]) -> None:
    """What is sent is always a beginning of the answer; what is held may begin a stop."""
    answer, _ = expected(text, stops)
    matcher, sent = StopMatcher(stops), ""
    for letter in text:
        sent += matcher.feed(letter)
        assert answer.startswith(sent)
        assert matcher.held == "" or any(stop.startswith(matcher.held) for stop in stops)


@pytest.mark.parametrize(
    ("chunks", "stops", "sent", "named"),
    [
        (["one\n", "\ntwo"], ["\n\n"], "one", "\n\n"),
        (["abc"], ["abcdef", "bc"], "a", "bc"),
        (["abc"], ["abc", "ab"], "", "ab"),
        (["abc"], ["abc", "bc"], "", "abc"),
        (["ab", "ab"], ["aba"], "", "aba"),
        (["aab"], ["ab"], "a", "ab"),
        (["a]b"], ["]"], "a", "]"),
        (["a-b^"], ["^"], "a-b", "^"),
        (["no stop"], [], "no stop", None),
        ([], ["x"], "", None),
        (["half a sto"], ["stop"], "half a sto", None),
    ],
)
def test_table(chunks: list[str], stops: list[str], sent: str, named: str | None) -> None:
    """Overlaps, characters that mean something in a pattern, no stop, an unfinished stop."""
    assert run(chunks, stops) == (sent, named)


def test_after_a_match_nothing_more_is_sent() -> None:
    """Text that follows a stop is dropped, also on finish."""
    matcher = StopMatcher(["END"])
    assert matcher.feed("text END more") == "text "
    assert matcher.feed("and more") == ""
    assert matcher.finish() == ""
    assert matcher.matched == "END"


def test_a_stop_is_decided_by_its_last_character() -> None:
    """No further text is needed, although a longer stop could still complete."""
    matcher = StopMatcher(["abcdef", "bc"])
    matcher.feed("ab")
    assert matcher.matched is None
    matcher.feed("c")
    assert matcher.matched == "bc"


def test_an_empty_stop_is_a_bug_of_ours() -> None:
    """The wire drops empty stops; here they are an error of the program."""
    with pytest.raises(AssertionError):
        StopMatcher([""])


def test_the_cost_of_a_feed_does_not_grow_with_the_text() -> None:
    """However long the answer, no more than the longest stop is kept."""
    stops = ["a" * 255 + letter for letter in "bcdefghijklmnopq"]
    matcher = StopMatcher(stops)
    sent = 0
    for _ in range(2_000):
        sent += len(matcher.feed("aaa"))
        assert len(matcher.held) <= 255
    assert sent == 6_000 - 255
    assert matcher.feed("c") == ""
    assert matcher.matched == stops[1]


@settings(max_examples=400, deadline=None)
@given(st.text(letters, max_size=30), st.lists(short, max_size=5), st.integers(0, 5))
def test_an_upstream_that_is_told_ends_no_text_too_early(
    text: str, stops: list[str], most: int
) -> None:
    """What it leaves is cut here to the same answer, though it says nothing of the stop."""
    told = hints(stops, most)
    assert len(told) <= most
    left, _ = expected(text, told)
    assert expected(text, stops)[0] == expected(left, stops)[0]


@pytest.mark.parametrize(
    ("stops", "most", "told"),
    [
        (["d", "ab", "d", "e"], 9, ["d", "ab", "e"]),
        (["d", "ab", "e"], 2, ["d", "ab"]),
        (["ab", "cb", "d"], 9, ["ab", "cb", "d"]),
        (["ab", "b", "d"], 9, ["ab", "d"]),
        (["<a>", "<b>"], 9, ["<a>", "<b>"]),
        (["abc", "xb", "d"], 1, ["xb"]),
        (["abc", "bx"], 9, ["abc", "bx"]),
        (["a"], 0, []),
        ([], 4, []),
    ],
)
def test_the_stops_that_an_upstream_is_told(stops: list[str], most: int, told: list[str]) -> None:
    """The first ones, each once, before whose end no other can be complete."""
    assert told == hints(stops, most)
