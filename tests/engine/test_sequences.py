"""Arrays, samples and waves on few sequences; fairness as callers see it."""

import dataclasses
from typing import Any

from tests.engine.rig import Rig, call


def ban(rig: Rig) -> dict[int, float]:
    """Nothing ends before max_tokens."""
    return {token: -100.0 for token in rig.model.ends}


def test_choices_are_numbered_by_prompt_and_sample(tiny_rig: Rig) -> None:
    """index = prompt × n + sample, each with its own echo first and one finish."""
    asked = call(
        "abc", "xyz", n=3, max_tokens=4, temperature=1.0, echo=True, logit_bias=ban(tiny_rig)
    )
    done = tiny_rig.complete(asked)
    assert ["abc"] * 3 + ["xyz"] * 3 == [done.of(index)[0].text for index in range(6)]
    assert ["length"] * 6 == [done.finish(index) for index in range(6)]
    tokens = [len(done.ids(index)) for index in range(6)]
    assert ([4] * 6, 24) == (tokens, done.finished.usage.completion_tokens)
    prompts = sum(len(prompt.ids) for prompt in done.run.prompts)
    assert prompts == done.finished.usage.prompt_tokens


def test_128_samples_on_4_sequences(tiny_rig: Rig) -> None:
    """More samples than sequences run in waves from one computation of the prompt."""
    before = tiny_rig.scheduler.counters.steps
    asked = call("The sea", n=128, max_tokens=3, temperature=1.0, logit_bias=ban(tiny_rig))
    done = tiny_rig.complete(asked)
    assert [3] * 128 == [len(done.ids(index)) for index in range(128)]
    assert len(set(done.texts())) > 64
    assert tiny_rig.scheduler.counters.steps - before < 128 * 2
    assert 0 == tiny_rig.scheduler.running


def test_waves_sample_like_single_calls(tiny_rig: Rig) -> None:
    """A sample of a later wave is what it would be in a call with fewer samples."""
    fields: dict[str, Any] = {
        "max_tokens": 5,
        "temperature": 1.0,
        "seed": 8,
        "logit_bias": ban(tiny_rig),
    }
    many = tiny_rig.complete(call("The sea", n=20, **fields))
    few = tiny_rig.complete(call("The sea", n=4, **fields))
    assert [many.ids(index)[0] for index in range(4)] == [few.ids(index)[0] for index in range(4)]


def test_ends_at_once_hand_on_their_sequence(tiny_rig: Rig) -> None:
    """Samples of one token need no step of their own, also many in a row."""
    asked = call("abc", n=128, max_tokens=1, temperature=1.0, logit_bias=ban(tiny_rig))
    assert 128 == tiny_rig.complete(asked).finished.usage.completion_tokens


def test_an_array_of_2048_prompts(tiny_rig: Rig) -> None:
    """It runs progressively; each prompt is answered, and nothing is left behind."""
    prompts = [[number % 250, 7, number // 250] for number in range(2048)]
    done = tiny_rig.complete(call(*prompts, max_tokens=1, logit_bias=ban(tiny_rig)))
    assert 2048 == len({delta.index for delta in done.deltas})
    assert 2048 * 3 == done.finished.usage.prompt_tokens
    assert (0, 0) == (tiny_rig.scheduler.running, tiny_rig.scheduler.waiting)


def test_a_single_call_does_not_wait_for_an_array(tiny_rig: Rig) -> None:
    """Another tenant's single prompt is served in the midst of a big array."""
    fields: dict[str, Any] = {"max_tokens": 20, "logit_bias": ban(tiny_rig)}
    array = tiny_rig.start(call(*["abc"] * 200, tenant="big", **fields))
    array.step()
    tiny_rig.start(call("xyz", tenant="small", **fields)).wait()
    while not array.messages.empty():
        array.step()
    ended = {delta.index for delta in array.deltas if delta.finish_reason}
    array.wait()
    assert len(ended) < 100
    assert 200 == len({delta.index for delta in array.deltas})


def test_fim_ends_with_the_familys_tokens(tiny_rig: Rig) -> None:
    """In a fill every marker ends the text and never shows; elsewhere it is a token like others."""
    fim = tiny_rig.model.fim
    assert fim is not None
    push = {fim.middle: 100.0}
    filled = tiny_rig.complete(call("a", suffix="b", max_tokens=5, logit_bias=push))
    assert ("", "stop", 1) == (filled.text(), filled.finish(), len(filled.ids()))
    plain = tiny_rig.complete(call("a", max_tokens=5, logit_bias=push))
    assert ("", "length", 5) == (plain.text(), plain.finish(), len(plain.ids()))


def test_many_scored_echoes_come_in_portions(tiny_rig: Rig) -> None:
    """No message outgrows a frame, however many choices echo a long prompt with logprobs."""
    done = tiny_rig.start(call("a" * 200, n=100, max_tokens=0, echo=True, logprobs=2))
    messages = 0
    while done.step():
        messages += 1
    assert 100 * 200 <= sum(len(d.logprobs.tokens) for d in done.deltas if d.logprobs)
    assert 3 == messages


def test_what_is_computed_is_counted(tiny_rig: Rig) -> None:
    """Every step with its tokens and sequences; every prompt, and whether the cache had some."""
    counters = tiny_rig.scheduler.counters
    prompt = "another prompt that is long enough to be kept"
    tiny_rig.complete(call(prompt, max_tokens=1))
    before = dataclasses.replace(counters)
    times = [sum(counters.step.counts), sum(counters.queue.counts)]
    done = tiny_rig.complete(call(prompt, max_tokens=3, n=2, logit_bias=ban(tiny_rig)))
    length = done.finished.usage.prompt_tokens
    assert (1, 1) == (
        counters.prompts - before.prompts,
        counters.reused_prompts - before.reused_prompts,
    )
    # Of the prompt its last token; then two of three tokens of each sample: nothing follows a last.
    steps = counters.steps - before.steps
    assert 1 + 2 * 2 == counters.batch_tokens - before.batch_tokens
    assert counters.batch_tokens - before.batch_tokens == (
        counters.batch_sequences - before.batch_sequences
    )
    assert [steps, 1] == [
        sum(counters.step.counts) - times[0],
        sum(counters.queue.counts) - times[1],
    ]
    assert counters.step.sum_s > 0
    assert length <= tiny_rig.scheduler.kept_tokens


def test_queueing_is_told(tiny_rig: Rig) -> None:
    """How long a call waited for its first step."""
    assert 0 <= tiny_rig.complete(call("abc", max_tokens=1)).finished.queue_s < 5
