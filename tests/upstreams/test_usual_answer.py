"""Usual answers: whatever is taken for one, the decoder for all answers reads the same."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton.semantics.events import Call, Delta, Usage, UsageReported
from baton.upstreams.base import UpstreamError
from baton.upstreams.completions_wire import BodyDecoder
from baton.upstreams.framing import answer_bytes_max
from baton.upstreams.usual_answer import one_whole

CALL = Call(model="m", prompts=["p"], max_tokens=16)
CHOICE = {"index": 0, "text": " b", "logprobs": None, "finish_reason": "stop"}
USAGE = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}


def body(choice: dict[str, Any], usage: dict[str, Any], **fields: Any) -> bytes:
    return json.dumps(
        {"id": "x", "object": "text_completion", "choices": [choice], "usage": usage, **fields}
    ).encode()


def decoded(data: bytes) -> tuple[Delta, Usage] | None:
    """What the decoder for all answers makes of it, where it is one choice and one usage."""
    decoder = BodyDecoder(CALL)
    try:
        decoder.feed(data)
        events = decoder.finish()
    except UpstreamError:
        return None
    if len(events) != 2:
        return None
    delta, told = events
    assert isinstance(delta, Delta)
    assert isinstance(told, UsageReported)
    return delta, told.usage


COUNTS = st.sampled_from([None, 0, 1, 2, 5, 6, -1, 2**31, 2**70, "1", 1.0, True])
REASONS = st.sampled_from([None, "", "stop", "length", "content_filter", "eos", "abort", 3])
CHOICES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"text": st.sampled_from(["", " a", None, 3]), "finish_reason": REASONS},
    optional={
        "index": st.sampled_from([0, -1, 1, None, "0"]),
        "logprobs": st.sampled_from([None, {"tokens": []}]),
        "token_ids": st.sampled_from([None, [1, 2], ["a"]]),
    },
)
DETAILS = st.one_of(
    st.none(),
    st.dictionaries(
        st.sampled_from(
            ["cached_tokens", "audio_tokens", "image_tokens", "cache_write_tokens", "other"]
        ),
        COUNTS,
    ),
)
GENERATED = st.one_of(
    st.none(), st.dictionaries(st.sampled_from(["reasoning_tokens", "audio_tokens"]), COUNTS)
)
USAGES = st.fixed_dictionaries(
    {"prompt_tokens": COUNTS, "completion_tokens": COUNTS},
    optional={
        "prompt_tokens_details": DETAILS,
        "completion_tokens_details": GENERATED,
        "prompt_cache_hit_tokens": COUNTS,
    },
)


@given(
    choice=CHOICES,
    usage=USAGES,
    fields=st.dictionaries(
        st.sampled_from(["error", "object", "choices"]),
        st.sampled_from([None, "error", "text_completion", {"message": "x"}, []]),
        max_size=1,
    ),
)
def test_the_same_as_for_all(
    choice: dict[str, Any], usage: dict[str, Any], fields: dict[str, Any]
) -> None:
    """Whatever is taken is what the decoder for all answers gives."""
    data = body(choice, usage, **fields)
    found = one_whole(data, CALL.max_tokens)
    assert found is None or found == decoded(data)


@pytest.mark.parametrize(
    "usage",
    [
        {},
        {"prompt_tokens_details": {"cached_tokens": 2}},
        {"prompt_tokens_details": {"cached_tokens": 5}},
        {"prompt_tokens_details": None, "completion_tokens_details": {"reasoning_tokens": 0}},
        {"prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0}},
    ],
)
def test_usual_ones(usage: dict[str, Any]) -> None:
    """What most servers send is taken."""
    data = body(CHOICE, {**USAGE, **usage})
    found = one_whole(data, CALL.max_tokens)
    assert found is not None
    assert found == decoded(data)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff", b"{}", body({}, {})])
def test_no_answer(data: bytes) -> None:
    """What is none is nobody's error here."""
    assert one_whole(data, CALL.max_tokens) is None


def test_more_cached_than_there_is() -> None:
    """Is left to who tells what can be."""
    data = body(CHOICE, {**USAGE, "prompt_tokens_details": {"cached_tokens": 6}})
    assert one_whole(data, CALL.max_tokens) is None


@pytest.mark.parametrize("tokens", [1, 1000])
def test_too_many_bytes(tokens: int) -> None:
    """More than the call can explain is not even decoded; what it can is."""
    most = answer_bytes_max(msgspec.structs.replace(CALL, max_tokens=tokens))
    text = "a" * (most - len(body({**CHOICE, "text": ""}, USAGE)))
    found = one_whole(body({**CHOICE, "text": text}, USAGE), tokens)
    assert found is not None
    assert text == found[0].text
    assert one_whole(body({**CHOICE, "text": text + "a"}, USAGE), tokens) is None
