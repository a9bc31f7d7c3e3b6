"""Chunks and whole answers: every key, in order, in both; and how cheap a plain chunk is."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from baton.errors import upstream_lost
from baton.protocol import Choice
from baton.semantics.assemble import (
    DONE,
    ChunkEncoder,
    assemble,
    encode_completion,
    encode_text,
)
from baton.semantics.events import Delta, Logprobs, Usage
from baton.semantics.sse import SseDecoder
from baton.semantics.usage import clamp, to_wire

USAGE = to_wire(Usage(3, 2))
SCORED = Logprobs(["a"], [-0.5], [{"a": -0.5}], [4])
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)


def encoder(fingerprint: str | None = None, include_usage: bool = False) -> ChunkEncoder:
    return ChunkEncoder('cmpl-"1', 1234, "m/ü", fingerprint, include_usage=include_usage)


def chunk(event: bytes) -> dict[str, Any]:
    """The one payload of an event, parsed."""
    (payload,) = SseDecoder(1 << 20).feed(event)
    found: dict[str, Any] = json.loads(payload)
    return found


HEAD = {"id": 'cmpl-"1', "object": "text_completion", "created": 1234, "model": "m/ü"}


@settings(max_examples=300, deadline=None)
@given(
    text,
    st.integers(0, 500),
    st.none() | st.sampled_from(["stop", "length", "content_filter"]),
    st.none() | st.just(SCORED),
    st.none() | text,
    st.booleans(),
)
def test_every_chunk_has_every_key_in_order(
    words: str, index: int, reason: Any, scored: Any, fingerprint: str | None, include: bool
) -> None:
    """All keys; usage null where asked for, the fingerprint where known; every time."""
    chunks = encoder(fingerprint, include)
    delta = Delta(index, words, reason, scored)
    choice = {
        "text": words,
        "index": index,
        "logprobs": None
        if scored is None
        else {
            "tokens": ["a"],
            "token_logprobs": [-0.5],
            "top_logprobs": [{"a": -0.5}],
            "text_offset": [4],
        },
        "finish_reason": reason,
    }
    expected: dict[str, Any] = {**HEAD, "choices": [choice]}
    if include:
        expected["usage"] = None
    if fingerprint is not None:
        expected["system_fingerprint"] = fingerprint
    for _ in range(2):
        event = chunks.delta(delta)
        before, after, encode = chunks.around_text
        if delta.index == 0 and delta.finish_reason is None and delta.logprobs is None:
            assert before + encode(delta.text) + after == event
        assert event.startswith(b"data: {")
        assert event.endswith(b"}\n\n")
        assert event.count(b"\n") == 2
        assert list(chunk(event).items()) == list(expected.items())


def test_what_one_chunk_has_beside_its_text_is_not_told_again() -> None:
    """Chunks of one choice follow each other: plain ones, and ones with logprobs or an end."""
    chunks, other = encoder(), Logprobs(["b"], [-0.25], [{"b": -0.25}], [5])
    deltas = [
        Delta(1, "a", None, SCORED),
        Delta(1, "b", None, other),
        Delta(1, "c"),
        Delta(1, "d", "stop"),
        Delta(1, "e"),
        Delta(2, "f"),
    ]
    found = [chunk(chunks.delta(delta))["choices"] for delta in deltas]
    assert [[msgspec.to_builtins(each)] for each in assembled(deltas)] == found


def assembled(deltas: list[Delta]) -> list[Choice]:
    return [Choice(each.text, each.index, each.logprobs, each.finish_reason) for each in deltas]


def test_the_usage_chunk_has_no_choices() -> None:
    """It comes last before the end, with the same head."""
    found = chunk(encoder("fp", True).usage(to_wire(Usage(3, 2), handoffs=1)))
    assert list(found) == [*HEAD, "choices", "usage", "system_fingerprint"]
    assert found["choices"] == []
    assert found["usage"]["total_tokens"] == 5
    assert found["usage"]["baton"] == {"handoffs": 1}


def test_continuous_usage_is_on_every_chunk() -> None:
    """The usage so far stands where null would; who did not ask for usage never gets any."""
    found = chunk(encoder(None, True).delta(Delta(0, "a"), USAGE))
    assert found["usage"]["completion_tokens"] == 2
    with pytest.raises(AssertionError):
        encoder(None, False).delta(Delta(0, "a"), USAGE)


def test_an_error_is_an_event_of_its_own() -> None:
    """The error's body and nothing else; the end mark is not part of it."""
    assert chunk(encoder().error(upstream_lost("cut")))["error"]["code"] == "upstream_lost"
    assert DONE == b"data: [DONE]\n\n"


deltas = st.lists(
    st.tuples(st.integers(0, 2), text, st.sampled_from([None, None, "stop", "length"])), max_size=12
)


@settings(max_examples=200, deadline=None)
@given(deltas)
def test_a_whole_answer_is_its_deltas_joined(parts: list[tuple[int, str, Any]]) -> None:
    """However choices are mixed: texts joined in order, the finish that came."""
    choices = assemble([Delta(*part) for part in parts], 3)
    for index, choice in enumerate(choices):
        mine = [part for part in parts if part[0] == index]
        assert choice.index == index
        assert choice.text == "".join(part[1] for part in mine)
        assert choice.finish_reason == next((p[2] for p in reversed(mine) if p[2]), None)
        assert choice.logprobs is None


def test_logprobs_are_joined_and_the_parts_left_alone() -> None:
    """Lists of all deltas in order; a choice without any gets empty lists where they were asked."""
    parts = [
        Delta(0, "a", None, SCORED),
        Delta(0, "b"),
        Delta(0, "a", "stop", SCORED),
        Delta(1, ""),
    ]
    first, second = assemble(parts, 2)
    assert first.logprobs == Logprobs(["a"] * 2, [-0.5] * 2, [{"a": -0.5}] * 2, [4] * 2)
    assert second.logprobs is None
    assert SCORED.tokens == ["a"]
    assert assemble(parts, 2, logprobs=True)[1].logprobs == Logprobs([], [], [], [])


def test_the_body_of_a_whole_answer() -> None:
    """All keys in order; the fingerprint only where it is known."""
    choice = Choice(text="ü", index=0, logprobs=None, finish_reason="stop")
    for fingerprint in (None, "fp_1"):
        body = json.loads(encode_completion("cmpl-1", 9, "m", [choice], USAGE, fingerprint))
        extra = [] if fingerprint is None else ["system_fingerprint"]
        assert list(body) == ["id", "object", "created", "model", "choices", "usage", *extra]
        assert body["choices"] == [
            {"text": "ü", "index": 0, "logprobs": None, "finish_reason": "stop"}
        ]
        assert body["object"] == "text_completion"
        assert body.get("system_fingerprint") == fingerprint


few = st.none() | st.integers(0, 5)


@settings(max_examples=300, deadline=None)
@given(
    text,
    st.sampled_from([None, "stop", "length", "content_filter"]),
    st.builds(Usage, st.integers(0, 99), st.integers(0, 99), *[few] * 6),
    st.none() | text,
)
@example("a", "stop", Usage(9, 9), "")
@example("a", "stop", Usage(9, 9, 1, 2, 0, 0, 0, 3), None)
@example("a", "stop", Usage(9, 9, audio_prompt_tokens=1), None)
@example("a", "stop", Usage(9, 9, image_prompt_tokens=1), None)
@example("a", "stop", Usage(9, 9, audio_completion_tokens=1), None)
def test_an_answer_of_one_text_is_as_any_other(
    words: str, reason: Any, usage: Usage, fingerprint: str | None
) -> None:
    """To the byte; where there is more to tell it is left to who tells all."""
    usage, delta = clamp(usage), Delta(0, words, reason)
    whole = encode_completion(
        "cmpl-1", 9, "m/\u00fc", assemble([delta], 1), to_wire(usage), fingerprint
    )
    found = encode_text("cmpl-1", 9, "m/\u00fc", delta, usage, fingerprint)
    sound_or_image = (
        usage.audio_prompt_tokens or usage.image_prompt_tokens or usage.audio_completion_tokens
    )
    assert found == (None if reason == "content_filter" or sound_or_image else whole)
    scored = Delta(0, words, reason, SCORED)
    assert encode_text("cmpl-1", 9, "m/\u00fc", scored, usage, fingerprint) is None
