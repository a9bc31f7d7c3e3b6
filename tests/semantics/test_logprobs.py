"""Log probabilities: both shapes read, the legacy shape made right, joined, cut and moved."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baton.semantics import logprobs
from baton.semantics.events import Logprobs
from baton.semantics.logprobs import LOGPROB_MIN, Position

LEGACY = {
    "tokens": ["On", "ce"],
    "token_logprobs": [None, -0.5],
    "top_logprobs": [None, {"ce": -0.5, "e": -2.0}],
    "text_offset": [-1, -1],
}


@pytest.mark.parametrize(
    ("wire", "positions"),
    [
        (None, None),
        ({}, None),
        (LEGACY, [Position("On", None), Position("ce", -0.5, {"ce": -0.5, "e": -2.0})]),
        ({"tokens": ["a", "b"], "token_logprobs": [-1]}, [Position("a", -1), Position("b", None)]),
        ({"tokens": ["a"], "token_logprobs": [-1, -2], "top_logprobs": []}, [Position("a", -1)]),
        ({"tokens": []}, []),
        ({"tokens": ["a"], "top_logprobs": [{"a": None}]}, [Position("a", None, {})]),
        ({"content": []}, []),
        (
            {
                "content": [
                    {
                        "token": "a",
                        "logprob": -1,
                        "bytes": [97],
                        "top_logprobs": [{"token": "b", "logprob": -2}],
                    }
                ]
            },
            [Position("a", -1, {"b": -2.0})],
        ),
        ({"content": [{"token": "a"}]}, [Position("a", None, {})]),
        (
            {"content": [{"token": "\ufffd", "bytes": [227, 130], "logprob": -1}]},
            [Position(r"bytes:\xe3\x82", -1, {})],
        ),
        (
            {"content": [{"token": "\ufffd", "bytes": [239, 191, 189]}]},
            [Position("\ufffd", None, {})],
        ),
        *(
            ({"content": [{"token": "a\ufffd", "bytes": told}]}, [Position("a\ufffd", None, {})])
            for told in (None, [], "x", [256], [-1], [1.5], {"a": 1}, 7)
        ),
    ],
)
def test_both_shapes_are_read(wire: Any, positions: list[Position] | None) -> None:
    """The legacy lists (made equally long) and the chat list; nothing is no list."""
    assert logprobs.read(json.dumps(wire).encode()) == positions
    assert logprobs.read(b"") is None
    assert logprobs.read(b" null") is None


@pytest.mark.parametrize("raw", [b"5", b'{"tokens":[1]}', b'{"content":5}', b"{", b'"x"'])
def test_another_shape_is_refused(raw: bytes) -> None:
    """What is neither shape is the upstream's fault."""
    with pytest.raises(ValueError, match="another shape"):
        logprobs.read(raw)


tokens = st.text("ab🙂", max_size=3)
numbers = st.floats(-20, 1) | st.just(float("-inf")) | st.just(float("nan"))
positions = st.builds(
    Position, tokens, st.none() | numbers, st.none() | st.dictionaries(tokens, st.floats(-9, 0))
)


@settings(max_examples=300, deadline=None)
@given(st.lists(positions, max_size=6), st.integers(0, 50), st.integers(0, 4))
def test_what_must_hold_of_the_legacy_shape(
    given_positions: list[Position], offset: int, alternatives: int
) -> None:
    """Equal lengths, the offsets given, finite values, the token among its alternatives."""
    offsets = list(range(offset, offset + len(given_positions)))
    found = logprobs.legacy(given_positions, offsets, alternatives)
    lists = (found.tokens, found.token_logprobs, found.top_logprobs, found.text_offset)
    assert {len(each) for each in lists} == {len(given_positions)}
    for position, token, value, top, at in zip(given_positions, *lists, strict=True):
        assert (token, at) == (position.token, offset)
        offset += 1
        if position.logprob is None:
            assert (value, top) == (None, None)
            continue
        assert value is not None
        assert LOGPROB_MIN <= value <= 0
        assert top is not None
        assert top[token] == value
        kept = sorted((v for t, v in (position.top or {}).items()), reverse=True)[:alternatives]
        assert len(top) <= alternatives + 1
        assert all(v >= min(kept, default=0) for t, v in top.items() if t != token)


def test_a_name_that_was_sent_in_parts_is_told_by_its_id() -> None:
    """llama-server writes " a random" where it held " a" back; the alternatives have the names."""

    def entry(id: int, token: str, *others: tuple[int, str]) -> dict[str, Any]:
        tops = [{"id": other, "token": name, "logprob": -1.0} for other, name in others]
        return {"id": id, "token": token, "logprob": -1.0, "top_logprobs": tops}

    entries = [
        entry(1, "", (1, " a"), (2, "b")),
        entry(3, " a random", (2, "b"), (3, " random")),
        entry(4, "c", (2, "b")),
    ]
    found = logprobs.read(json.dumps({"content": entries}).encode())
    assert found is not None
    assert [at.token for at in found] == [" a", " random", "c"]


@pytest.mark.parametrize(
    ("raw", "start"),
    [
        (b'{"tokens":["a"],"text_offset":[7]}', 7),
        (b'{"tokens":["a"],"text_offset":[-1]}', 0),
        (b'{"tokens":["a"],"text_offset":["7"]}', 0),
        (b'{"tokens":[],"text_offset":[]}', 0),
        (b'{"text_offset":7}', 0),
        (b'{"content":[]}', 0),
        (b"null", 0),
        (b"", 0),
    ],
)
def test_where_a_server_says_that_it_begins(raw: bytes, start: int) -> None:
    """Nonsense is no start."""
    assert logprobs.told_start(raw) == start


def test_the_value_beside_the_token_is_the_one_among_the_alternatives() -> None:
    """A greedy token's logprob is bit-equal to the greatest alternative."""
    third = -1 / 3
    found = logprobs.legacy([Position("a", third, {"a": -0.333, "b": -2.0, "c": -3.0})], [0], 2)
    assert found.token_logprobs == [third]
    assert found.top_logprobs == [{"a": third, "b": -2.0}]
    assert logprobs.legacy([Position("a", -1.0)], [0], 5).top_logprobs == [{"a": -1.0}]


def test_values_that_json_cannot_say() -> None:
    """A banned token is minus infinity inside; outside it is a number all the same."""
    assert logprobs.finite(float("-inf")) == LOGPROB_MIN
    assert logprobs.finite(float("nan")) == LOGPROB_MIN
    assert logprobs.finite(1e-7) == 0.0
    assert logprobs.finite(-1.5) == -1.5


WHOLE = Logprobs(
    ["On", "ce", "", " up"], [None, -1.0, -2.0, -3.0], [None, {}, {}, {}], [0, 2, 4, 4]
)


@pytest.mark.parametrize(("end", "count"), [(0, 0), (1, 1), (2, 1), (3, 2), (4, 2), (5, 4), (9, 4)])
def test_cutting(end: int, count: int) -> None:
    """Tokens that begin before the end stay whole; `split` gives back the others too."""
    head, tail = logprobs.split(WHOLE, end)
    assert head == logprobs.trim(WHOLE, end)
    assert head.tokens == WHOLE.tokens[:count]
    assert logprobs.join([head, tail]) == WHOLE
    assert len(head.text_offset) == len(head.top_logprobs) == len(head.token_logprobs) == count


def test_joining_leaves_the_parts_alone() -> None:
    """The parts are still what they were; no part is empty lists."""
    head, tail = logprobs.split(WHOLE, 3)
    logprobs.join([head, tail]).tokens.append("x")
    assert (head.tokens, tail.tokens) == (["On", "ce"], ["", " up"])
    assert logprobs.join([]) == logprobs.empty()
    assert logprobs.join([WHOLE]) is WHOLE


def test_moving() -> None:
    """Offsets alone change."""
    assert logprobs.shift(WHOLE, 5).text_offset == [5, 7, 9, 9]
    assert logprobs.shift(logprobs.shift(WHOLE, 5), -5) == WHOLE
