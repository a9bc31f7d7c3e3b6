"""Matching against a plain loop, and where content is carried before its id is needed."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from baton.engine.prefix_cache import (
    REUSE_TOKENS_MIN,
    SHELVE_TOKENS_MIN,
    PrefixCache,
)

tokens = st.lists(st.integers(0, 1), max_size=30)


def common(a: list[int], b: list[int]) -> int:
    return next(
        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )


@settings(max_examples=200, deadline=None)
@given(st.lists(tokens, min_size=1, max_size=5), tokens)
def test_match_is_the_longest_common_beginning(held: list[list[int]], prompt: list[int]) -> None:
    """Exact length, never the whole prompt, nothing below what pays; the lowest id among equals."""
    cache = PrefixCache(len(held), 64)
    for sequence, content in enumerate(held):
        cache.append(sequence, content)
    lengths = [common(content, prompt[:-1]) for content in held]
    best = max(lengths)
    wanted = (lengths.index(best), best) if best >= REUSE_TOKENS_MIN else (-1, 0)
    assert wanted == cache.match(prompt)


def test_content_follows_every_change() -> None:
    """Append, cut and copy leave exactly what llama.cpp holds."""
    cache = PrefixCache(2, 64)
    cache.append(0, [1, 2, 3])
    cache.append(0, [4])
    cache.copy(0, 1, 2)
    cache.append(1, [9])
    cache.cut(0, 1)
    assert ([1], [1, 2, 9]) == (cache.tokens(0).tolist(), cache.tokens(1).tolist())
    assert 4 == cache.total


def test_what_was_cut_is_not_matched() -> None:
    """Tokens beyond the length are leftovers."""
    cache = PrefixCache(1, 64)
    cache.append(0, list(range(20)))
    cache.cut(0, REUSE_TOKENS_MIN - 1)
    assert (-1, 0) == cache.match(list(range(20)))


def full(cache: PrefixCache, sequence: int) -> None:
    cache.append(sequence, [sequence] * SHELVE_TOKENS_MIN)


def test_shelf_prefers_empty_then_oldest() -> None:
    """The highest empty id, else the one whose content was not used for longest, if it is older."""
    cache = PrefixCache(4, 256)
    full(cache, 0)
    assert 3 == cache.shelf(0, 0, [0, 1, 2, 3])
    for sequence in (2, 1, 3, 0):
        full(cache, sequence)
    assert 2 == cache.shelf(0, 0, [0, 1, 2, 3])
    assert 1 == cache.shelf(0, 0, [1, 3])
    cache.touch(1)
    assert None is cache.shelf(0, 0, [1])


def test_copies_of_one_beginning_make_room_first() -> None:
    """What the new prompt holds anyway is not worth an id, however lately it was used; a long text
    behind it is."""
    cache = PrefixCache(4, 512)
    beginning, other = [1] * 100, [2] * 100
    cache.append(0, other)
    cache.append(1, beginning + [3] * 100)
    cache.append(2, beginning + [4] * 20)
    cache.append(3, [5] * 100)
    prompt = beginning + [6] * 20
    assert 2 == cache.shelf(0, 0, [1, 2, 3], prompt)
    assert None is cache.shelf(0, 0, [1, 3], prompt)  # older than what else there is
    assert 3 == cache.shelf(1, 100, [0, 3], [5] * 90 + [6])
    cache.cut(3, 0)
    assert 3 == cache.shelf(0, 0, [1, 2, 3], prompt)


def test_beginnings_stay_that_are_asked_for_now_and_then() -> None:
    """Many prompts of few beginnings, one of each in every round: each finds its own from the
    second round on, with twice as many ids as beginnings."""
    groups, ids, dice = 8, 16, random.Random(5)
    cache = PrefixCache(ids, 512)
    asked = [group for _ in range(20) for group in dice.sample(range(groups), groups)]
    for number, group in enumerate(asked):
        prompt = [group] * 100 + [100 + number] * 40
        source, length = cache.match(prompt)
        assert (length == 100) == (number >= groups), number
        kept, free = length if source == 0 else 0, [id for id in range(1, ids) if id != source]
        shelf = cache.shelf(0, kept, free, prompt)
        if shelf is not None:
            cache.copy(0, shelf, cache.length(0))
        if length and source:
            cache.touch(source)
            cache.copy(source, 0, length)
        else:
            cache.cut(0, length)
        cache.append(0, prompt[length:])


def test_little_is_not_carried() -> None:
    """What remains in place anyhow, or is short, does not move."""
    cache = PrefixCache(2, 256)
    full(cache, 0)
    assert None is cache.shelf(0, 1, [0, 1])
    assert None is cache.shelf(0, 0, [0])
