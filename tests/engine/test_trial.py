"""What several sequences in a step change is tried at the start, and only what agrees is used."""

import numpy as np
import pytest

from baton.engine import trial
from baton.engine.llama import Context, Floats, Model
from baton.engine.trial import Trial
from tests.engine.rig import Rig, call

STREAMS = [("cat", 16), ("dog", 5), ("king", 16), ("river", 16), ("moon", 9), ("ship", 12)]
"""A word of the prompt, and how many tokens follow."""


class Rounded(Context):
    """Comes out a little otherwise where there are several rows of different sequences."""

    def logits(self, rows: int) -> Floats:
        found = super().logits(rows).copy()
        if len(set(self.sequences[:rows])) > 1:
            found[0, 0] += 0.001
        return found


def test_what_agrees_is_told_and_nothing_stays_behind(model: Model) -> None:
    """Sizes are powers of two, largest first; the sequences are empty again."""
    context, fresh = Context(model, 6, 64, threads=1), Context(model, 6, 64, threads=1)
    found = Trial(model, context)
    assert found.prompts_agree()
    assert found.sizes() == (4, 2)
    for sequence in range(6):
        rows = [Trial(model, each)._compute([(sequence, 0, 5)]) for each in (context, fresh)]
        assert np.array_equal(rows[0], rows[1])
    context.close()
    fresh.close()


def test_what_differs_is_not_shared(model: Model) -> None:
    """A last bit is enough."""
    context = Rounded(model, 4, 64, threads=1)
    found = Trial(model, context)
    assert (False, ()) == (found.prompts_agree(), found.sizes())
    context.close()


def test_several_threads_share_nothing(model: Model) -> None:
    """How rows are divided between threads changes with their number."""
    context = Context(model, 4, 64, threads=2)
    assert Trial(model, context).sizes() == ()
    context.close()


def test_a_large_model_is_not_held_up(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not tried within the time is not shared."""
    monkeypatch.setattr(trial, "TRIAL_S_MAX", 0.0)
    context = Context(model, 4, 64, threads=1)
    assert Trial(model, context).sizes() == ()
    context.close()


class Late(Context):
    """Comes out a little otherwise from the third token of a sequence in one step on."""

    def logits(self, rows: int) -> Floats:
        found = super().logits(rows).copy()
        found[2:, 0] += 0.001
        return found


def test_sizes_of_drafts(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with what its step costs; the sequence is empty again. However busy the machine is."""
    monkeypatch.setattr(trial, "TRIAL_S_MAX", 60.0)
    context, fresh = Context(model, 2, 64, threads=1), Context(model, 2, 64, threads=1)
    tried = Trial(model, context).drafts()
    assert tried is not None
    assert [1, 2, 4, 8] == list(tried)
    assert 0 < tried[1] < tried[8] < 8 * tried[1]
    after, first = (Trial(model, each)._compute([(0, 0, 5)]) for each in (context, fresh))
    assert np.array_equal(after, first)
    assert None is Trial(model, context).drafts(1, lambda: True)
    context.close()
    fresh.close()


def test_drafts_that_differ_are_not_made(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor what does not fit, what several threads divide, or what takes too long to try."""
    late, short = Late(model, 2, 64, threads=1), Context(model, 1, 6, threads=1)
    several = Context(model, 2, 64, threads=2)
    assert [1, 2] == list(Trial(model, late).drafts() or ())
    assert short.sequence_tokens_max >= 6
    assert {} == Trial(model, several).drafts()
    monkeypatch.setattr(trial, "TRIAL_S_MAX", 0.0)
    assert {} == Trial(model, short).drafts()
    for context in (late, short, several):
        context.close()


def test_deterministic_streams_together_say_what_each_says_alone(model: Model) -> None:
    """To the last bit of a logprob, with five others in their steps, some of which end early."""
    calls = [
        call(
            f"The {word} went to the",
            max_tokens=length,
            logprobs=2,
            deterministic=True,
            temperature=0.8,
            seed=number,
        )
        for number, (word, length) in enumerate(STREAMS)
    ]
    with Rig(model) as rig:
        assert rig.scheduler._rounds._sizes[0] > 1, "nothing is shared here: nothing is shown"
        alone = [rig.start(each).wait() for each in calls]
        steps = rig.scheduler.counters.steps
        together = [pending.wait() for pending in [rig.start(each) for each in calls]]
        took = rig.scheduler.counters.steps - steps
    assert [one.ids() for one in alone] == [one.ids() for one in together]
    assert [one.logprobs() for one in alone] == [one.logprobs() for one in together]
    assert took < sum(len(one.ids()) for one in alone) / 2, "they did not share"
