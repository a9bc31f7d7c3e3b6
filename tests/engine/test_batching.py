"""What a round computes: sharing, budgets, deterministic sequences alone."""

from hypothesis import given
from hypothesis import strategies as st

from baton.engine import batching
from baton.engine.batching import ALONE_CHUNK_TOKENS, BUDGETS_MAX, Limits, Sequence, plan
from baton.engine.choice import Choice, Vocabulary
from baton.engine.prompts import Prepared
from baton.engine.runs import PromptGroup, Run, Shape
from baton.engine.sampling import Sampling
from baton.engine.wire import Generate
from tests.engine.rig import call

LIMITS = Limits(batch_max=512, chunk_max=63)
WORDS = Vocabulary(lambda token, special: b"x", frozenset())


def sequence(id: int, *, prompt: int = 0, alone: bool = False, **fields: object) -> Sequence:
    """One that computes a prompt of so many tokens, or with none one that decodes."""
    prepared = Prepared(ids=[1] * max(prompt, 1), text="")
    request = Generate(call("x", deterministic=alone))
    run = Run(request, [prepared], Shape(WORDS, frozenset(), True, False), 0, 0.0)
    (group,) = run.groups
    choice = None if prompt else Choice(0, run.call, prepared, Sampling(), WORDS)
    return Sequence(
        id=id,
        group=group,
        sample=0,
        prompt=prepared.ids if prompt else [],
        alone=alone,
        choice=choice,
        **{"order": id, **fields},  # type: ignore[arg-type]
    )


def shape(sequences: list[Sequence], budget: int = 100) -> list[list[tuple[int, int]]]:
    return [[(s.id, count) for s, count in step] for step in plan(sequences, budget, LIMITS)]


def test_decoding_comes_first_and_ids_ascend() -> None:
    """One token of each stream and a chunk of the prompt, sorted for llama.cpp."""
    found = shape([sequence(3), sequence(1, prompt=40), sequence(0), sequence(2)])
    assert [[(0, 1), (1, 40), (2, 1), (3, 1)]] == found


def test_the_budget_bounds_prompts_beside_streams() -> None:
    """The oldest prompt gets it; what is left goes to the next one."""
    old, new = sequence(2, prompt=10, order=1), sequence(1, prompt=50, order=2)
    streams = [sequence(0), sequence(3)]
    assert [[(0, 1), (1, 6), (2, 10), (3, 1)]] == shape([*streams, old, new], budget=16)


def test_nobody_waits_so_prompts_get_more() -> None:
    """Without a stream that waits for its next token, chunks may be longer, up to the kernel's
    limit for one sequence."""
    prompts = [sequence(i, prompt=200) for i in range(2)]
    assert [[(0, BUDGETS_MAX * 10)]] == shape(prompts, budget=10)
    assert [[(0, 63), (1, 37)]] == shape(prompts, budget=25)


def test_a_burst_of_prompts_gets_more_than_a_few_streams() -> None:
    """The budget grows with the prompts per stream, up to a bound."""
    prompts = [sequence(i, prompt=60) for i in range(1, 9)]
    streams = [sequence(i) for i in (0, 9, 10, 11)]
    for running, wanted in ((4, 20), (2, 40), (1, 40)):
        (step,) = plan(streams[:running] + prompts, 10, LIMITS)
        assert wanted == sum(part.tokens for part in step if not part.sequence.decoding)


def test_deterministic_sequences_are_alone() -> None:
    """Each has steps of its own; its prompt is split the same way whatever the budget."""
    alone = [sequence(0, alone=True), sequence(1, prompt=100, alone=True)]
    assert [[(2, 1)], [(0, 1)], [(1, ALONE_CHUNK_TOKENS)]] == shape([*alone, sequence(2)], 8)


def test_prompts_are_computed_in_order_of_admission() -> None:
    """A deterministic prompt neither overtakes the shared ones nor waits for them forever."""
    alone, shared = sequence(0, prompt=9, alone=True, order=2), sequence(1, prompt=300, order=1)
    assert [[(1, 63)]] == shape([alone, shared])
    alone.order = 0
    assert [[(0, 9)]] == shape([alone, shared])


def test_a_short_prompt_does_not_wait_for_a_long_one() -> None:
    """It is computed beside the long ones, which still get half of the budget."""
    long = [sequence(0, prompt=2000), sequence(1, prompt=2000)]
    short = [sequence(i, prompt=6) for i in (2, 3, 4, 5)]
    assert [[(0, 34), (2, 6)]] == shape([*long, short[0]], budget=10)
    assert [[(0, 20), (2, 6), (3, 6), (4, 6), (5, 2)]] == shape([*long, *short], budget=10)
    alone = sequence(6, prompt=2000, alone=True, order=-1)
    assert [[(2, 6)], [(6, ALONE_CHUNK_TOKENS)]] == shape([alone, *long, short[0]], budget=10)


def test_a_replays_splits_hold() -> None:
    """The chunk is what was computed then, however small the budget is now."""
    replayed = sequence(0, prompt=50)
    replayed.splits.extend([45, 5])
    assert [[(0, 45), (1, 1)]] == shape([replayed, sequence(1)], budget=8)


def test_paused_sequences_are_left_out() -> None:
    """Their reader is slow; the others go on."""
    paused = sequence(0)
    paused.group.paused = True
    assert [[(1, 1)]] == shape([paused, sequence(1)])
    assert [] == shape([paused])


@given(
    st.lists(st.tuples(st.integers(0, 300), st.booleans(), st.booleans()), max_size=16),
    st.integers(1, 200),
)
def test_invariants(kinds: list[tuple[int, bool, bool]], budget: int) -> None:
    """No step is empty, too long or out of order; every stream advances; nobody is there twice."""
    sequences = [sequence(i, prompt=n, alone=alone) for i, (n, alone, _) in enumerate(kinds)]
    for made, (_, _, paused) in zip(sequences, kinds, strict=True):
        made.group.paused = paused
    steps = plan(sequences, budget, LIMITS)
    ids = [part.sequence.id for step in steps for part in step]
    assert len(ids) == len(set(ids))
    for step in steps:
        assert step
        assert sum(part.tokens for part in step) <= LIMITS.batch_max
        assert [p.sequence.id for p in step] == sorted(p.sequence.id for p in step)
        assert len(step) == 1 or not any(part.sequence.alone for part in step)
        assert all(0 < part.tokens <= LIMITS.chunk_max for part in step)
    able = [s for s in sequences if not s.group.paused]
    assert {s.id for s in able if s.decoding} <= set(ids)
    computing = [s for s in able if not s.decoding]
    if computing:  # the oldest prompt never starves
        assert min(computing, key=lambda s: s.order).id in ids


def test_rows() -> None:
    """Logits are asked for where a token is chosen, or where the prompt is scored."""
    computing = sequence(0, prompt=10)
    assert [0, 1] == [computing.rows(9), computing.rows(10)]
    computing.outputs = True
    assert 9 == computing.rows(9)
    assert 1 == sequence(1).rows(1)
    assert isinstance(computing.group, PromptGroup)
    assert batching.CHUNK_TOKENS_MIN <= LIMITS.chunk_max
