"""TextOut against a definition, over random bytes, splits and stops; entries and offsets."""

import codecs
import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from baton.engine.text import (
    Entry,
    TextOut,
    as_logprobs,
    offsets,
    split_tail,
)

texts = st.text(st.sampled_from("ab世🙂é"), max_size=20)
stops = st.lists(st.text(st.sampled_from("ab世"), min_size=1, max_size=3), max_size=3)


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(places)]


def run(pieces: list[bytes], stop: list[str], start: int = 0) -> tuple[str, list[Entry]]:
    out, shown, seen = TextOut(stop, start), "", list[Entry]()
    for at, piece in enumerate(pieces):
        text, entries = out.feed(piece, Entry(str(at), None, None))
        shown, seen = shown + text, seen + entries
        if out.stopped:
            return shown, seen
    text, entries = out.finish()
    return shown + text, seen + entries


def cut_at_stop(text: str, stop: list[str]) -> str:
    for end in range(len(text) + 1):
        hits = [s for s in stop if text[:end].endswith(s)]
        if hits:
            return text[: end - max(map(len, hits))]
    return text


@settings(max_examples=200, deadline=None)
@given(texts, st.lists(st.integers(0, 99), max_size=12), stops)
def test_text_does_not_depend_on_the_split(text: str, cuts: list[int], stop: list[str]) -> None:
    """Whatever the tokens' borders, the text is the whole one up to its first stop."""
    shown, _ = run(pieces_of(text.encode(), cuts), stop)
    assert cut_at_stop(text, stop) == shown


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=30), st.lists(st.integers(0, 99), max_size=12))
def test_any_bytes_become_text(data: bytes, cuts: list[int]) -> None:
    """Broken UTF-8 is replaced as decoding it at once would; a cut character is not shown."""
    shown, entries = run(pieces_of(data, cuts), [])
    assert codecs.getincrementaldecoder("utf-8")("replace").decode(data) == shown
    assert len(pieces_of(data, cuts)) == len(entries)


@settings(max_examples=200, deadline=None)
@given(texts, st.lists(st.integers(0, 99), max_size=12), stops)
def test_entries_end_where_the_text_ends(text: str, cuts: list[int], stop: list[str]) -> None:
    """Exactly the tokens that begin in the visible text have entries, in order, at their place."""
    pieces = pieces_of(text.encode(), cuts)
    shown, entries = run(pieces, stop, start=5)
    starts = [5 + at for at in offsets(pieces)]
    cut = cut_at_stop(text, stop) != text
    wanted = [at for at in starts if not cut or at < 5 + len(shown)]
    assert wanted == [entry.start for entry in entries]


def test_no_part_of_a_character_or_of_a_stop_goes_out() -> None:
    """Text waits until it is certain, its entry with it."""
    out = TextOut(["END"])
    assert ("", []) == out.feed("世".encode()[:2], Entry("a", None, None))
    text, entries = out.feed("世".encode()[2:] + b"E", Entry("b", None, None))
    assert ("世", ["a"]) == (text, [entry.token for entry in entries])
    text, entries = out.feed(b"x", Entry("c", None, None))
    assert ("Ex", ["b", "c"]) == (text, [entry.token for entry in entries])


def test_the_prompts_half_character_is_completed() -> None:
    """Generation may finish the character that a prompt of ids ended in."""
    text, tail = split_tail(b"ab" + "世".encode()[:1])
    assert ("ab", "世".encode()[:1]) == (text, tail)
    out = TextOut([], len(text), tail)
    assert "世" == out.feed("世".encode()[1:], None)[0]


def test_as_logprobs_is_parallel() -> None:
    """Four lists of one length, in the order of the entries."""
    found = as_logprobs([Entry("a", None, None, 0), Entry("b", -1.5, {"b": -1.5}, 1)])
    assert (["a", "b"], [None, -1.5]) == (found.tokens, found.token_logprobs)
    assert ([None, {"b": -1.5}], [0, 1]) == (found.top_logprobs, found.text_offset)
