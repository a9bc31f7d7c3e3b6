"""What is computed next: sharing, budgets, order, deterministic sequences alone."""

from hypothesis import given
from hypothesis import strategies as st

from baton.engine.batching import (
    ALONE_CHUNK_TOKENS,
    BUDGETS_MAX,
    LONG_BUDGETS,
    Rounds,
    Sequence,
    Step,
)
from baton.engine.choice import Choice, Vocabulary
from baton.engine.drafting import Costs
from baton.engine.pace import TILE_TOKENS, Pace
from baton.engine.prompts import Prepared
from baton.engine.runs import PromptGroup, Run, Shape
from baton.engine.sampling import Sampling
from baton.engine.wire import Generate
from tests.engine.rig import call

CHUNK_MAX = 256
UNIT = Pace(0.0, 1.0)
"""A second a token: what fits into a budget can be read off."""
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


def advance(step: Step) -> None:
    """What computing a step does to its sequences."""
    for at, count in step:
        at.position += count
        if not at.decoding and not at.left:
            request = Generate(call("x"))
            at.choice = Choice(0, request.call, Prepared(ids=[1], text=""), Sampling(), WORDS)


def shapes(sequences: list[Sequence], turns: int, budget: int = 100) -> list[list[tuple[int, int]]]:
    """Ids and counts of the steps of so many turns, each computed before the next is asked for."""
    rounds, found = Rounds(CHUNK_MAX, UNIT), []
    for _ in range(turns):
        for step in rounds.next(sequences, budget):
            found.append([(s.id, count) for s, count in step])
            advance(step)
    return found


def test_streams_share_a_step_and_ids_ascend() -> None:
    """One token of each stream, sorted for llama.cpp; then a chunk of the prompt."""
    found = shapes([sequence(3), sequence(1, prompt=40), sequence(0), sequence(2)], 2)
    assert [[(0, 1), (2, 1), (3, 1)], [(1, 40)]] == found


def test_one_prompt_gets_one_budget_a_round() -> None:
    """Then the streams have their turn again."""
    found = shapes([sequence(0), sequence(1, prompt=30)], 5, budget=12)
    assert [[(0, 1)], [(1, 12)], [(0, 1)], [(1, 12)], [(0, 1)]] == found


def test_chunks_become_smaller_as_tokens_become_dearer() -> None:
    """A round's room is time: behind many tokens fewer fit into it."""
    pace = Pace(0.0, 1.0)
    for _ in range(50):
        pace.measured(1, 512, 4.0)
    rounds, prompt = Rounds(CHUNK_MAX, pace), sequence(1, prompt=2000)
    found = []
    for position in (0, 512, 1024, 1900):
        prompt.position = position
        (turn,) = rounds.next([sequence(0), prompt], 20.0)
        (step,) = rounds.next([sequence(0), prompt], 20.0)
        assert (0, prompt) == (turn[0].sequence.id, step[0].sequence)
        found.append(step[0].tokens)
    assert found == sorted(set(found), reverse=True)


def test_the_rest_of_a_room_too_small_for_a_chunk_is_left() -> None:
    """The streams come again instead."""
    waiting = [sequence(1, prompt=44), sequence(2, prompt=300)]
    found = shapes([sequence(0), *waiting], 3, budget=12)
    assert [[(0, 1)], [(1, 44)], [(0, 1), (1, 1)]] == found


def test_in_a_burst_prompts_get_more_budgets_than_there_are() -> None:
    """And they are computed one after the other, so that the first ones begin early."""
    waiting = [sequence(i, prompt=60, order=-i) for i in (1, 2, 3)]
    found = shapes([sequence(0), *waiting], 5, budget=10)
    assert [[(0, 1)], [(3, 60)], [(2, 30)], [(0, 1), (3, 1)], [(2, 30)]] == found
    rests = [sequence(i, prompt=200) for i in range(1, 9)]
    assert [[(0, 1)], [(1, 200)]] == shapes([sequence(0), *rests], 2, budget=10), "160 and a rest"
    waiting = [sequence(i, prompt=400) for i in range(1, 9)]
    found = shapes([sequence(0), *waiting], 3, budget=10)
    assert [[(0, 1)], [(1, 10 * BUDGETS_MAX)], [(0, 1)]] == found


def test_without_streams_prompts_are_computed_in_large_chunks() -> None:
    """As long as a newcomer may wait, of the tiled kernel's size at least; a small rest goes
    along."""
    for budget, wanted in ((10, [64, 76]), (30, [140]), (2, [64, 76])):
        found = shapes([sequence(0, prompt=140)], len(wanted), budget)
        assert [[(0, count)] for count in wanted] == found
    found = shapes([sequence(0, prompt=500)], 2, budget=1000)
    assert [[(0, CHUNK_MAX - TILE_TOKENS)], [(0, CHUNK_MAX - TILE_TOKENS)]] == found


def test_prompts_that_end_within_a_few_tokens_share_a_step() -> None:
    """Others, and those that would make it longer, wait for a step of their own."""
    prompts = [sequence(0, prompt=20), sequence(1, prompt=200), sequence(2, prompt=30)]
    prompts += [sequence(3, prompt=30), sequence(4, prompt=5, alone=True)]
    assert [[(0, 20), (2, 30)]] == shapes(prompts, 1)


def test_one_missing_token_rides_with_the_streams() -> None:
    """A prompt that the cache holds but for its last token waits for no chunk."""
    cached = sequence(1, prompt=100, position=99)
    assert [[(0, 1), (1, 1)]] == shapes([cached, sequence(0), sequence(2, prompt=99)], 1)


def test_deterministic_sequences_are_alone() -> None:
    """Each has steps of its own; its prompt is split the same way whatever the budget."""
    alone = [sequence(0, alone=True), sequence(1, prompt=100, alone=True)]
    found = shapes([*alone, sequence(2)], 2, 8)
    assert [[(2, 1)], [(0, 1)], [(1, ALONE_CHUNK_TOKENS)]] == found


def test_short_deterministic_prompts_share_a_step_where_bits_agree() -> None:
    """Whole ones that would be one chunk alone, among themselves."""
    prompts = [sequence(i, prompt=n, alone=True) for i, n in enumerate((20, 8, 33, 30))]
    prompts += [sequence(4, prompt=5), sequence(5, prompt=40, alone=True, position=30)]
    (together,) = Rounds(CHUNK_MAX, UNIT, packs_alone=True).next(prompts, 100)
    assert [(0, 20), (1, 8), (3, 30)] == [(part.sequence.id, part.tokens) for part in together]
    (one,) = Rounds(CHUNK_MAX, UNIT).next(prompts, 100)
    assert [(0, 20)] == [(part.sequence.id, part.tokens) for part in one]
    (ordinary,) = Rounds(CHUNK_MAX, UNIT, packs_alone=True).next(prompts[4:], 100)
    assert [(4, 5)] == [(part.sequence.id, part.tokens) for part in ordinary]


def test_deterministic_streams_share_steps_of_sizes_that_were_tried() -> None:
    """Among themselves, the largest first; what a cancelled one leaves behind is grouped anew."""
    rounds = Rounds(CHUNK_MAX, UNIT, sizes=(4, 2))
    streams = [sequence(i, alone=True) for i in range(7)]
    steps = rounds.next([*streams, sequence(7), sequence(8)], 100)
    shape = [[part.sequence.id for part in step] for step in steps]
    assert [[7, 8], [0, 1, 2, 3], [4, 5], [6]] == shape
    four = steps[1]
    assert [False, True, False, False] == [rounds.outgrown(four, four[:n]) for n in (4, 3, 2, 1)]
    assert not rounds.outgrown(steps[0], steps[0][:1]), "ordinary ones may be as many as they are"


def test_prompts_are_computed_in_order_of_admission() -> None:
    """A deterministic prompt neither overtakes the shared ones nor waits for them forever."""
    alone, shared = sequence(0, prompt=90, alone=True, order=2), sequence(1, prompt=90, order=1)
    found = shapes([alone, shared], 5)
    assert [[(1, 90)], [(0, 32)], [(0, 32)], [(0, 26)], [(1, 1)], [(0, 1)]] == found


def test_a_short_prompt_does_not_wait_for_a_long_one() -> None:
    """It is computed first; the long ones still get half of the room."""
    long = [sequence(0, prompt=2000), sequence(1, prompt=2000)]
    assert [[(2, 6)], [(0, 84)]] == shapes([*long, sequence(2, prompt=6)], 2, budget=10)
    short = [sequence(i, prompt=25) for i in (2, 3, 4, 5, 6)]
    found = shapes([*long, *short], 4, budget=10)
    assert [[(2, 25), (3, 25)], [(4, 25), (5, 25)], [(0, 60)]] == found[:3]


def test_a_long_prompt_beside_streams_may_be_computed_elsewhere() -> None:
    """The oldest one of more rounds than a burst has; not one that is computed alone."""
    rounds, stream = Rounds(CHUNK_MAX, UNIT), sequence(0)
    old, long = (sequence(id, prompt=10 * LONG_BUDGETS + 1, order=-id) for id in (3, 2))
    short, alone = sequence(4, prompt=10 * LONG_BUDGETS), sequence(5, prompt=9999, alone=True)
    assert old is rounds.long([stream, short, long, old], 10)
    assert None is rounds.long([stream, short, alone], 10)
    assert None is rounds.long([long, old], 10), "nobody waits for it"
    assert None is rounds.long([stream, short, alone, long, old], 10), "a burst"
    old.aside = True
    assert long is rounds.long([stream, short, alone, long, old], 10)
    assert [[(0, 1)], [(2, 10)], [(0, 1)]] == shapes([stream, long, old], 3, budget=10)


def test_a_lone_stream_has_drafts() -> None:
    """As many as it may still say; none beside others or while a prompt waits, in a replay, or
    where the call is deterministic. Who is paused does not count."""
    rounds, stream, paused = Rounds(CHUNK_MAX, UNIT), sequence(0), sequence(1)
    rounds.costs = Costs({1: 1.0, 2: 1.1, 4: 1.2, 8: 1.3})
    paused.group.paused = True
    assert stream.choice is not None

    def counts(*sequences: Sequence) -> list[tuple[int, int]]:
        return [(s.id, n) for step in rounds.next(sequences, 100) for s, n in step]

    for said, size in enumerate([1, 1, 4, 4, 2, 2, 1], 1):
        stream.choice.accept(7, None)
        assert 8 - said == stream.choice.left
        assert [(0, size)] == counts(stream, paused)
        assert [7] * (size - 1) == stream.draft
    stream = sequence(0)
    assert stream.choice is not None
    for _ in range(4):
        stream.choice.accept(7, None)
    assert [(0, 1), (2, 1)] == counts(stream, sequence(2))
    stream.replay.append(7)
    assert [(0, 1)] == counts(stream)
    stream.replay.clear()
    assert [(0, 4)] == counts(stream)
    assert [(0, 1)] == counts(stream, sequence(2, prompt=9))
    stream.alone = True
    assert [(0, 1)] == counts(stream)


def test_paused_sequences_are_left_out() -> None:
    """Their reader is slow; the others go on."""
    paused = sequence(0)
    paused.group.paused = True
    assert [[(1, 1)]] == shapes([paused, sequence(1)], 1)
    assert [] == shapes([paused], 1)


@given(
    st.lists(st.tuples(st.integers(0, 300), st.booleans(), st.booleans()), max_size=16),
    st.integers(1, 200),
)
def test_invariants(kinds: list[tuple[int, bool, bool]], budget: int) -> None:
    """No step is empty, too long or out of order; streams have their turn within a room of
    prompts; every prompt is computed in the end."""
    sequences = [sequence(i, prompt=n, alone=alone) for i, (n, alone, _) in enumerate(kinds)]
    for made, (_, _, paused) in zip(sequences, kinds, strict=True):
        made.group.paused = paused
    able = [s for s in sequences if not s.group.paused]
    rounds, since_turn = Rounds(CHUNK_MAX, UNIT), 0
    while any(not s.decoding for s in able):
        streams = [s for s in able if s.decoding]
        steps = rounds.next(sequences, budget)
        ids = [part.sequence.id for step in steps for part in step]
        assert ids
        assert len(ids) == len(set(ids))
        turn = {s.id for s in streams} & set(ids)
        assert not turn or len(turn) == len(streams), "all streams or none"
        since_turn = (
            0 if turn or not streams else since_turn + sum(part.tokens for part in steps[0])
        )
        assert not streams or since_turn <= max(budget, 8) * BUDGETS_MAX + CHUNK_MAX
        for step in steps:
            assert sum(part.tokens for part in step) <= max(CHUNK_MAX, len(able))
            assert [p.sequence.id for p in step] == sorted(p.sequence.id for p in step)
            assert len(step) == 1 or not any(part.sequence.alone for part in step)
            assert all(part.tokens > 0 for part in step)
            advance(step)


def test_rows() -> None:
    """Logits are asked for where a token is chosen, or where the prompt is scored."""
    computing = sequence(0, prompt=10)
    assert [0, 1] == [computing.rows(9), computing.rows(10)]
    computing.outputs = True
    assert 9 == computing.rows(9)
    assert 1 == sequence(1).rows(1)
    assert isinstance(computing.group, PromptGroup)
