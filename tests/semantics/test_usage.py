"""Token arithmetic: sums, what is possible at all, and what the caller sees."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baton.protocol import BatonUsage, CompletionTokensDetails, PromptTokensDetails
from baton.semantics.events import Call, Usage
from baton.semantics.usage import NONE, TOKENS_MAX, add, clamp, guess_prompts, so_far, to_wire

counts = st.integers(-5, 50) | st.integers(-(2**70), 2**70)
details = st.none() | counts
usages = st.builds(Usage, counts, counts, *[details] * 6, st.booleans())


@settings(max_examples=250, deadline=None)
@given(usages, st.booleans())
def test_a_clamped_report_is_possible(usage: Usage, trusted: bool) -> None:
    """Counts lie in their range, details within their total; a change is marked, once is enough."""
    possible = clamp(usage, trusted=trusted)
    prompt, completion = possible.prompt_tokens, possible.completion_tokens
    assert 0 <= prompt <= TOKENS_MAX
    assert 0 <= completion <= TOKENS_MAX
    assert (possible.audio_prompt_tokens or 0) + (possible.image_prompt_tokens or 0) <= prompt
    thought = possible.reasoning_tokens or 0
    assert (possible.audio_completion_tokens or 0) + thought <= completion
    for name in Usage.__struct_fields__:
        value = getattr(possible, name)
        assert (value is None) == (getattr(usage, name) is None)
        assert value is None or value >= 0
    unchanged = msgspec.structs.replace(possible, estimated=usage.estimated) == usage
    assert possible.estimated == (usage.estimated or not unchanged or not trusted)
    assert clamp(possible) == possible


@settings(max_examples=300, deadline=None)
@given(usages, st.none() | st.integers(0, 3))
def test_what_the_caller_sees_adds_up(usage: Usage, handoffs: int | None) -> None:
    """All integers, none negative, totals and details sum, JSON takes them exactly."""
    wire = to_wire(clamp(usage), handoffs)
    shown = msgspec.to_builtins(wire)
    assert shown.get("baton") == (None if handoffs is None else {"handoffs": handoffs})
    assert wire.total_tokens == wire.prompt_tokens + wire.completion_tokens
    prompt, completion = wire.prompt_tokens_details, wire.completion_tokens_details
    assert prompt.text_tokens + prompt.audio_tokens + prompt.image_tokens == wire.prompt_tokens
    spoken = completion.text_tokens + completion.audio_tokens
    assert spoken + completion.reasoning_tokens == wire.completion_tokens
    for part in (shown["prompt_tokens_details"], shown["completion_tokens_details"]):
        assert all(type(value) is int and value >= 0 for value in part.values())


def test_the_contracts_keys_are_all_there() -> None:
    """Every detail is an integer although the upstream told none."""
    assert msgspec.to_builtins(to_wire(Usage(3, 2))) == {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "total_tokens": 5,
        "prompt_tokens_details": {
            "cached_tokens": 0,
            "text_tokens": 3,
            "audio_tokens": 0,
            "image_tokens": 0,
            "cache_write_tokens": 0,
        },
        "completion_tokens_details": {
            "text_tokens": 2,
            "audio_tokens": 0,
            "reasoning_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def test_every_detail_is_shown_in_its_place() -> None:
    """Text is what is left of each total; what was told is what is seen."""
    wire = to_wire(Usage(100, 70, 1, 2, 4, 8, 16, 32), 3)
    assert (100, 70, 170) == (wire.prompt_tokens, wire.completion_tokens, wire.total_tokens)
    assert PromptTokensDetails(1, 100 - 4 - 8, 4, 8, 32) == wire.prompt_tokens_details
    assert CompletionTokensDetails(70 - 16 - 2, 16, 2) == wire.completion_tokens_details
    assert BatonUsage(3) == wire.baton


@pytest.mark.parametrize(
    ("left", "right", "total"),
    [
        (NONE, NONE, Usage(0, 0)),
        (Usage(1, 2), Usage(3, 4), Usage(4, 6)),
        (Usage(1, 2, cached_tokens=1), Usage(3, 4), Usage(4, 6, cached_tokens=1)),
        (Usage(1, 2), Usage(3, 4, cached_tokens=0), Usage(4, 6, cached_tokens=0)),
        (
            Usage(9, 9, 1, 2, 3, 4, 5, 6),
            Usage(9, 9, 10, 20, 30, 40, 50, 60),
            Usage(18, 18, 11, 22, 33, 44, 55, 66),
        ),
        (Usage(1, 1, estimated=True), Usage(1, 1), Usage(2, 2, estimated=True)),
    ],
)
def test_adding(left: Usage, right: Usage, total: Usage) -> None:
    """Every count is summed; unknown stays unknown only where both are; an estimate stays one."""
    assert add(left, right) == total
    assert add(right, left) == total


@pytest.mark.parametrize(
    "usage",
    [
        Usage(10, 5, cached_tokens=3, reasoning_tokens=2),
        Usage(10, 5),
        Usage(0, 0, 0, 0, 0, 0, 0, 0),
        Usage(TOKENS_MAX, TOKENS_MAX, cached_tokens=TOKENS_MAX),
        Usage(1, 0, audio_prompt_tokens=1),
        Usage(0, 1, audio_completion_tokens=1),
        Usage(3, 3, 3, 1, 1, 2, 2, 3),
    ],
)
def test_a_good_report_is_left_as_it_is(usage: Usage) -> None:
    """No copy is made of what is right, at its limits too; what is not trusted is marked."""
    assert clamp(usage) is usage
    assert clamp(usage, trusted=False) == msgspec.structs.replace(usage, estimated=True)


@pytest.mark.parametrize(
    ("told", "clamped"),
    [
        (Usage(-1, 3), Usage(0, 3)),
        (Usage(3, -1), Usage(3, 0)),
        (Usage(TOKENS_MAX + 1, TOKENS_MAX + 1), Usage(TOKENS_MAX, TOKENS_MAX)),
        (Usage(3, 3, cached_tokens=4), Usage(3, 3, cached_tokens=3)),
        (Usage(3, 3, cached_tokens=-1), Usage(3, 3, cached_tokens=0)),
        *(
            (Usage(3, 3, **{detail: told}), Usage(3, 3, **{detail: clamped}))  # type: ignore[arg-type]
            for detail in (
                "reasoning_tokens",
                "audio_prompt_tokens",
                "image_prompt_tokens",
                "audio_completion_tokens",
                "cache_write_tokens",
            )
            for told, clamped in ((4, 3), (-1, 0))
        ),
        (
            Usage(3, 3, 3, 2, 2, 2, 2, 3),
            Usage(3, 3, 3, 2, 1, 2, 1, 3),
        ),
    ],
)
def test_each_count_that_cannot_be_is_put_right(told: Usage, clamped: Usage) -> None:
    """One is enough; the others stay; what is left over is text, of audio after the rest."""
    assert msgspec.structs.replace(clamped, estimated=True) == clamp(told)


def test_what_a_call_has_read_is_guessed() -> None:
    """Each prompt, of ids their number, each with the text behind the hole."""
    call = Call(model="m", prompts=["a b c d e", [1, 2]], max_tokens=1)
    assert 5 == guess_prompts(call)
    assert 9 == guess_prompts(msgspec.structs.replace(call, suffix="six it"))


def test_a_running_guess_is_not_told() -> None:
    """What an end may take back is not shown on the way there; what is exact is."""
    guessed = Usage(5, 10, estimated=True)
    assert (7, 10) == (so_far(guessed, 7).completion_tokens, so_far(guessed, 11).completion_tokens)
    assert Usage(5, 10) == so_far(Usage(5, 10), 7)
