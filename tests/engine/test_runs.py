"""A call's bookkeeping: groups, echoes, ends, replays, usage."""

import numpy as np

from baton.engine.choice import Vocabulary
from baton.engine.prompts import Prepared
from baton.engine.runs import Run, Shape
from baton.engine.wire import Generate
from baton.semantics.events import Call
from tests.engine.rig import call

END = 9
WORDS = Vocabulary(lambda token, special: b"" if token == END else b"%d" % token, frozenset({END}))


def run(of: Call, shares: bool = True, seed: int = 5, **replay: object) -> Run:
    prompts = [Prepared(ids=[1, 2], text="12") for _ in of.prompts]
    request = Generate(of, **replay)  # type: ignore[arg-type]
    return Run(request, prompts, Shape(WORDS, frozenset(), shares, False), seed, 0.0)


def pending(made: Run) -> list[tuple[int, list[int]]]:
    return [(group.at, list(group.pending)) for group in made.groups]


def test_one_group_per_prompt() -> None:
    """Samples share the computation of their prompt."""
    made = run(call("a", "b", n=3))
    assert ([(0, [0, 1, 2]), (1, [0, 1, 2])], 6) == (pending(made), made.choices)


def test_samples_apart_where_state_cannot_be_shared() -> None:
    """Models that cannot be cut back compute the prompt for every sample."""
    assert [(0, [0]), (0, [1])] == pending(run(call("a", n=2), shares=False))


def test_scored_prompts_are_deterministic() -> None:
    """echo with logprobs always computes alone; echo by itself does not."""
    assert run(call("a", echo=True, logprobs=0)).alone
    assert not run(call("a", echo=True)).alone
    assert not run(call("a", logprobs=0)).alone
    assert run(call("a", deterministic=True)).alone


def test_nothing_to_generate_needs_no_model() -> None:
    """max_tokens 0 answers at once; with prompt logprobs one sequence computes for all samples."""
    made = run(call("a", "b", n=2, max_tokens=0, echo=True))
    deltas = made.immediate()
    assert ([], [0, 1, 2, 3]) == (made.groups, [delta.index for delta in deltas])
    assert {("12", "length")} == {(delta.text, delta.finish_reason) for delta in deltas}
    assert made.done
    assert [("", "length")] == [
        (d.text, d.finish_reason) for d in run(call("a", max_tokens=0)).immediate()
    ]
    scored = run(call("a", n=2, max_tokens=0, echo=True, logprobs=0))
    assert ([], [(0, [0])]) == (scored.immediate(), pending(scored))


def test_echo_opens_a_choice() -> None:
    """Its text first, with the prompt's logprobs where they are wanted; without echo nothing."""
    made = run(call("a", echo=True))
    opening = made.opening(made.groups[0], 0)
    assert opening is not None
    assert ("12", None, None) == (opening.text, opening.finish_reason, opening.logprobs)
    plain = run(call("a"))
    assert None is plain.opening(plain.groups[0], 0)


def test_replay_knows_what_came_before() -> None:
    """An echo that was sent is not sent again; choices that were whole do not run again."""
    made = run(
        call("a", n=4, max_tokens=3, echo=True),
        replay=[[1], [], [1, END], [1, 2, 3]],
        echoed=[True, False, True, True],
    )
    assert [(0, [0, 1])] == pending(made)
    assert None is made.opening(made.groups[0], 0)
    assert made.opening(made.groups[0], 1) is not None
    assert ([1], 5) == (made.replayed(0), made.completion_tokens)


def test_usage_counts_each_prompt_once() -> None:
    """And every generated token of every choice, the end token included."""
    made = run(call("a", "b", n=2))
    for index in range(4):
        choice = made.choice(index)
        choice.accept(3, None)
        choice.accept(END, None)
        made.end(index, choice)
    usage = made.finished().usage
    assert made.done
    assert (4, 8, 0) == (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens)


def test_any_64_bit_seed_samples() -> None:
    """Also those that OpenAI's clients send as unsigned."""
    for seed in (-(2**63), 2**63 - 1, 2**64 - 1):
        assert None is run(call("a", temperature=1.0), seed=seed).choice(0).finish_reason


def test_a_drawn_seed_keeps_prompts_apart() -> None:
    """The caller's own seed does not; a replay is told which of them it was."""

    def drawn(of: Call, drawn: bool = False) -> list[int]:
        row = np.zeros(99, np.float32)
        return [run(of, drawn=drawn).choice(index).next(row) for index in range(4)]

    first = drawn(call("a", "a", n=2, temperature=1.0))
    assert first[:2] != first[2:]
    seeded = call("a", "a", n=2, temperature=1.0, seed=5)
    assert first == drawn(seeded, drawn=True)
    own = drawn(seeded)
    assert own[:2] == own[2:]
